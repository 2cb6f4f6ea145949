"""Metrics agree with scikit-learn and with hand-computed cases, and say so where they have no value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from trilineage.evaluation.metrics import (
    METRICS,
    absent_note,
    calibration_bins,
    classification_metrics,
    confusion_matrix,
    missing_reason,
    score_levels,
)


@st.composite
def predictions(draw_value, min_classes: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities (with ties) and weights (with zeros)."""
    rng = np.random.default_rng(draw_value(st.integers(0, 10_000)))
    n_samples = draw_value(st.integers(2, 60))
    n_classes = draw_value(st.integers(min_classes, 5))
    grain = draw_value(st.sampled_from([3, 10, 1000]))
    raw = rng.integers(1, grain + 1, size=(n_samples, n_classes)).astype(float)
    labels = rng.integers(0, n_classes, n_samples)
    labels[:2] = 0, 1
    weight = rng.integers(0, 4, n_samples).astype(float)
    weight[:2] = 1.0
    return labels, raw / raw.sum(axis=1, keepdims=True), weight


def average_over_classes(function, labels, probabilities, weight) -> float:
    """Mean of a binary scikit-learn metric over the classes with positives and negatives."""
    values = []
    for code in range(probabilities.shape[1]):
        truth = labels == code
        if weight[truth].sum() > 0 and weight[~truth].sum() > 0:
            values.append(function(truth, probabilities[:, code], sample_weight=weight))
    return float(np.mean(values))


@given(case=predictions())
def test_every_metric_of_calls_agrees_with_scikit_learn(case):
    labels, probabilities, weight = case
    called = probabilities.argmax(axis=1)
    found = classification_metrics(labels, probabilities, weight)
    is_used = weight > 0
    shared = {"sample_weight": weight[is_used], "zero_division": 0}
    truth, calls = labels[is_used], called[is_used]
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, called, sample_weight=weight))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, calls, average="macro", **shared))
    assert found["weighted_f1"] == pytest.approx(
        reference.f1_score(truth, calls, average="weighted", **shared)
    )
    recalls = reference.recall_score(truth, calls, average=None, labels=np.unique(truth), **shared)
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["mcc"] == pytest.approx(
        reference.matthews_corrcoef(truth, calls, sample_weight=weight[is_used]), abs=1e-9
    )


@given(case=predictions())
def test_every_metric_of_probabilities_agrees_with_scikit_learn(case):
    labels, probabilities, weight = case
    found = classification_metrics(labels, probabilities, weight)
    area = average_over_classes(reference.roc_auc_score, labels, probabilities, weight)
    precision = average_over_classes(reference.average_precision_score, labels, probabilities, weight)
    truth = np.eye(probabilities.shape[1])[labels]
    squared = ((probabilities - truth) ** 2).sum(axis=1)
    assert found["auroc"] == pytest.approx(area)
    assert found["auprc"] == pytest.approx(precision)
    assert found["brier"] == pytest.approx(np.average(squared, weights=weight))


@given(case=predictions())
def test_the_calibration_error_is_the_weighted_gap_of_each_bin(case):
    labels, probabilities, weight = case
    confidence, is_correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        expected += abs((weight * (is_correct - confidence))[inside].sum()) / weight.sum()
    assert classification_metrics(labels, probabilities, weight)["ece"] == pytest.approx(expected, abs=1e-9)


def test_the_binary_brier_score_is_twice_that_of_scikit_learn():
    labels, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.4, 0.1])
    found = classification_metrics(labels, np.stack([1 - p, p], axis=1))["brier"]
    assert found == pytest.approx(2 * reference.brier_score_loss(labels, p))


def test_a_case_computed_by_hand():
    labels = np.array([0, 0, 1, 1, 2])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.7, 0.2], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]
    )
    found = classification_metrics(labels, probabilities)
    assert found["accuracy"] == pytest.approx(4 / 5)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    assert found["weighted_f1"] == pytest.approx((2 * 2 / 3 + 2 * 4 / 5 + 1) / 5)
    assert found["auroc"] == pytest.approx((1 + 5 / 6 + 1) / 3)
    assert found["auprc"] == pytest.approx((1 + (1 / 2 + 1 / 2 * 2 / 3 + 0) / 1 + 1) / 3)
    assert found["brier"] == pytest.approx((0.06 + 0.86 + 0.14 + 0.38 + 0.06) / 5)


def test_equal_weights_are_as_no_weights():
    rng = np.random.default_rng(0)
    labels, raw = rng.integers(0, 3, 50), rng.random((50, 3))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    plain = classification_metrics(labels, probabilities)
    doubled = classification_metrics(labels, probabilities, np.full(50, 2.0))
    assert doubled == pytest.approx(plain)


def test_a_class_absent_from_the_truth_is_left_out_of_the_means_and_named():
    labels = np.array([0, 0, 2, 2])
    probabilities = np.array([[0.9, 0.0, 0.1], [0.6, 0.1, 0.3], [0.2, 0.1, 0.7], [0.1, 0.2, 0.7]])
    found = classification_metrics(labels, probabilities)
    assert found["balanced_accuracy"] == found["auroc"] == found["macro_f1"] == 1.0
    assert absent_note(labels, ("aml", "cml", "mds")) == "no sample of: cml"


def test_one_class_in_the_truth_has_no_rank_metric_and_no_correlation():
    found = classification_metrics(np.zeros(3, dtype=int), np.full((3, 2), 0.5))
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"auroc", "auprc", "mcc"}
    assert missing_reason("auroc", np.zeros(3, dtype=int)) == "not computable: one class only in the truth"


def test_no_sample_at_all_has_no_metric():
    found = classification_metrics(np.zeros(0, dtype=int), np.zeros((0, 3)))
    assert all(np.isnan(value) for value in found.values())
    assert missing_reason("accuracy", np.zeros(0, dtype=int)) == "not computable: no labelled sample"


def test_calling_everyone_the_same_has_correlation_0():
    probabilities = np.tile([0.6, 0.4], (4, 1))
    assert classification_metrics(np.array([0, 1, 0, 1]), probabilities)["mcc"] == 0.0


def test_the_confusion_matrix_has_the_truth_in_rows():
    found = confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    assert found.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_levels_count_distinct_scores_from_the_top():
    assert score_levels(np.array([0.2, 0.9, 0.2, 0.5])).tolist() == [2, 0, 2, 1]


def test_bins_are_closed_above():
    assert calibration_bins(np.array([0.0, 1 / 15, 0.07, 1.0])).tolist() == [0, 0, 1, 14]


def test_single_precision_probabilities_give_the_same_metrics():
    rng = np.random.default_rng(1)
    raw = rng.random((40, 3))
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 3, 40)
    single = classification_metrics(labels, probabilities.astype(np.float32))
    assert single == pytest.approx(classification_metrics(labels, probabilities), abs=1e-6)
    assert list(single) == list(METRICS)
