"""The images recipe from files to decisions: scores, predictions, maps, comparisons, agreement, and bad input."""

import csv
import json
import shutil

import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.core.errors import (
    AlteredFileError,
    ColumnError,
    ConfigError,
    DivergenceError,
    LabelError,
    LeakageError,
)
from trilineage.pipelines import images
from trilineage.pipelines._images.store import read_nodes


def value(run, metric, subject="model", unit="patient", file="scores.json"):
    (found,) = [
        score
        for score in run.scores(file)
        if (score.metric, score.subject, score.unit) == (metric, subject, unit) and score.population == "all"
    ]
    return found


def manifest_rows(folder):
    with open(folder / "manifest.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def write_manifest(folder, rows):
    with open(folder / "manifest.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def copied(smears, tmp_path):
    """A copy of the images that a test may change."""
    return shutil.copytree(smears, tmp_path / "copied")


def test_held_out_patients_are_classified_far_above_the_majority(fitted_images):
    model, majority = (
        value(fitted_images, "leaf_accuracy", name) for name in ("model", "baseline: majority")
    )
    assert model.value > 0.7
    assert majority.value < 0.5


def test_the_probabilities_of_children_sum_to_their_parent(fitted_images):
    prediction = read_nodes(fitted_images)
    acute = prediction.nodes.index("acute")
    children = [prediction.nodes.index(name) for name in ("ALL", "AML")]
    np.testing.assert_allclose(
        prediction.probabilities[:, children].sum(axis=1), prediction.probabilities[:, acute], atol=1e-6
    )


def test_no_patient_is_in_two_parts_of_the_split(fitted_images):
    split = fitted_images.read_table("split.csv")
    parts = {}
    for patient, part in zip(split["patient"], split["part"], strict=True):
        parts.setdefault(patient, set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
    assert set().union(*parts.values()) == {"train", "valid", "test"}


def test_each_site_has_scores_of_its_own(fitted_images):
    populations = {score.population for score in fitted_images.scores()}
    assert {"site north", "site south"} <= populations
    assert [row["site"] for row in fitted_images.read_json("stains.json")["sites"]] == ["north", "south"]


def test_the_self_test_of_the_run_passes(fitted_images):
    found = fitted_images.read_json("self_test/fold0.json")
    assert found["passed"]
    assert len(found["checks"]) == 3


def test_the_worst_mistakes_are_pictures(fitted_images):
    for row in fitted_images.read_json("mistakes.json"):
        assert fitted_images.read_bytes(row["picture"]).startswith(b"\x89PNG")
        assert row["sample"].endswith(".png")


def test_validation_images_are_predicted_as_leaves_and_as_nodes(fitted_images):
    split, leaves = fitted_images.read_table("split.csv"), fitted_images.predictions("validation")
    valid = [name for name, part in zip(split["sample"], split["part"], strict=True) if part == "valid"]
    assert leaves.samples.tolist() == valid
    nodes = fitted_images.read_arrays("node_validation.npz")
    chosen = [nodes["nodes"].tolist().index(leaf) for leaf in leaves.classes]
    np.testing.assert_allclose(nodes["probabilities"][:, chosen], leaves.probabilities, atol=1e-6)


def test_the_same_seed_gives_the_same_bytes(fitted_images, quick_images, tmp_path):
    again = images.fit(quick_images, tmp_path / "again", device="cpu")
    same = ("weights/fold0.safetensors", "node_predictions.npz", "scores.json", "mistakes.json")
    assert all(again.read_bytes(name) == fitted_images.read_bytes(name) for name in same)


def test_prediction_of_the_test_images_repeats_the_scored_probabilities(fitted_images, smears, tmp_path):
    found = images.predict(fitted_images, smears, out=tmp_path / "out", device="cpu")
    scored = read_nodes(fitted_images)
    place = {name: row for row, name in enumerate(found.prediction.samples)}
    again = found.prediction.probabilities[[place[name] for name in scored.samples]]
    np.testing.assert_allclose(again, scored.probabilities, atol=1e-5)
    assert len(found.patients["patient"]) == 24


def test_a_broken_image_is_left_out_of_a_prediction_and_named(fitted_images, copied, tmp_path):
    broken = copied / manifest_rows(copied)[3]["path"]
    broken.write_bytes(broken.read_bytes()[:120])
    found = images.predict(fitted_images, copied, out=tmp_path / "out", device="cpu")
    assert [name for name, _ in found.unreadable] == [manifest_rows(copied)[3]["path"]]
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert about["n_images"] == 95
    assert about["unreadable"][0]["reason"]


def test_a_prediction_goes_on_with_the_parts_that_are_there(fitted_images, smears, tmp_path, monkeypatch):
    from trilineage.pipelines._images import predict

    monkeypatch.setattr(predict, "PART_SIZE", 32)
    whole = images.predict(fitted_images, smears, out=tmp_path / "whole", device="cpu")
    seen = []
    original = predict._predict_part

    def stopping(model, table, positions):
        seen.append(int(positions[0]))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(model, table, positions)

    monkeypatch.setattr(predict, "_predict_part", stopping)
    with pytest.raises(KeyboardInterrupt):
        images.predict(fitted_images, smears, out=tmp_path / "out", device="cpu")
    again = images.predict(fitted_images, smears, out=tmp_path / "out", device="cpu")
    assert seen == [0, 32, 64, 64]
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == (
        whole.path / "predictions.csv"
    ).read_bytes()
    assert again.patients == whole.patients


def test_unfinished_predictions_of_other_images_are_refused(fitted_images, smears, tmp_path):
    (tmp_path / "out" / "parts").mkdir(parents=True)
    (tmp_path / "out" / "parts" / "of.txt").write_text("something else")
    with pytest.raises(ConfigError, match="unfinished predictions of another model"):
        images.predict(fitted_images, smears, out=tmp_path / "out", device="cpu")


def test_maps_lie_on_the_cells_and_are_scored_beside_noise(fitted_images, smears):
    images.explain(
        fitted_images, n_images=16, regions=images.Regions(cells=smears / "masks"), node="ALL", device="cpu"
    )
    gradcam, noise = (
        value(fitted_images, "energy_inside", name, file="explain/scores.json")
        for name in ("gradcam", "random map")
    )
    assert 0.0 <= noise.value <= 1.0
    assert gradcam.n_samples > 0
    panels = fitted_images.read_json("explain/panels.json")
    assert all(fitted_images.read_bytes(panel["picture"]).startswith(b"\x89PNG") for panel in panels)
    assert fitted_images.read_json("explain/randomisation.json")["parts"][0] == "head"


def test_regions_of_other_images_are_refused(fitted_images, tmp_path, smears):
    (tmp_path / "masks").mkdir()
    shutil.copy(next((smears / "masks").iterdir()), tmp_path / "masks" / "other.png")
    with pytest.raises(ConfigError, match="no image to explain has a mask"):
        images.explain(fitted_images, regions=images.Regions(cells=tmp_path / "masks"), device="cpu")


@pytest.mark.parametrize("variant", ["flat", "base", "conditional", "hxe", "max_constrained"])
def test_every_variant_runs_from_fit_to_explanation(variant, quick_images, smears, tmp_path):
    config = quick_images.replace(**{"hierarchy.variant": variant, "training.epochs": 1})
    run = images.fit(config, tmp_path / "run", device="cpu")
    found = images.predict(run, smears, out=tmp_path / "out", device="cpu")
    assert found.prediction.probabilities[:, 0] == pytest.approx(1.0)
    images.explain(run, n_images=4, device="cpu")
    assert run.has("explain/maps.npz")


@pytest.mark.parametrize("variant", ["multilabel", "base"])
def test_a_frozen_backbone_trains_its_heads_on_kept_features(variant, quick_images, tmp_path):
    options = {
        "frozen": True,
        "n_views": 2,
        "hierarchy.variant": variant,
        "training.epochs": 80,
        "training.learning_rate": 0.05,
    }
    run = images.fit(quick_images.replace(**options), tmp_path / "run", device="cpu")
    assert value(run, "leaf_accuracy").value > value(run, "leaf_accuracy", "baseline: majority").value
    assert run.read_json("self_test/fold0.json")["passed"]


def test_folds_score_every_patient_once_and_keep_a_model_of_everyone(quick_images, tmp_path):
    config = quick_images.replace(**{"split.kind": "folds", "split.n_folds": 2, "training.epochs": 1})
    run = images.fit(config, tmp_path / "run", device="cpu")
    labels = ("ALL", "AML", "CLL", "normal")
    assert sorted(run.read_table("patients.csv")["patient"]) == [f"{n}{i}" for n in labels for i in range(6)]
    assert run.has("weights/final.safetensors")


def test_training_for_one_site_tests_all_images_of_the_others(quick_images, tmp_path):
    config = quick_images.replace(train_sites=("north",), **{"training.epochs": 1})
    run = images.fit(config, tmp_path / "run", device="cpu")
    split = run.read_table("split.csv")
    prediction = read_nodes(run)
    assert (prediction.sites == "south").sum() == 48
    assert len(split["sample"]) == 96


def test_compare_pairs_the_variants_on_the_same_patients(quick_images, tmp_path):
    config = quick_images.replace(**{"training.epochs": 1})
    run = images.compare(
        config, tmp_path / "all", vary={"hierarchy.variant": ["flat", "multilabel"]}, device="cpu"
    )
    pairs = {(row.first, row.second) for row in run.comparisons()}
    assert pairs == {("hierarchy.variant=multilabel", "hierarchy.variant=flat")}
    assert {row.unit for row in run.comparisons()} == {"sample", "patient"}


def test_readers_agree_with_labels_and_model(fitted_images, tmp_path):
    samples = read_nodes(fitted_images).samples
    rows = [{"image": name, "reader": "Ada", "label": name.split("/")[1].split("_")[0]} for name in samples]
    with open(tmp_path / "readers.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    images.agree(fitted_images, tmp_path / "readers.csv")
    scores = fitted_images.scores("agreement/scores.json")
    (perfect,) = [s for s in scores if s.metric == "cohen_kappa" and s.subject == "Ada ~ labels"]
    assert perfect.value == pytest.approx(1.0)
    assert any(s.subject == "labels ~ model" for s in scores)


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_a_label_that_is_no_node_is_answered_with_the_nearest(quick_images, copied, tmp_path):
    rows = manifest_rows(copied)
    rows[0]["label"] = "AMLL"
    write_manifest(copied, rows)
    with pytest.raises(LabelError, match="AML"):
        images.fit(quick_images.replace(**{"data.path": str(copied)}), tmp_path / "run", device="cpu")


def test_the_same_patient_in_two_parts_stops_the_run(quick_images, copied, tmp_path):
    rows = [{**row, "part": "test" if n % 2 else "train"} for n, row in enumerate(manifest_rows(copied))]
    write_manifest(copied, rows)
    config = quick_images.replace(
        **{"data.path": str(copied), "split.kind": "column", "split.column": "part"}
    )
    with pytest.raises(LeakageError, match="ALL0"):
        images.fit(config, tmp_path / "run", device="cpu")


def test_an_official_split_that_is_not_there_is_refused(quick_images, tmp_path):
    with pytest.raises(ColumnError, match="no official split"):
        images.fit(quick_images.replace(**{"split.kind": "column"}), tmp_path / "run", device="cpu")


def test_an_unknown_training_site_is_refused(quick_images, tmp_path):
    with pytest.raises(ColumnError, match="seen: east; allowed: north, south"):
        images.fit(quick_images.replace(train_sites=("east",)), tmp_path / "run", device="cpu")


def test_a_training_that_diverges_names_its_images_and_keeps_the_checkpoint(quick_images, tmp_path):
    wild = {"training.learning_rate": 1e30, "training.checkpoint_every_s": 0, "training.clip_norm": 0}
    with pytest.raises(DivergenceError):
        images.fit(quick_images.replace(**wild), tmp_path / "run", device="cpu")
    assert list((tmp_path / "run" / "checkpoints").rglob("*.safetensors"))


def test_altered_weights_never_predict(fitted_images, smears, tmp_path):
    copy = shutil.copytree(fitted_images.path, tmp_path / "copy")
    weights = copy / "weights" / "fold0.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(AlteredFileError):
        images.predict(Run.open(copy), smears, out=tmp_path / "out", device="cpu")


def test_attention_decides_for_patients_beside_the_other_rules(quick_images, tmp_path):
    options = {"frozen": True, "decision.attention": True, "training.epochs": 2}
    run = images.fit(quick_images.replace(**options), tmp_path / "run", device="cpu")
    attended = value(run, "leaf_accuracy", "model, attention pooling")
    assert attended.n_patients == value(run, "leaf_accuracy").n_patients
    assert 0.0 <= attended.value <= 1.0
