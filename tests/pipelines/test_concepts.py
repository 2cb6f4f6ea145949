"""The concepts recipe from images to barcodes: every file of a Run, controls, equal bytes, and bad input."""

import csv
import errno
import json
import os

import numpy as np
import pytest
import torch

from trilineage.core.errors import (
    ArtifactError,
    CohortError,
    ColumnError,
    ConfigError,
    DataError,
    StorageError,
    UnsafeFileError,
)
from trilineage.data.barcodes.files import read_barcodes
from trilineage.data.sae_formats.own import write_sae
from trilineage.data.tokens.shards import TokenShardWriter
from trilineage.models.encoder import TokenEncoder
from trilineage.models.sae.exchange import from_model
from trilineage.pipelines import concepts
from trilineage.pipelines._concepts.material import gather

FILES = {
    "config.toml",
    "cohort.json",
    "split.csv",
    "history.json",
    "tokens.json",
    "weights/sae.safetensors",
    "reconstruction.json",
    "figures.json",
    "targets.json",
    "recovered.json",
    "shift.json",
    "cells.json",
    "concepts.npz",
    "concepts.csv",
    "references.npz",
    "associations.npz",
    "profile.npz",
    "barcodes.h5ad",
    "patients.json",
    "scores.json",
    "comparisons.json",
    "out_of_fold.npz",
    "subtype_model.npz",
    "held_out_model.npz",
    "predictions.npz",
    "validation.npz",
    "disease.json",
    "unlike_training.csv",
}
SUBJECTS = ["autoencoder", "raw neurons", "principal components", "random dictionary"]


def fit(config, out):
    return concepts.fit(config, out, device="cpu")


