"""Sums per patient give the metrics of any reweighting exactly, and within the stated bound where levels are joined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.evaluation import patient_sums as module
from trilineage.evaluation.metrics import METRICS, classification_metrics
from trilineage.evaluation.patient_sums import limit_levels, patient_sums, reweighted_metrics


@pytest.mark.parametrize("max_dense", [0, 2**22])
def test_reweighted_metrics_equal_those_of_the_repeated_patients(draw, monkeypatch, max_dense):
    monkeypatch.setattr(module, "MAX_DENSE", max_dense)
    prediction = draw(0, n_patients=12)
    weights = np.random.default_rng(1).integers(0, 4, (70, 12)).astype(float)
    (sums,) = patient_sums([prediction], tuple(METRICS))
    found = reweighted_metrics([(sums, weights)], tuple(METRICS))
    of_sample = np.searchsorted(sums.patients, prediction.patients)
    for row in (0, 5, 69):
        expected = classification_metrics(
            prediction.labels, prediction.probabilities, weights[row][of_sample]
        )
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_swapped_models_are_scored_as_the_mixture_of_their_predictions(draw):
    first, second = draw(0, n_patients=9), draw(0, n_patients=9, signal=0.3)
    keeps = np.random.default_rng(2).integers(0, 2, (5, 9)).astype(float)
    one, other = patient_sums([first, second], tuple(METRICS))
    found = reweighted_metrics([(one, keeps), (other, 1.0 - keeps)], tuple(METRICS))
    is_kept = keeps[3][np.searchsorted(one.patients, first.patients)] == 1.0
    mixed = np.where(is_kept[:, None], first.probabilities, second.probabilities)
    expected = classification_metrics(first.labels, mixed)
    assert {name: values[3] for name, values in found.items()} == pytest.approx(expected)


def test_no_ranks_are_kept_where_no_metric_needs_them(draw):
    (sums,) = patient_sums([draw(0)], ("accuracy", "ece"))
    assert sums.positives == ()


def test_few_levels_are_left_as_they_are():
    levels = np.array([2, 0, 1, 1])
    assert limit_levels(levels, levels == 1) is levels


@given(seed=st.integers(0, 1000), share=st.sampled_from([0.5, 0.1, 0.003]), signal=st.floats(0.0, 4.0))
def test_joined_levels_keep_their_order_and_their_area_within_the_bound(seed, share, signal):
    rng = np.random.default_rng(seed)
    is_positive = rng.random(20_000) < share
    is_positive[:2] = True, False
    scores = rng.normal(size=20_000) + signal * is_positive
    levels = (np.argsort(np.argsort(-scores))).astype(np.int64)
    joined = limit_levels(levels, is_positive)
    assert joined.max() < module.MAX_LEVELS
    assert (np.diff(joined[np.argsort(levels)]) >= 0).all()
    assert abs(area(joined, is_positive) - area(levels, is_positive)) <= 1.0 / module.MAX_LEVELS


def area(levels: np.ndarray, is_positive: np.ndarray) -> float:
    """Area under the ROC curve, from ranks (Mann and Whitney)."""
    n_levels = levels.max() + 1
    positive = np.bincount(levels[is_positive], minlength=n_levels)
    negative = np.bincount(levels[~is_positive], minlength=n_levels)
    below = negative.sum() - np.cumsum(negative) + negative / 2
    return float((positive * below).sum() / positive.sum() / negative.sum())
