"""Predictions are counted, calibrated and listed without losing or inventing a patient."""

import numpy as np
import pytest

from trilineage.core.records import Prediction
from trilineage.evaluation.patient_sums import patient_sums
from trilineage.report.blocks import Figure, Fold, Text
from trilineage.report.sections.predictions import (
    MAX_PATIENTS_DRAWN,
    labelled,
    patient_prediction,
    patient_table,
    predictions_section,
    reliability_interval,
)


def prediction(patients: list[str], labels: list[int], chances: list[float]) -> Prediction:
    first = np.array(chances)
    samples = np.array([f"s{i}" for i in range(len(labels))])
    return Prediction(
        samples, np.array(patients), ("A", "B"), np.stack([first, 1 - first], axis=1), np.array(labels)
    )


def test_samples_of_unknown_label_are_left_out():
    kept = labelled(prediction(["p", "q"], [0, -1], [0.9, 0.9]))
    assert (kept.samples.tolist(), kept.labels.tolist()) == (["s0"], [0])


def test_predictions_without_labels_leave_nothing_to_score():
    unknown = Prediction(np.array(["s"]), np.array(["p"]), ("A", "B"), np.array([[0.5, 0.5]]))
    assert len(labelled(unknown).samples) == 0


def test_patients_with_several_labels_have_no_diagnosis_of_their_own():
    assert patient_prediction(prediction(["p", "p"], [0, 1], [0.9, 0.9])) is None


def test_the_table_of_patients_puts_wrong_calls_first():
    patients = patient_prediction(prediction(["p", "p", "q", "r"], [0, 0, 1, 0], [0.9, 0.7, 0.6, 0.55]))
    assert patient_table(patients).rows == (
        ("q", "B", "A", "0.60", "0.40"),
        ("p", "A", "A", "0.80", "0.80"),
        ("r", "A", "A", "0.55", "0.55"),
    )


def test_the_interval_of_a_bin_holds_its_share_and_is_the_same_each_time():
    rng = np.random.default_rng(0)
    patients = np.repeat([f"p{i}" for i in range(30)], 10).tolist()
    made = prediction(patients, (rng.random(300) < 0.7).astype(int).tolist(), rng.random(300).tolist())
    terms = patient_sums([made], [])[0].calibration
    used = terms[:, :, 0].sum(axis=0) > 0
    share = terms[:, used, 1].sum(axis=0) / terms[:, used, 0].sum(axis=0)
    low, high = reliability_interval(terms[:, used], 3)
    assert ((low <= share) & (share <= high)).all()
    assert np.array_equal(low, reliability_interval(terms[:, used], 3)[0])


def test_one_patient_gives_an_interval_without_width():
    low, high = reliability_interval(np.array([[[10.0, 7.0, 8.0]]]), 0)
    assert (low.tolist(), high.tolist()) == ([0.7], [0.7])


@pytest.mark.parametrize(
    ("n_patients", "mark"), [(MAX_PATIENTS_DRAWN, "Framed"), (MAX_PATIENTS_DRAWN + 1, "Circle")]
)
def test_many_patients_are_dots_and_few_are_rows(bare_run, n_patients, mark):
    names = [f"p{i}" for i in range(n_patients)]
    bare_run.write_predictions(prediction(names, [i % 2 for i in range(n_patients)], [0.3] * n_patients))
    section = predictions_section(bare_run)
    (figure,) = (block for block in section.blocks if isinstance(block, Figure) and block.name == "patients")
    assert mark in figure.caption
    assert isinstance(section.blocks[-1], Fold)


def test_without_a_diagnosis_per_patient_the_section_says_why(bare_run):
    bare_run.write_predictions(prediction(["p", "p", "q"], [0, 1, 1], [0.9, 0.2, 0.3]))
    last = predictions_section(bare_run).blocks[-1]
    assert isinstance(last, Text)
    assert "several labels" in last.text


def test_a_confusion_matrix_says_in_words_who_was_called_right(bare_run):
    bare_run.write_predictions(prediction(["p", "p", "q"], [0, 0, 1], [0.9, 0.2, 0.3]))
    figure = next(block for block in predictions_section(bare_run).blocks if isinstance(block, Figure))
    assert "Per patient, called right: A 1 of 1; B 1 of 1." in figure.description
    assert "Per sample, called right: A 1 of 2; B 1 of 1." in figure.description
