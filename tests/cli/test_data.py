"""The data commands as typed: what they print for people and programs, and how they leave."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from trilineage.data.download import Download
from trilineage.data.sources import catalogue


@pytest.fixture
def cells(tmp_path):
    """Two classes of six different pictures each, named by numbers."""
    for number in range(12):
        generator = np.random.default_rng(number)
        small = Image.fromarray(generator.integers(0, 255, (6, 6, 3)).astype(np.uint8))
        path = tmp_path / "cells" / ["AML", "CML"][number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        small.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "cells"


def test_list_shows_every_set_with_its_licence_and_how_to_get_it(trilineage):
    shown = trilineage("data", "list").output
    assert all(name in shown for name in catalogue.SOURCES.names())
    assert "CC BY 3.0 (check)" in shown
    assert "by hand" in shown


def test_list_shows_one_set_in_full(trilineage):
    shown = trilineage("data", "list", "c_nmc").output
    for word in (
        "not verified: check at the homepage",
        "IBM Aspera Connect",
        "UID_<subject>",
        "white_cells, leukemia",
    ):
        assert word in shown


def test_list_is_there_for_programs_too(trilineage):
    records = json.loads(trilineage("data", "list", "--json").stdout)["data_sets"]
    blood = next(record for record in records if record["name"] == "bloodmnist")
    assert blood["label_maps"]["white_cells"]["3"] == "immature_granulocyte"
    assert blood["files"][0]["md5"] == "7053d0359d879ad8a5505303e11de1dc"


def test_an_unknown_set_is_answered_with_the_nearest(trilineage):
    result = trilineage("data", "list", "bloodmnst")
    assert result.exit_code == 2
    assert "'bloodmnist' was meant" in result.output


def test_get_says_what_came_and_under_what_licence(trilineage, tmp_path, monkeypatch):
    def fake(file, folder, settings=None):
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / file.name, "w") as archive:
            archive.writestr("neutrophil/SNE_1.jpg", b"x")
        return Download(folder / file.name, "5" * 64, 1234, is_verified=False)

    monkeypatch.setattr(catalogue, "download", fake)
    result = trilineage("data", "get", "acevedo", "--to", tmp_path / "pbc")
    assert result.exit_code == 0
    assert "1,234 bytes, SHA-256 555" in result.output
    assert "trusted on first use, recorded in downloads.json" in result.output
    assert "Licence: CC BY 4.0" in result.output
    assert (tmp_path / "pbc" / "PBC_dataset_normal_DIB" / "neutrophil" / "SNE_1.jpg").exists()


def test_get_leaves_with_65_where_there_is_no_address(trilineage, tmp_path):
    result = trilineage("data", "get", "bmc", "--to", tmp_path)
    assert result.exit_code == 65
    assert "DownloadError: BMC" in result.output
    assert "IBM Aspera Connect" in result.output


def test_check_says_what_there_is(trilineage, cells):
    result = trilineage("data", "check", cells)
    assert result.exit_code == 0
    assert "12 images in" in result.output
    assert "AML 6, CML 6" in result.output
    assert "WARNING  no patients are named" in result.output


def test_check_leaves_with_1_on_problems_only_when_strict(trilineage, cells):
    assert trilineage("data", "check", cells, "--strict").exit_code == 0
    (cells / "AML" / "copy.png").write_bytes((cells / "CML" / "1.png").read_bytes())
    assert trilineage("data", "check", cells).exit_code == 0
    result = trilineage("data", "check", cells, "--strict")
    assert result.exit_code == 1
    assert "PROBLEM  1 image under different labels" in result.output
    assert "AML/copy.png (AML) = CML/1.png (CML)" in result.output


def test_check_is_there_for_programs_too(trilineage, cells):
    record = json.loads(trilineage("data", "check", cells, "--json").stdout)
    assert record["labels"] == {"AML": 6, "CML": 6}
    assert [finding["kind"] for finding in record["findings"]] == ["patients"]


def test_check_takes_options_like_every_command(trilineage, cells):
    result = trilineage("data", "check", cells, "--set", "data.classes=AML", "--json")
    assert json.loads(result.stdout)["n_images"] == 6
    assert trilineage("data", "check", cells, "--set", "near_distance=9").exit_code == 2


def test_check_of_nothing_leaves_with_65(trilineage, tmp_path):
    result = trilineage("data", "check", tmp_path / "nowhere")
    assert result.exit_code == 65
    assert "FormatError: no such file or folder" in result.output


def test_simulated_smears_can_be_those_of_a_preset(trilineage, tmp_path):
    few = ("n_patients_per_diagnosis=1", "n_images_per_patient=1", "size=24")
    sets = [word for option in few for word in ("--set", option)]
    result = trilineage("data", "simulate-smears", "--out", tmp_path / "aml", "--preset", "aml", *sets)
    assert result.exit_code == 0
    assert "has_cup_nucleus" in (tmp_path / "aml" / "truth.csv").read_text()
    assert trilineage("data", "simulate-smears", "--out", tmp_path / "x", "--preset", "alm").exit_code == 2


def test_a_cohort_is_simulated_and_says_where_its_smears_and_cells_are(trilineage, tmp_path):
    sets = (
        "n_train=1",
        "n_valid=1",
        "n_test=1",
        'diagnoses=["normal", "AML"]',
        "new_diagnoses=[]",
        "one_kind=0",
    )
    sizes = ("smears.n_images_per_patient=1", "smears.size=32", "expression.n_cells_per_donor=5")
    options = [text for one in (*sets, *sizes, "expression.n_genes=120") for text in ("--set", one)]
    result = trilineage("data", "simulate-cohort", "--out", tmp_path / "cohort", *options)
    assert result.exit_code == 0, result.output
    said = result.output.replace("\n", "")
    for name in ("smears/images.csv", "blood.h5ad"):
        assert (tmp_path / "cohort" / name).is_file()
        assert name in said
    table = (tmp_path / "cohort/smears/images.csv").read_text().splitlines()
    assert {line.split(",")[1] for line in table[1:]} == {"normal", "AML"}
