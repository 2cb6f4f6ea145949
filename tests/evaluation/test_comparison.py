"""Paired comparisons agree with a hand count, with scipy, and are level under no difference."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import permutation_test

from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.metrics import METRICS
from trilineage.evaluation.settings import EvaluationSettings

ACCURACY = EvaluationSettings(metrics=("accuracy",), n_bootstrap=200, n_permutations=400)


def calls(is_correct: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Prediction:
    """Return a binary prediction that is right where asked."""
    called = np.where(is_correct, labels, 1 - labels)
    names = np.arange(len(labels)).astype(str)
    return Prediction(names, patients, ("a", "b"), np.eye(2)[called] * 0.8 + 0.1, labels)


def test_a_case_counted_by_hand():
    """Four patients of one sample each; the first model is right on all, the second on one: 2 of 16 swaps reach .75."""
    labels, patients = np.array([0, 0, 1, 1]), np.array(list("pqrs"))
    first = calls(np.array([True] * 4), labels, patients)
    second = calls(np.array([True, False, False, False]), labels, patients)
    (found,) = compare_predictions(first, second, settings=ACCURACY)
    assert found.difference == pytest.approx(0.75)
    assert found.p_value == pytest.approx(4 / 16)  # the patient both get right may swap or not
    assert found.n_patients == 4


def test_the_p_value_agrees_with_scipy_on_the_mean_of_paired_differences():
    rng = np.random.default_rng(0)
    labels, patients = np.tile([0, 1], 5), np.array([f"p{i}" for i in range(10)])
    first = calls(rng.random(10) < 0.9, labels, patients)
    second = calls(rng.random(10) < 0.4, labels, patients)
    right = [(p.probabilities.argmax(axis=1) == labels).astype(float) for p in (first, second)]
    theirs = permutation_test(
        right, lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    (found,) = compare_predictions(first, second, settings=ACCURACY)
    assert found.p_value == pytest.approx(theirs.pvalue)


def test_a_model_does_not_differ_from_itself(draw):
    found = compare_predictions(draw(0), draw(0), settings=EvaluationSettings(n_bootstrap=100))
    assert [c.metric for c in found] == list(METRICS)
    assert all((c.difference, c.low, c.high, c.p_value) == (0.0, 0.0, 0.0, 1.0) for c in found)


def test_exchanging_the_models_turns_the_sign(draw):
    first, second = draw(0), replace(draw(0), probabilities=draw(0).probabilities[:, [1, 0, 2]])
    settings = EvaluationSettings(n_bootstrap=200, n_permutations=200)
    one = compare_predictions(first, second, settings=settings)
    other = compare_predictions(second, first, settings=settings)
    for a, b in zip(one, other, strict=True):
        assert (a.difference, a.p_value) == pytest.approx((-b.difference, b.p_value))


def test_pairing_by_patient_makes_the_difference_more_certain_than_the_scores(draw):
    prediction = draw(0, n_patients=24, patient_effect=2.0)
    noise = np.random.default_rng(5).normal(scale=0.2, size=prediction.probabilities.shape)
    odds = prediction.probabilities * np.exp(noise)
    shaken = replace(prediction, probabilities=odds / odds.sum(axis=1, keepdims=True))
    (found,) = compare_predictions(prediction, shaken, settings=ACCURACY)
    assert found.high - found.low < 0.05


def test_patients_can_be_compared_by_their_mean_probability(draw):
    first, second = draw(0), replace(draw(0), probabilities=np.full_like(draw(0).probabilities, 1 / 3))
    (found,) = compare_predictions(first, second, unit="patient", settings=ACCURACY, names=("m", "b"))
    assert (found.unit, found.first, found.second) == ("patient", "m", "b")
    assert found.difference > 0.3
    assert found.p_value < 0.05


def test_a_metric_without_value_has_no_difference_interval_or_p_value(draw):
    prediction = replace(draw(0), labels=np.zeros(len(draw(0).samples), dtype=int))
    found = {c.metric: c for c in compare_predictions(prediction, prediction)}
    assert np.isnan(found["auroc"].difference)
    assert (found["auroc"].low, found["auroc"].p_value) == (None, None)
    assert found["accuracy"].p_value == 1.0


def test_two_patients_of_two_classes_have_no_interval_of_a_rank_metric():
    labels, patients = np.array([0, 1]), np.array(["p", "q"])
    first = calls(np.array([True, True]), labels, patients)
    second = calls(np.array([True, False]), labels, patients)
    found = {c.metric: c for c in compare_predictions(first, second)}
    assert (found["auroc"].difference, found["auroc"].low) == (0.5, None)
    assert found["accuracy"].low is not None


def test_predictions_of_other_samples_cannot_be_paired(draw):
    first = draw(0)
    with pytest.raises(CohortError, match="cannot be paired; seen: different samples"):
        compare_predictions(first, replace(first, samples=first.samples[::-1]))


def test_predictions_without_labels_cannot_be_paired(draw):
    bare = replace(draw(0), labels=None)
    with pytest.raises(CohortError, match="seen: no labels"):
        compare_predictions(bare, bare)


def test_without_a_difference_p_values_below_5_percent_come_in_5_percent_of_studies(unchecked):
    """Patients with an effect of their own on each model's accuracy, the same on average."""
    patients = np.repeat([f"p{i:02d}" for i in range(16)], 8)
    labels = np.repeat(np.tile([0, 1], 8), 8)
    p_values, holds_zero = [], []
    for study in range(400):
        rng = np.random.default_rng(study)
        rates = np.repeat(rng.beta(6, 3, (16, 2)), 8, axis=0)
        first, second = (calls(rng.random(128) < rates[:, model], labels, patients) for model in (0, 1))
        (found,) = compare_predictions(first, second, settings=ACCURACY, seed=study)
        p_values.append(found.p_value)
        holds_zero.append(found.low <= 0.0 <= found.high)
    assert 0.02 < np.mean(np.array(p_values) <= 0.05) < 0.08
    assert 0.40 < np.mean(np.array(p_values) <= 0.5) < 0.60
    assert 0.91 < np.mean(holds_zero) < 0.98
