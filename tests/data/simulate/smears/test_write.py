"""The folder holds what the simulation in memory holds, goes on after an interruption, and is never mixed."""

import numpy as np
import pandas as pd
import pytest

from trilineage.core.errors import ConfigError, StorageError
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.regions import mask_files, read_boxes, read_mask
from trilineage.data.simulate.smears import write
from trilineage.data.simulate.smears.cohort import simulate_smears
from trilineage.data.simulate.smears.patients import SmearPatient, read_patients
from trilineage.data.simulate.smears.render import CYTOPLASM, NUCLEUS
from trilineage.data.simulate.smears.settings import SmearSettings
from trilineage.data.simulate.smears.write import read_codes, simulate_to_folder

SMALL = SmearSettings(
    size=32, diagnoses=("normal", "AML", "CLL"), n_patients_per_diagnosis=1, n_images_per_patient=2
)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "smears"
    assert simulate_to_folder(SMALL, folder) == 6
    return folder


def test_the_folder_opens_as_images_with_patients_and_sites(written):
    table, smears = open_images(ImageDataSettings(path=str(written))), simulate_smears(SMALL)
    order = [list(smears.images["path"]).index(name) for name in table.names]
    assert list(table.labels) == list(smears.images["label"].iloc[order])
    assert list(table.patients) == list(smears.images["patient"].iloc[order])
    assert list(table.sites) == list(smears.images["site"].iloc[order])
    for position, place in enumerate(order):
        np.testing.assert_array_equal(table.read(position), smears.pixels[place])


def test_the_masks_are_those_in_memory(written):
    smears = simulate_smears(SMALL)
    cells, nuclei = mask_files(written / "masks" / "cell"), mask_files(written / "masks" / "nucleus")
    for path, codes in zip(smears.images["path"], smears.codes, strict=True):
        stem = path.rsplit("/", 1)[1].removesuffix(".jpg")
        np.testing.assert_array_equal(read_codes(written / "masks" / "codes" / f"{stem}.png"), codes)
        np.testing.assert_array_equal(read_mask(cells[stem]), (codes == CYTOPLASM) | (codes == NUCLEUS))
        np.testing.assert_array_equal(read_mask(nuclei[stem]), codes == NUCLEUS)


def test_the_truth_is_that_in_memory_and_reads_as_boxes(written):
    truth, expected = (
        pd.read_csv(written / "truth.csv", keep_default_na=False),
        simulate_smears(SMALL).objects,
    )
    assert list(truth.columns) == list(expected.columns)
    np.testing.assert_allclose(truth["nc_ratio"], expected["nc_ratio"], rtol=1e-4)
    box = read_boxes(written / "truth.csv")[expected["file"][0]][0]
    assert tuple(box) == tuple(expected[["object", "x0", "y0", "x1", "y1"]].iloc[0])


def test_the_settings_in_the_folder_make_the_same_folder_again(written, tmp_path):
    settings = SmearSettings.load(written / "settings.toml")
    patients = read_patients(written / "asked_patients.csv")
    simulate_to_folder(settings, tmp_path / "again", patients=patients)
    assert content(tmp_path / "again") == content(written)


def test_processes_and_their_number_change_nothing(written, tmp_path):
    simulate_to_folder(SMALL, tmp_path / "two", workers=2)
    assert content(tmp_path / "two") == content(written)


def test_an_interrupted_folder_is_finished_without_drawing_anybody_twice(written, tmp_path, monkeypatch):
    drawn, real = [], write.write_patient

    def until_the_last(folder, settings, patient):
        drawn.append(patient.name)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return real(folder, settings, patient)

    monkeypatch.setattr(write, "write_patient", until_the_last)
    with pytest.raises(KeyboardInterrupt):
        simulate_to_folder(SMALL, tmp_path / "smears")
    assert not (tmp_path / "smears" / "manifest.csv").exists()
    simulate_to_folder(SMALL, tmp_path / "smears")
    assert drawn == ["P0001", "P0002", "P0003", "P0003"]
    assert content(tmp_path / "smears") == content(written)


def test_a_complete_folder_is_left_alone(written, monkeypatch):
    monkeypatch.setattr(write, "write_patient", lambda *_: pytest.fail("drawn again"))
    assert simulate_to_folder(SMALL, written) == 6


def test_a_folder_of_other_smears_is_refused(written):
    with pytest.raises(ConfigError, match="(?i)choose another folder"):
        simulate_to_folder(SMALL.replace(seed=1), written)
    with pytest.raises(ConfigError, match="(?i)other settings or patients"):
        simulate_to_folder(SMALL, written, patients=[SmearPatient("A", "AML")])


def test_a_full_disk_is_told_and_leaves_no_manifest(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StorageError, match="(?i)run the same command again"):
        simulate_to_folder(SMALL, tmp_path / "smears")
    assert not (tmp_path / "smears" / "manifest.csv").exists()


def test_fields_have_masks_and_boxes_of_all_their_cells(tmp_path):
    settings = SMALL.replace(
        product="fields", size=128, field_um=80.0, n_images_per_patient=1, image_format="png"
    )
    simulate_to_folder(settings, tmp_path)
    truth = pd.read_csv(tmp_path / "truth.csv")
    assert (truth.groupby("file").size() > 20).all()
    assert {"red_cell", "platelet"} <= set(truth["object"])
    assert truth.loc[truth["object"] == "red_cell", "nc_ratio"].isna().all()


def test_an_ordinary_picture_holds_no_codes(written):
    with pytest.raises(ConfigError, match="(?i)masks/codes"):
        read_codes(written / "images" / "P0001" / "P0001_0000.jpg")
