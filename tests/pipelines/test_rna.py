"""The rna recipe from end to end on small simulated blood."""

import anndata
import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.core.errors import (
    AlteredFileError,
    CohortError,
    ConfigError,
    EmptyPopulationError,
    GeneAlignmentError,
)
from trilineage.pipelines import rna


def value(
    run: Run, metric: str, subject: str = "model", unit: str = "sample", file: str = "scores.json"
) -> float:
    (found,) = [s for s in run.scores(file) if (s.metric, s.subject, s.unit) == (metric, subject, unit)]
    return found.value


def test_held_out_donors_are_diagnosed_far_above_the_null(fitted):
    assert value(fitted, "balanced_accuracy", unit="patient") > 0.8
    assert (
        value(fitted, "balanced_accuracy")
        > value(fitted, "balanced_accuracy", "null: permuted patients") + 0.2
    )


def test_every_score_stands_beside_all_baselines_with_intervals(fitted):
    subjects = {score.subject for score in fitted.scores()}
    assert subjects == {
        "model",
        "baseline: majority",
        "baseline: composition",
        "baseline: pseudobulk + logistic",
        "baseline: PCA + logistic",
        "null: permuted patients",
    }
    model = [score for score in fitted.scores() if score.subject == "model" and score.metric == "accuracy"]
    assert all(score.low <= score.value <= score.high for score in model)
    assert {score.unit for score in model} == {"sample", "patient"}


def test_no_patient_is_in_two_parts(fitted):
    table = fitted.read_table("split.csv")
    parts = {}
    for patient, part in zip(table["patient"], table["part"], strict=True):
        if part != "unused":
            parts.setdefault(patient, set()).add(part)
    assert set(map(len, parts.values())) == {1}
    assert {part for found in parts.values() for part in found} == {"train", "valid", "test"}


def test_validation_samples_are_predicted_with_the_name_of_their_split(fitted):
    said, split = fitted.predictions("validation"), fitted.read_table("split.csv")
    parts = dict(zip(split["sample"], split["part"], strict=True))
    assert {parts[name] for name in said.samples} == {"valid"}
    assert len(said.samples) == split["part"].count("valid") > 0
    assert set(fitted.read_arrays("validation.npz")["folds"]) == set(split["fold"])


def test_scores_can_be_rebuilt_from_the_predictions_of_the_run(fitted):
    prediction = fitted.predictions()
    accuracy = np.mean(prediction.probabilities.argmax(1) == prediction.labels)
    assert value(fitted, "accuracy") == pytest.approx(accuracy, abs=1e-12)


def test_the_same_seed_gives_the_same_bytes(fitted, quick, tmp_path):
    again = rna.fit(quick, tmp_path / "again", device="cpu", baselines=False)
    for name in ("weights/fold0.safetensors", "predictions.npz", "split.csv"):
        assert (again.path / name).read_bytes() == (fitted.path / name).read_bytes()


def test_a_finished_run_is_returned_as_it_is(fitted, quick):
    before = (fitted.path / "run.json").stat().st_mtime_ns
    assert rna.fit(quick, fitted.path, device="cpu").is_complete
    assert (fitted.path / "run.json").stat().st_mtime_ns == before


def test_another_configuration_in_the_same_folder_is_refused_by_name(fitted, quick):
    with pytest.raises(ConfigError, match="seed"):
        rna.fit(quick.replace(seed=5), fitted.path, device="cpu")


def test_prediction_writes_latent_probabilities_and_alignment(fitted, blood, tmp_path):
    out = tmp_path / "out.h5ad"
    result = rna.predict(fitted, blood, out=out, device="cpu")
    written = anndata.read_h5ad(out)
    assert written.obsm["X_trilineage"].shape == (1080, 16)
    np.testing.assert_allclose(written.obsm["trilineage_probabilities"].sum(axis=1), 1, atol=1e-6)
    assert result.alignment["n_missing"] == 0
    assert len(written.uns["trilineage"]["patients"]) == 18
    assert (written.X != anndata.read_h5ad(blood).X).nnz == 0


