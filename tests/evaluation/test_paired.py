"""Swaps are all tried where they are few, and a p-value counts those at least as far apart."""

import numpy as np
import pytest

from trilineage.evaluation.paired import difference_interval, swap_p_value, swap_weights
from trilineage.evaluation.resampling import Strata, interval_weights


def test_every_swap_of_few_patients_is_tried_once_beginning_with_none():
    keeps = swap_weights(3, 99, np.random.default_rng(0))
    assert keeps[0].tolist() == [1, 1, 1]
    assert len(np.unique(keeps, axis=0)) == 8


def test_swaps_of_many_patients_are_drawn():
    keeps = swap_weights(13, 99, np.random.default_rng(0))
    assert keeps.shape == (100, 13)
    assert (keeps[0] == 1).all()


def test_the_p_value_counts_swaps_at_least_as_far_apart():
    first, second = np.array([3.0, 1.0, -2.0, 0.5]), np.array([1.0, 1.0, 0.0, 0.0])
    assert swap_p_value(first, second) == 0.5
    assert swap_p_value(np.array([np.nan, 1.0]), np.zeros(2)) is None


def test_the_interval_of_a_mean_difference_is_that_of_its_resamples():
    differences = np.random.default_rng(0).normal(1.0, 2.0, 40)
    strata = Strata(np.zeros(40, dtype=int), "")
    weights = interval_weights(strata, 2000, rng=np.random.default_rng(1))
    drawn = weights @ differences / weights.sum(axis=1)
    low, high = difference_interval(drawn[0], drawn, strata=strata, level=0.95)
    error = differences.std(ddof=1) / np.sqrt(40)
    assert [low, high] == pytest.approx(differences.mean() + 2.02 * error * np.array([-1, 1]), abs=0.12)


def test_a_difference_that_most_resamples_lack_has_no_interval():
    drawn = np.concatenate([[0.5], np.full(80, np.nan), np.zeros(20), np.zeros(2)])
    assert difference_interval(0.5, drawn, strata=Strata(np.zeros(2, dtype=int), ""), level=0.9) == (
        None,
        None,
    )