def write_manifest(folder, rows):
    with open(folder / "manifest.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def manifest_rows(folder):
    with open(folder / "manifest.csv", newline="") as stream:
        return list(csv.DictReader(stream))


# ---- what a Run holds -----------------------------------------------------------------------------------------------


def test_a_run_has_every_file_and_no_tokens_or_checkpoints_are_left(fitted_concepts):
    found = {
        str(path.relative_to(fitted_concepts.path))
        for path in fitted_concepts.path.rglob("*")
        if path.is_file()
    }
    assert found == FILES | {"run.json"}
    assert fitted_concepts.is_complete
    assert set(fitted_concepts.manifest["files"]) == FILES


def test_no_patient_is_in_two_parts_of_the_split(fitted_concepts):
    split = fitted_concepts.read_table("split.csv")
    parts = {}
    for patient, part in zip(split["patient"], split["part"], strict=True):
        parts.setdefault(patient, set()).add(part)
    assert len(parts) == 24
    assert all(len(found) == 1 for found in parts.values())
    assert set().union(*parts.values()) == {"train", "valid", "test"}


def test_held_out_images_that_the_encoder_knows_are_counted(quick_concepts, seeing):
    split = seeing.read_table("split.csv")
    part_of = dict(zip(split["sample"], split["part"], strict=True))
    material = gather(quick_concepts.replace(seed=1))
    test = material.cohort.samples[material.split.positions("test")].tolist()
    n_known = sum(part_of[name] != "test" for name in test)
    assert n_known > 0
    assert any(f"from {n_known} of the {len(test)} held-out images" in note for note in material.notes)
    assert not any("has learned" in note for note in gather(quick_concepts).notes)  # one seed, one split


def test_held_out_patients_are_classified_by_a_model_of_the_training_patients(fitted_concepts):
    split = fitted_concepts.read_table("split.csv")
    part_of = dict(zip(split["patient"], split["part"], strict=True))
    for part, name in (("test", "predictions"), ("valid", "validation")):
        said = fitted_concepts.predictions(name)
        assert set(said.patients) == {patient for patient, own in part_of.items() if own == part}
        assert len(set(said.patients)) == len(said.samples)
        np.testing.assert_allclose(said.probabilities.sum(axis=1), 1.0)
    model = fitted_concepts.read_arrays("held_out_model.npz")
    assert not np.array_equal(model["mean"], fitted_concepts.read_arrays("subtype_model.npz")["mean"])


def test_every_control_stands_beside_the_autoencoder(fitted_concepts):
    assert [row["subject"] for row in fitted_concepts.read_json("figures.json")] == SUBJECTS
    rows = fitted_concepts.read_json("reconstruction.json")
    assert [(row["subject"], row["part"]) for row in rows[::3]] == [
        (subject, part) for subject in SUBJECTS for part in ("train", "test")
    ]
    assert {row["kind"] for row in rows} == {"all", "cls", "patch"}
    targets = fitted_concepts.read_json("targets.json")
    assert {row["subject"] for row in targets} == set(SUBJECTS)
    assert {row["target"] for row in targets} >= {"class=ALL", "class=AML", "class=CLL"}


def test_raw_neurons_and_components_explain_all_variance_and_the_random_dictionary_least(fitted_concepts):
    explained = {
        row["subject"]: row["explained_variance"]
        for row in fitted_concepts.read_json("reconstruction.json")
        if (row["part"], row["kind"]) == ("test", "all")
    }
    assert explained["raw neurons"] == pytest.approx(1, abs=1e-6)
    assert explained["principal components"] == pytest.approx(1, abs=1e-6)
    assert 0.2 < explained["autoencoder"] < 1
    assert explained["random dictionary"] < explained["autoencoder"]


def test_figures_of_latents_are_never_nan_where_they_must_be_known(fitted_concepts):
    arrays = fitted_concepts.read_arrays("concepts.npz")
    for name in ("frequency", "mean_activation", "entropy", "relative_entropy", "auroc", "q_value"):
        assert np.isfinite(arrays[name]).all(), name
    row = fitted_concepts.read_json("figures.json")[0]
    assert (
        row["n_strong"] == arrays["strong"].sum() == len(fitted_concepts.read_table("concepts.csv")["latent"])
    )
    assert 0 < row["n_concepts"] == arrays["is_concept"].sum()


def test_latents_tell_diagnoses_apart_on_held_out_patients(fitted_concepts):
    rows = {
        (row["target"], row["subject"]): row["value"] for row in fitted_concepts.read_json("targets.json")
    }
    assert rows["class=CLL", "autoencoder"] > 0.9
    assert rows["nucleus=large", "autoencoder"] > 0.6


def test_reconstructions_keep_what_the_classifier_decides_by(fitted_concepts):
    found = fitted_concepts.read_json("recovered.json")
    assert found["note"] == ""
    losses = {row["metric"]: row["value"] for row in found["scores"]}
    assert losses["loss: clean"] < losses["loss: mean"]
    assert losses["loss: reconstruction"] < losses["loss: mean"]


def test_barcodes_are_of_all_patients_with_their_labels_and_sites(fitted_concepts):
    barcodes = read_barcodes(fitted_concepts.path / "barcodes.h5ad")
    assert (len(barcodes), barcodes.n_latents) == (24, 192)
    assert np.unique(barcodes.labels, return_counts=True)[1].tolist() == [8, 8, 8]
    assert np.unique(barcodes.sites).tolist() == ["north", "south"]
    assert barcodes.n_images.tolist() == [20, *[4] * 7] * 3


def test_patients_are_classified_beside_every_other_way_to_see_them(fitted_concepts):
    scores = {
        score.subject: score.value
        for score in fitted_concepts.scores()
        if (score.metric, score.population) == ("balanced_accuracy", "all")
    }
    assert next(iter(scores)) == "model"
    assert len(scores) == 6
    assert scores["model"] > 0.6
    assert {pair.unit for pair in fitted_concepts.comparisons()} == {"patient"}
    assert fitted_concepts.read_json("patients.json") == {"note": "", "n_patients": 24, "held_out": ""}


def test_shifts_and_numbers_of_cells_are_told(fitted_concepts):
    cohorts = [row["cohort"] for row in fitted_concepts.read_json("shift.json")]
    assert cohorts == ["held-out images", "site north", "site south"]
    assert fitted_concepts.read_json("cells.json")["n_patients"] == 3
    assert [row["disease"] for row in fitted_concepts.read_json("disease.json")] == ["ALL", "AML", "CLL"]


def test_a_finished_run_is_returned_as_it_is(fitted_concepts, quick_concepts):
    before = (fitted_concepts.path / "run.json").read_bytes()
    assert fit(quick_concepts, fitted_concepts.path).is_complete
    assert (fitted_concepts.path / "run.json").read_bytes() == before


# ---- the same again -------------------------------------------------------------------------------------------------


def test_two_machines_fill_a_folder_and_the_same_seed_gives_the_same_bytes(
    quick_concepts, fitted_concepts, require_same, tmp_path
):
    halves = [concepts.tokens(quick_concepts, tmp_path / "t", shard=f"{i}/2", device="cpu") for i in (1, 0)]
    assert [half.n_images for half in halves] == [72, 72]
    assert (halves[0].left_elsewhere, halves[1].left_elsewhere) == ((0, 2), ())
    again = fit(quick_concepts.replace(**{"tokens.folder": str(tmp_path / "t")}), tmp_path / "run")
    require_same(fitted_concepts, again)
    same = FILES - {"config.toml", "history.json", "barcodes.h5ad"}
    assert all(again.read_bytes(name) == fitted_concepts.read_bytes(name) for name in same)
    assert len(list((tmp_path / "t").glob("*.npy"))) > 0


def test_tokens_on_the_fly_find_the_same_to_rounding(quick_concepts, fitted_concepts, shuffled, tmp_path):
    live = {"tokens.live": True, "concepts.controls": (), "barcode.classify": False}
    run = fit(quick_concepts.replace(weights=str(shuffled[0]), **live), tmp_path / "run")
    assert "n_outliers" not in run.read_json("tokens.json")
    own, its = (one.read_arrays("concepts.npz") for one in (fitted_concepts, run))
    for name in ("frequency", "mean_activation", "auroc"):
        np.testing.assert_allclose(its[name], own[name][shuffled[1]], atol=2e-3)


def test_an_autoencoder_that_is_brought_along_is_used_without_training(brought, fitted_concepts, shuffled):
    assert brought.read_json("history.json") == {"holdout": {}}
    own, its = (run.read_arrays("concepts.npz") for run in (fitted_concepts, brought))
    np.testing.assert_array_equal(its["frequency"], own["frequency"][shuffled[1]])
    np.testing.assert_array_equal(its["strong"], own["strong"][shuffled[1]])


def test_a_network_without_weights_is_the_same_in_every_command(quick_concepts, tmp_path):
    untrained = quick_concepts.replace(
        **{"encoder.run": "", "encoder.backbone.name": "small_vit", "encoder.backbone.pool": "cls"},
        **{"encoder.backbone.weights": "none"},
    )
    torch.manual_seed(1)
    concepts.tokens(untrained, tmp_path, shard="0/2", device="cpu")
    torch.manual_seed(2)
    assert concepts.tokens(untrained, tmp_path, shard="1/2", device="cpu").left_elsewhere == ()


# ---- bad input ------------------------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_bomb_is_never_run_and_no_token_is_made(quick_concepts, tmp_path):
    torch.save({"cfg": Bomb(tmp_path / "struck"), "state_dict": {}}, tmp_path / "bomb.pt")
    with pytest.raises(UnsafeFileError, match="system"):
        fit(quick_concepts.replace(weights=str(tmp_path / "bomb.pt")), tmp_path / "run")
    assert not (tmp_path / "struck").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sae.k": 193}, ConfigError, "k = 193 of 192 latents on tokens of width 160"),
        ({"encoder.block": 6}, ConfigError, "block"),
        ({"data.size": 64}, ConfigError, "takes images of another size; seen: 64 x 64"),
        ({"encoder.keep": "cls", "barcode.with_cls": False}, ConfigError, "no token is left"),
        ({"attributes": ("colour",)}, ColumnError, "seen: colour"),
        ({"split.kind": "folds"}, ConfigError, "one autoencoder"),
    ],
)
def test_what_cannot_work_is_refused_before_any_token_is_made(
    changes, error, message, quick_concepts, tmp_path
):
    with pytest.raises(error, match=message):
        fit(quick_concepts.replace(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_autoencoder_of_tokens_of_another_width_is_refused(quick_concepts, tmp_path):
    from trilineage.models.sae.model import SparseAutoencoder
    from trilineage.models.sae.settings import SaeSettings

    write_sae(from_model(SparseAutoencoder(64, SaeSettings(latents=128), seed=0)), tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="width 64; allowed: width 160"):
        fit(quick_concepts.replace(weights=str(tmp_path / "w.safetensors")), tmp_path / "run")


@pytest.fixture(scope="module")
def extracted(quick_concepts, tmp_path_factory):
    """All tokens of the cohort, in a folder."""
    folder = tmp_path_factory.mktemp("tokens")
    concepts.tokens(quick_concepts, folder, device="cpu")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder.block": 2}, "block"),
        ({"encoder.keep": "patches"}, "keep"),
        ({"data.fit": "crop"}, "reading"),
    ],
)
def test_a_folder_of_other_tokens_is_refused(changes, message, quick_concepts, extracted, tmp_path):
    config = quick_concepts.replace(**{"tokens.folder": str(extracted), **changes})
    with pytest.raises(ArtifactError, match=message):
        fit(config, tmp_path / "run")


