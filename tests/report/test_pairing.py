"""Runs are paired on the same people only: same patients, diagnoses and classes; otherwise the page says why not."""

import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Prediction
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.report.pairing import compared, entry

FAST = EvaluationSettings(n_bootstrap=100, n_permutations=99, metrics=("balanced_accuracy", "brier"))
CLASSES = ("healthy", "AML")


class NoOptions(Settings):
    """A configuration without options."""


def foretold(n_patients=8, *, seed=0, classes=CLASSES, first="p"):
    """Return probabilities of two samples of each patient, diagnoses in turn."""
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"{first}{number:02d}" for number in range(n_patients)], 2)
    labels = np.repeat(np.arange(n_patients) % 2, 2)
    right = rng.uniform(0.3, 1.0, len(labels))
    probabilities = np.stack(
        [np.where(labels == 0, right, 1 - right), np.where(labels == 1, right, 1 - right)], 1
    )
    if classes != CLASSES:
        probabilities, labels = probabilities[:, ::-1].copy(), 1 - labels
    return Prediction(np.arange(len(labels)).astype(str), patients, classes, probabilities, labels)


@pytest.fixture
def made(tmp_path):
    """Write a Run that keeps predictions, and return it as an entry."""

    def make(name, prediction, sha256="ab"):
        run = Run.create(tmp_path / name, kind="rna", config=NoOptions(), seed=0, data={"sha256": sha256})
        if prediction is not None:
            run.write_predictions(prediction)
        return entry(name, run)

    return make


def test_runs_on_the_same_patients_are_compared_as_their_predictions_are(made):
    one, other = foretold(seed=1), foretold(seed=2)
    pair = compared(made("one", one), made("other", other), FAST)
    expected = compare_predictions(one, other, names=("one", "other"), unit="patient", settings=FAST)
    assert (list(pair.comparisons), pair.n_patients, pair.note) == (expected, 8, "")


def test_the_order_of_patients_and_of_classes_does_not_matter(made):
    one, other = foretold(seed=1), foretold(seed=2)
    turned = foretold(seed=2, classes=("AML", "healthy"))
    back = np.arange(len(turned.samples))[::-1]
    turned = Prediction(
        turned.samples[back],
        turned.patients[back],
        turned.classes,
        turned.probabilities[back],
        turned.labels[back],
    )
    straight = compared(made("one", one), made("other", other), FAST).comparisons
    for expected, found in zip(
        straight, compared(made("one", one), made("turned", turned), FAST).comparisons, strict=True
    ):
        assert found.difference == pytest.approx(expected.difference)
        assert found.p_value == expected.p_value


def test_of_the_same_file_the_patients_that_both_tested_are_compared(made):
    pair = compared(made("one", foretold(8)), made("other", foretold(6)), FAST)
    assert pair.n_patients == 6
    assert "Compared on 6 patients tested by both (of 8 and 6)." in pair.note


def test_of_different_files_equal_names_alone_are_no_proof(made):
    pair = compared(made("one", foretold(8)), made("other", foretold(3), sha256="cd"), FAST)
    assert pair.comparisons == ()
    assert "equal names may be different people" in pair.note


def test_different_data_of_the_same_patients_are_paired_and_that_is_said(made):
    pair = compared(made("one", foretold()), made("other", foretold(seed=3), sha256="cd"), FAST)
    assert (pair.n_patients, pair.is_assumed) == (8, True)
    assert pair.note.startswith("The data differ:")


def test_other_classes_are_refused(made):
    other = foretold(classes=("AML", "ALL"))
    assert "different classes" in compared(made("one", foretold()), made("other", other), FAST).note


def test_other_patients_are_refused(made):
    pair = compared(made("one", foretold()), made("other", foretold(first="q")), FAST)
    assert pair.note == "They were tested on different patients: 8 and 8, 0 shared."


def test_another_diagnosis_of_a_patient_is_refused(made):
    other = foretold()
    other.labels[:2] = 1 - other.labels[:2]
    pair = compared(made("one", foretold()), made("other", other), FAST)
    assert pair.note == "1 of 8 shared patients have another diagnosis in other than in one."


def test_a_run_without_predictions_is_named(made):
    assert (
        compared(made("one", foretold()), made("bare", None), FAST).note
        == "bare keeps no predictions of patients."
    )


def test_patients_with_several_labels_cannot_be_paired(made):
    mixed = foretold()
    mixed.labels[0] = 1 - mixed.labels[0]
    assert "several labels" in made("mixed", mixed).lacks


def test_what_models_said_out_of_fold_is_taken_where_a_run_keeps_that(concept_run):
    found = entry("concepts", concept_run)
    assert found.file == "out_of_fold.npz"
    assert len(found.prediction.patients) == len(set(found.prediction.patients))
