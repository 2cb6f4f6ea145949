"""Pretraining from files to an encoder that the other recipes take, and the probes of it."""

import csv
import re
import shutil

import numpy as np
import pytest
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError, ColumnError, DataError, LeakageError
from trilineage.data.images.open import open_images
from trilineage.models.encoder import EncoderSettings, build_encoder
from trilineage.models.encoder_origin import is_learned, learned_contents
from trilineage.pipelines import images

QUICK = {
    "data.size": 16,
    "objective.decoder_width": 32,
    "training.epochs": 2,
    "training.batch_size": 32,
    "training.warmup_steps": 0,
}


def config(folder, **options):
    return images.PretrainConfig.load(None, {**QUICK, "data.path": str(folder), **options})


def split_names(run, part):
    """Names of the images in a part of the split of a Run."""
    split = run.read_table("split.csv")
    return [name for name, mine in zip(split["sample"], split["part"], strict=True) if mine == part]


def without(folder, *columns):
    """Write the manifest again without some columns; return the manifest."""
    rows = [{k: v for k, v in row.items() if k not in columns} for row in read(folder)]
    return write(folder / "manifest.csv", rows)


def read(folder):
    with open(folder / "manifest.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path, rows):
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def pretrained(smears, tmp_path_factory):
    """An encoder trained on the labelled images of one site."""
    options = {"train_sites": ("north",), "valid_fraction": 0.3}
    return images.pretrain(config(smears / "manifest.csv", **options), tmp_path_factory.mktemp("e") / "run")


@pytest.fixture
def copied(smears, tmp_path):
    """A copy of the images that a test may change."""
    return shutil.copytree(smears, tmp_path / "copied")


def test_the_run_holds_an_encoder_under_the_names_of_timm(pretrained):
    weights = pretrained.read_weights("model")
    assert weights["blocks.5.mlp.fc2.weight"].dtype == np.float16
    assert not any(name.startswith(("decoder", "classify")) for name in weights)
    encoder = build_encoder(EncoderSettings(run=str(pretrained.path)))
    assert (encoder.image_size, encoder.grid, encoder.n_prefix) == ((16, 16), (2, 2), 0)


def test_only_patients_of_the_chosen_site_are_learned_from(pretrained):
    split = pretrained.read_table("split.csv")
    rows = list(zip(split["sample"], split["patient"], split["part"], strict=True))
    used = {patient for _, patient, part in rows if part != "unused"}
    assert {patient[-1] for patient in used} == set("135")
    parts = {part: {patient for _, patient, mine in rows if mine == part} for part in ("train", "valid")}
    assert parts["valid"]
    assert not parts["train"] & parts["valid"]


def test_what_was_learned_from_is_known_by_content(pretrained):
    split = pretrained.read_table("split.csv")
    part_of = dict(zip(split["sample"], split["part"], strict=True))
    table = open_images(pretrained.config(images.PretrainConfig).data)
    learned = is_learned(EncoderSettings(run=str(pretrained.path)), table.content_numbers)
    assert learned.tolist() == [part_of[name] == "train" for name in table.names.tolist()]


def test_the_history_has_both_validation_values(pretrained):
    epochs = pretrained.read_json("history.json")["encoder"]["epochs"]
    assert len(epochs) == 2
    assert set(epochs[-1]) >= {"loss", "valid_loss", "valid_accuracy"}


def test_the_card_says_what_was_learned_and_how_to_load_it(pretrained):
    card = pretrained.read_text("model_card.md")
    assert "4 classes" in card


def test_the_code_on_the_card_loads_the_encoder_with_timm_alone(pretrained, monkeypatch):
    monkeypatch.chdir(pretrained.path)
    (code,) = re.findall(r"```python\n(.*?)```", pretrained.read_text("model_card.md"), flags=re.DOTALL)
    pixels = torch.rand(3, 3, 16, 16)
    names = {"pixels": pixels}
    with torch.inference_mode():
        exec(code, names)
        own = build_encoder(EncoderSettings(run=str(pretrained.path))).backbone(pixels)
    assert torch.allclose(names["features"], own, atol=1e-5)


def test_images_without_labels_or_patients_are_enough(copied, tmp_path):
    path = without(copied, "label", "patient", "site")
    run = images.pretrain(config(path, **{"training.epochs": 1}), tmp_path / "run")
    assert run.read_json("cohort.json")["learned_classes"] == []
    assert "valid_accuracy" not in run.read_json("history.json")["encoder"]["epochs"][-1]


def test_an_official_split_is_followed_and_test_images_are_never_touched(copied, tmp_path):
    rows = read(copied)
    parts = ("train", "test", "val", "train")
    for row in rows:
        row["split"] = parts[int(row["patient"][-1]) % 4]
    run = images.pretrain(config(write(copied / "manifest.csv", rows)), tmp_path / "run")
    split = run.read_table("split.csv")
    expected = [{"val": "valid"}.get(row["split"], row["split"]) for row in rows]
    assert split["part"] == expected


def test_a_test_image_among_the_training_images_is_refused(copied, tmp_path):
    rows = read(copied)
    for row in rows:
        row["split"] = "train"
    rows[0]["split"], rows[0]["patient"] = "test", "somebody"
    shutil.copy(copied / rows[1]["path"], copied / rows[0]["path"])
    with pytest.raises(LeakageError, match="same content"):
        images.pretrain(config(write(copied / "manifest.csv", rows)), tmp_path / "run")


def test_a_site_that_is_not_there_is_refused(smears, tmp_path):
    with pytest.raises(ColumnError, match="train_sites names sites"):
        images.pretrain(config(smears / "manifest.csv", train_sites=("west",)), tmp_path / "run")


def test_a_data_set_of_test_images_only_is_refused(copied, tmp_path):
    rows = [{**row, "split": "test"} for row in read(copied)]
    with pytest.raises(DataError, match="no image to train on"):
        images.pretrain(config(write(copied / "manifest.csv", rows)), tmp_path / "run")


def test_a_frozen_classifier_takes_the_encoder_by_its_run(pretrained, smears, tmp_path):
    options = {
        "data.path": str(smears / "manifest.csv"),
        "data.size": 16,
        "backbone.weights": str(pretrained.path),
        "frozen": True,
        "training.epochs": 2,
        "evaluation.n_bootstrap": 100,
    }
    run = images.fit(images.Config.load(None, options), tmp_path / "run")
    backbone = run.config(images.Config).backbone
    assert (backbone.name, backbone.pool) == ("small_vit", "mean")
    n_known = np.isin(split_names(run, "test"), split_names(pretrained, "train")).sum()
    (note,) = [note for note in run.read_json("cohort.json")["notes"] if "has learned from" in note]
    assert f"learned from {n_known} of the" in note
    known = learned_contents(EncoderSettings(run=str(run.path)))
    assert known.tolist() == learned_contents(EncoderSettings(run=str(pretrained.path))).tolist()


@pytest.fixture(scope="module")
def probed(pretrained, smears, tmp_path_factory):
    """Probes of the encoder, with an attribute and the same images as another data set."""
    options = {
        "encoder.run": str(pretrained.path),
        "data.path": str(smears / "manifest.csv"),
        "data.size": 16,
        "data.site_column": "site",
        "attributes": ("patient_kind",),
        "evaluation.n_bootstrap": 100,
        "probe.penalties": (0.01, 0.1),
        "split.valid_fraction": 0.3,
        "other_labels": {"healthy": "normal"},
    }
    folder = shutil.copytree(smears, tmp_path_factory.mktemp("probe") / "smears")
    rows = read(folder)
    for row in rows:
        row["patient_kind"] = "" if row["label"] == "CLL" else "acute" if row["label"][0] == "A" else "other"
    options["data.path"] = str(write(folder / "manifest.csv", rows))
    for row in rows:
        row["label"] = {"normal": "healthy", "ALL": "all", "CLL": "unheard of"}.get(
            row["label"], row["label"]
        )
    options["other.path"] = str(write(folder / "second.csv", rows))
    return images.probe(images.ProbeConfig.load(None, options), tmp_path_factory.mktemp("p") / "run")


def values(run, metric="accuracy", file="scores.json"):
    return {(s.subject, s.population): s for s in run.scores(file) if s.metric == metric}


def test_the_label_is_read_in_two_ways_beside_random_weights(probed):
    found = values(probed)
    subjects = {subject for subject, _ in found}
    readings = ("linear probe", "nearest neighbours")
    assert subjects == {*readings, *(f"baseline: random weights, {reading}" for reading in readings)}
    assert found["linear probe", "all"].value > 0.7


def test_scores_are_over_patients_and_by_site_and_data_set(probed):
    found = values(probed)
    populations = {population for _, population in found}
    assert populations == {"all", "site north", "site south", "data set second"}
    whole = found["linear probe", "all"]
    assert whole.n_patients < whole.n_samples
    assert found["linear probe", "data set second"].n_samples == 72  # three of four labels are known here


def test_an_attribute_is_a_population_of_its_own_file(probed):
    found = values(probed, file="attributes.json")
    places = ("patient_kind", "patient_kind, site north", "patient_kind, site south")
    assert {population for _, population in found} == set(places)
    assert found["linear probe", "patient_kind"].value > 0.7


def test_test_images_that_the_encoder_has_learned_from_are_counted(probed, pretrained):
    split = pretrained.read_table("split.csv")
    trained = {name for name, part in zip(split["sample"], split["part"], strict=True) if part == "train"}
    own = probed.read_table("split.csv")
    test = [name for name, part in zip(own["sample"], own["part"], strict=True) if part == "test"]
    assert probed.read_json("probes.json")["n_test_learned_from"] == sum(name in trained for name in test)


def test_an_attribute_that_is_no_column_is_refused(pretrained, smears, tmp_path):
    options = {"data.path": str(smears / "manifest.csv"), "data.size": 16, "attributes": ("hue",)}
    settings = images.ProbeConfig.load(None, {**options, "encoder.run": str(pretrained.path)})
    with pytest.raises(ColumnError, match="attributes that the table"):
        images.probe(settings, tmp_path / "run")


def test_images_of_one_kind_have_nothing_to_tell(pretrained, copied, tmp_path):
    path = without(copied, "label")
    settings = images.ProbeConfig.load(
        None, {"data.path": str(path), "data.size": 16, "encoder.run": str(pretrained.path)}
    )
    with pytest.raises(CohortError, match="nothing to tell"):
        images.probe(settings, tmp_path / "run")


def test_a_finished_pretraining_is_left_as_it_is(pretrained, smears):
    again = images.pretrain(pretrained.config(images.PretrainConfig), pretrained.path)
    assert again.manifest == Run.open(pretrained.path).manifest