def test_prediction_on_the_test_samples_repeats_the_scored_probabilities(fitted, blood):
    scored = fitted.predictions()
    result = rna.predict(fitted, blood, device="cpu").prediction
    rows = {name: row for row, name in enumerate(result.samples.tolist())}
    again = result.probabilities[[rows[name] for name in scored.samples.tolist()]]
    np.testing.assert_allclose(again, scored.probabilities, atol=1e-5)


def test_missing_genes_are_reported_and_taken_at_their_training_mean(fitted, blood, tmp_path):
    data = anndata.read_h5ad(blood)
    kept = np.random.default_rng(0).permutation(data.n_vars)[:240]
    data[:, kept].write_h5ad(tmp_path / "fewer.h5ad")
    result = rna.predict(fitted, tmp_path / "fewer.h5ad", device="cpu")
    assert (result.alignment["n_missing"], result.alignment["n_matched"]) == (60, 240)
    whole = rna.predict(fitted, blood, device="cpu").prediction.probabilities.argmax(1)
    assert np.mean(result.prediction.probabilities.argmax(1) == whole) > 0.7


def test_a_file_without_the_genes_of_the_model_is_refused_unless_overridden(fitted, blood, tmp_path):
    data = anndata.read_h5ad(blood)
    data[:, :30].copy().write_h5ad(tmp_path / "few.h5ad")
    with pytest.raises(GeneAlignmentError, match="30 of 300"):
        rna.predict(fitted, tmp_path / "few.h5ad", device="cpu")
    assert (
        rna.predict(fitted, tmp_path / "few.h5ad", min_gene_share=0.05, device="cpu").alignment["n_matched"]
        == 30
    )