def test_a_token_that_is_no_number_is_named_by_image_and_place(quick_concepts, tmp_path, monkeypatch):
    kept = TokenEncoder.kept

    def spoilt(encoder, tokens):
        found = kept(encoder, tokens).clone()
        found[-1, 6, 3] = torch.nan
        return found

    monkeypatch.setattr(TokenEncoder, "kept", spoilt)
    with pytest.raises(DataError, match=r"all_4_3.png is not finite.*patch in row 1, column 1.*position 35"):
        fit(quick_concepts, tmp_path / "run")


def test_a_full_disk_during_extraction_keeps_what_is_finished(quick_concepts, tmp_path, monkeypatch):
    add, n_added = TokenShardWriter.add, []

    def full(writer, tokens, norms):
        n_added.append(len(tokens))
        if sum(n_added) > 72:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(writer, tokens, norms)

    monkeypatch.setattr(TokenShardWriter, "add", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        fit(quick_concepts, tmp_path / "run")
    assert "2 of 4 shards are finished and stay" in caught.value.__notes__[0]
    monkeypatch.setattr(TokenShardWriter, "add", add)
    report = concepts.tokens(quick_concepts, tmp_path / "run" / "tokens", device="cpu")
    assert (report.n_before, report.n_images) == (72, 72)


def test_a_tau_that_leaves_nothing_is_refused_with_the_largest_activation(quick_concepts, shuffled, tmp_path):
    changes = {"weights": str(shuffled[0]), "concepts.controls": (), "barcode.tau": 1e4}
    with pytest.raises(DataError, match="no latent exceeds tau = 10000.*largest activation"):
        fit(quick_concepts.replace(**changes), tmp_path / "run")


def test_one_patient_of_a_class_cannot_be_held_out(quick_concepts, drawn, tmp_path):
    rows = [row for row in manifest_rows(drawn) if row["label"] != "CLL" or row["patient"] == "CLL0"]
    path = write_manifest(tmp_path, rows)
    with pytest.raises(CohortError, match="CLL"):
        fit(quick_concepts.replace(**{"data.path": str(path), "data.root": str(drawn)}), tmp_path / "run")


def test_one_patient_per_class_is_enough_for_concepts_but_not_for_a_classifier(
    quick_concepts, drawn, shuffled, tmp_path
):
    rows = [row for row in manifest_rows(drawn) if row["patient"][-1] in "01"]
    for row in rows:
        is_first = row["patient"].endswith("0")
        row |= {"part": "train"} if is_first else {"part": "test", "label": ""}
    changes = {"data.path": str(write_manifest(tmp_path, rows)), "data.root": str(drawn)}
    changes |= {"split.kind": "column", "split.column": "part", "split.valid_fraction": 0.0}
    changes |= {"weights": str(shuffled[0]), "concepts.controls": ("random",)}
    run = fit(quick_concepts.replace(**changes), tmp_path / "run")
    assert run.is_complete
    assert run.read_json("patients.json")["note"].startswith("patients were not classified: ")
    assert not run.has("scores.json")
    assert read_barcodes(run.path / "barcodes.h5ad").labels.tolist() == ["ALL", "", "AML", "", "CLL", ""]


def test_images_of_nobody_have_concepts_and_barcodes_of_their_own(quick_concepts, drawn, shuffled, tmp_path):
    rows = [{"path": row["path"]} for row in manifest_rows(drawn)[:40]]
    changes = {
        "data.path": str(write_manifest(tmp_path, rows)),
        "data.root": str(drawn),
        "attributes": (),
    }
    changes |= {"weights": str(shuffled[0]), "concepts.controls": ()}
    run = fit(quick_concepts.replace(**changes), tmp_path / "run")
    assert not run.has("associations.npz")
    assert not run.has("patients.json")
    assert run.read_json("targets.json") == []
    assert len(read_barcodes(run.path / "barcodes.h5ad")) == 40
    assert json.loads((run.path / "cohort.json").read_text())["has_patients"] is False