def test_altered_weights_are_never_used(fitted, blood, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(fitted.path, copy)
    weights = copy / "weights" / "fold0.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(AlteredFileError):
        rna.predict(copy, blood, device="cpu")


def test_transfer_scores_zero_shot_beside_same_donor_null_and_own_classifier(fitted):
    rna.transfer(fitted, to=("Monocyte",), device="cpu")
    file = "transfer/scores.json"
    subjects = {score.subject for score in fitted.scores(file)}
    assert {
        "model",
        "null: permuted patients",
        "trained on this population",
        "baseline: majority",
    } <= subjects
    assert "model on training patients (leaky)" in subjects
    assert {score.population for score in fitted.scores(file)} == {"Monocyte"}
    assert value(fitted, "accuracy", file=file) > value(
        fitted, "accuracy", "null: permuted patients", file=file
    )


def test_transfer_with_refinement_compares_the_hybrid(fitted):
    rna.transfer(fitted, to=("Lymphocyte",), refine="Lymphocyte", device="cpu")
    names = {
        row.second
        for row in fitted.comparisons("transfer/comparisons.json")
        if row.population == "Lymphocyte"
    }
    assert "hybrid: refined autoencoder" in names


def test_transfer_refuses_data_that_changed(fitted, blood):
    original = blood.read_bytes()
    data = anndata.read_h5ad(blood)
    try:
        data[:-1].write_h5ad(blood)
        with pytest.raises(ConfigError, match="not the one"):
            rna.transfer(fitted, to=("Monocyte",), device="cpu")
    finally:
        blood.write_bytes(original)


def test_explanation_recovers_genes_of_the_truth_above_chance(fitted):
    rna.explain(fitted, n_seeds=2, device="cpu")
    table = fitted.read_table("explain/genes.csv")
    assert {"class", "rank", "gene", "attribution", "low", "high"} <= set(table)
    recovery = fitted.read_json("explain/recovery.json")
    assert set(recovery["classes"]) == {"AML", "ALL"}
    assert all(row["auroc"] > 0.7 for row in recovery["classes"].values())


def test_folds_score_every_patient_once_and_keep_a_model_of_everyone(quick, tmp_path):
    config = quick.replace(**{"split.kind": "folds", "split.n_folds": 3, "evaluation.n_nulls": 0})
    run = rna.fit(config, tmp_path / "folds", device="cpu")
    assert len(np.unique(run.predictions().patients)) == 18
    assert run.has("weights/final.safetensors")
    assert len(set(run.read_table("split.csv")["fold"])) == 3


def test_the_binary_task_gives_two_classes(quick, tmp_path):
    config = quick.replace(task="binary", **{"evaluation.n_nulls": 0})
    run = rna.fit(config, tmp_path / "binary", device="cpu")
    assert run.predictions().classes == ("diseased", "healthy")
    assert value(run, "auroc", unit="patient") > 0.8


@pytest.mark.parametrize("kind", ["transformer", "gcn", "sign", "logistic"])
def test_every_classifier_runs_from_fit_to_predict(kind, quick, blood, tmp_path):
    config = quick.replace(
        **{"classifier.kind": kind, "classifier_training.epochs": 20, "evaluation.n_nulls": 0}
    )
    run = rna.fit(config, tmp_path / kind, device="cpu", baselines=False)
    assert value(run, "accuracy") > 0.5
    scored = run.predictions()
    result = rna.predict(run, blood, device="cpu").prediction
    rows = {name: row for row, name in enumerate(result.samples.tolist())}
    again = result.probabilities[[rows[name] for name in scored.samples.tolist()]]
    np.testing.assert_allclose(again, scored.probabilities, atol=1e-4)


@pytest.mark.parametrize("loss", ["nb", "zinb"])
def test_count_likelihoods_train(loss, quick, tmp_path):
    config = quick.replace(**{"autoencoder.loss": loss, "evaluation.n_nulls": 0})
    run = rna.fit(config, tmp_path / loss, device="cpu", baselines=False)
    assert value(run, "accuracy") > 0.5


def test_a_study_compares_variants_on_the_same_patients(quick, tmp_path):
    base = quick.replace(**{"evaluation.n_nulls": 0})
    run = rna.study(base, tmp_path / "study", vary={"autoencoder.n_latent": (8, 16)}, device="cpu")
    names = {"autoencoder.n_latent=8", "autoencoder.n_latent=16"}
    assert names <= {score.subject for score in run.scores()}
    assert {(row.first, row.second) for row in run.comparisons()} == {
        tuple(sorted(names, key=len, reverse=True))
    }


def test_options_are_chosen_inside_the_training_part(quick, tmp_path):
    options = ("classifier_training.learning_rate=0.001,1e-9",)
    config = quick.replace(
        **{"selection.options": options, "representation": "genes", "evaluation.n_nulls": 0}
    )
    run = rna.fit(config, tmp_path / "selected", device="cpu", baselines=False)
    stored = run.read_weights_metadata("fold0")["config"]
    assert "learning_rate = 0.001" in stored.split("[classifier_training]")[1]


def test_an_empty_population_lists_the_cell_types(quick, tmp_path):
    with pytest.raises(EmptyPopulationError, match="GMP"):
        rna.fit(quick.replace(**{"population.train": ("osteoclast",)}), tmp_path / "none", device="cpu")
    assert not (tmp_path / "none").exists()


def test_one_donor_per_class_is_refused(blood, quick, tmp_path):
    data = anndata.read_h5ad(blood)
    first = data.obs.groupby("disease", observed=True)["donor_id"].first()
    data[data.obs["donor_id"].isin(first)].copy().write_h5ad(tmp_path / "one.h5ad")
    with pytest.raises(CohortError, match="patient"):
        rna.fit(quick.replace(**{"data.path": str(tmp_path / "one.h5ad")}), tmp_path / "run", device="cpu")
