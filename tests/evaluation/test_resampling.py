"""Resamples of patients are stratified, unbiased and turned into intervals as published."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, bootstrap, norm

from trilineage.evaluation.resampling import (
    Scale,
    Strata,
    basic_interval,
    bca_interval,
    exact_lower_bound,
    interval_weights,
    jackknife_weights,
    logit_interval,
    patient_strata,
    perfect_lower_bound,
    ranked_patients,
    read_interval,
    resample_weights,
)

MANY = 10**9
"""Degrees of freedom at which t is normal."""


def test_patients_are_stratified_by_class():
    strata = patient_strata(np.array([[3, 0], [0, 2], [4, 0], [0, 1]]))
    assert strata.codes.tolist() == [0, 1, 0, 1]
    assert strata.note == ""
    assert strata.degrees_of_freedom == 2


def test_classes_with_one_patient_are_resampled_together():
    strata = patient_strata(np.eye(4, dtype=int)[[0, 1, 2, 2, 3]])
    assert strata.codes.tolist() == [0, 0, 2, 2, 0]
    assert strata.note.startswith("3 of 4 classes with one patient")


def test_a_single_class_with_one_patient_joins_the_smallest_other():
    strata = patient_strata(np.eye(3, dtype=int)[[0, 1, 1, 1, 2, 2]])
    assert strata.codes.tolist() == [0, 1, 1, 1, 0, 0]


def test_patients_with_several_labels_are_one_stratum():
    strata = patient_strata(np.array([[3, 1], [0, 2]]))
    assert strata.codes.tolist() == [0, 0]
    assert "several labels" in strata.note


def test_weights_keep_the_size_of_each_stratum():
    strata = Strata(np.array([0, 0, 0, 1, 1, 2]), "")
    weights = resample_weights(strata, 200, rng=np.random.default_rng(0))
    assert weights[:, :3].sum(axis=1) == pytest.approx(3.0)
    assert weights[:, 3:5].sum(axis=1) == pytest.approx(2.0)
    assert (weights[:, 5] == 1.0).all()


def test_the_variance_of_a_resampled_mean_is_that_of_the_sample_variance_over_n():
    values = np.array([1.0, 4.0, 2.0, 9.0])
    weights = resample_weights(Strata(np.zeros(4, dtype=int), ""), 200_000, rng=np.random.default_rng(1))
    means = weights @ values / 4
    assert means.mean() == pytest.approx(values.mean(), rel=0.01)
    assert means.var() == pytest.approx(values.var(ddof=1) / 4, rel=0.02)


def test_the_interval_agrees_with_scipy_where_t_is_normal():
    rng = np.random.default_rng(2)
    values = rng.gamma(1.0, size=60)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0))
    resampled = rng.multinomial(60, np.full(60, 1 / 60), size=20_000) @ values / 60
    left_out = jackknife_weights(60) @ values / 59
    ours = bca_interval(values.mean(), resampled, left_out, level=0.95, degrees_of_freedom=MANY)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=0.02)


def test_few_patients_widen_the_interval():
    resampled = np.linspace(-3, 3, 1001)
    wide, narrow = (
        np.diff(bca_interval(0.0, resampled, np.zeros(0), level=0.95, degrees_of_freedom=n))[0]
        for n in (5, MANY)
    )
    assert narrow == pytest.approx(6 * (2 * norm.cdf(1.96) - 1), rel=0.01)
    assert wide > narrow


def test_a_resample_without_value_is_left_out():
    resampled = np.concatenate([np.linspace(0, 1, 101), [np.nan] * 7])
    low, high = bca_interval(0.5, resampled, np.array([np.nan, 0.5]), level=0.9, degrees_of_freedom=MANY)
    assert (low, high) == pytest.approx((0.05, 0.95), abs=0.02)


def test_a_basic_interval_reflects_the_quantiles_and_stops_at_0():
    low, high = basic_interval(0.1, np.linspace(0.1, 0.4, 1001), level=0.9, degrees_of_freedom=MANY)
    assert low == 0.0
    assert high == pytest.approx(0.1, abs=0.02)


def test_a_logit_interval_reflects_the_quantiles_on_the_logit_scale():
    rng = np.random.default_rng(0)
    logits = rng.normal(2.0, 0.5, 100_000)
    low, high = logit_interval(
        2 * expit(2.2) - 1, 2 * expit(logits) - 1, level=0.95, degrees_of_freedom=MANY, limits=(-1.0, 1.0)
    )
    assert logit((low + 1) / 2) == pytest.approx(2 * 2.2 - 2.0 - 1.96 * 0.5, abs=0.02)
    assert logit((high + 1) / 2) == pytest.approx(2 * 2.2 - 2.0 + 1.96 * 0.5, abs=0.02)


@pytest.mark.parametrize("value", [0.5, 1.0])
def test_there_is_no_logit_interval_where_a_quantile_or_the_value_is_at_an_end(value):
    resampled = np.concatenate([np.linspace(0.2, 0.9, 60), np.ones(40)])
    shape = {"level": 0.9, "degrees_of_freedom": MANY, "limits": (0.0, 1.0)}
    assert logit_interval(value, resampled, **shape) is None


def test_the_bound_of_a_perfect_score_is_that_of_clopper_and_pearson():
    assert perfect_lower_bound(20, 0.95) == pytest.approx(0.025 ** (1 / 20))


@pytest.mark.parametrize(("right", "n"), [(20, 20), (17, 20), (1, 9)])
def test_the_exact_bound_is_that_of_the_binomial_interval(right, n):
    theirs = binomtest(right, n).proportion_ci(0.95, method="exact").low
    assert exact_lower_bound(right / n, n, 0.95) == pytest.approx(theirs)
    assert exact_lower_bound(0.0, n, 0.95) == 0.0


def test_an_auroc_rests_on_the_patients_of_its_smallest_class():
    assert ranked_patients(np.eye(3, dtype=int)[[0, 0, 0, 0, 1, 1, 1, 2, 2]] * 7) == pytest.approx(2 * 2)
    uneven = np.array([[0, 9], [0, 1], [3, 0], [3, 0], [3, 0]])
    assert ranked_patients(uneven) == pytest.approx(100 / 82)
    assert ranked_patients(np.array([[2, 0], [3, 0]])) == 2


def rare_errors(seed, n_ranked, n_positive=20, n_negative=100):
    """Return the interval of the AUROC of a study in which one patient in twenty looks like the other class."""
    rng, is_positive = np.random.default_rng(seed), np.repeat([1.0, 0.0], (n_positive, n_negative))
    is_odd = rng.random(len(is_positive)) < np.where(is_positive > 0, 0.05, 0.025)
    scores = rng.normal(size=len(is_positive)) + 4.0 * np.where(is_odd, 1 - is_positive, is_positive)
    strata = Strata((1 - is_positive).astype(int), "")
    order, weights = np.argsort(scores), interval_weights(strata, 300, rng=rng)
    weights, ordered = weights[:, order], is_positive[order]
    above, below = weights * ordered, weights * (1 - ordered)
    drawn = (above * np.cumsum(below, axis=1)).sum(axis=1) / above.sum(axis=1) / below.sum(axis=1)
    shape = {"strata": strata, "level": 0.95, "scale": Scale((0.0, 1.0))}
    return read_interval(float(drawn[0]), drawn, **shape, n_ranked=n_ranked)[:2]


def test_intervals_of_an_auroc_with_few_errors_hold_the_truth_without_reaching_down_to_chance():
    truth = 0.96034  # of the scores of `rare_errors`, from the normal distribution function
    exact, plain = (np.array([rare_errors(seed, n) for seed in range(60)]) for n in (20, None))
    coverage, before = ((ends[:, 0] <= truth) & (truth <= ends[:, 1]) for ends in (exact, plain))
    assert coverage.mean() >= 0.9 > before.mean()
    assert exact[:, 0].min() > 0.55 > plain[:, 0].min()


def test_leaving_out_stops_at_many_patients():
    assert jackknife_weights(3).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert jackknife_weights(301).shape == (0, 301)


def test_a_quantile_between_the_end_and_the_next_resample_is_at_the_end():
    resampled = np.r_[np.full(976, 0.9), np.full(26, 1.0)]
    assert np.quantile(resampled, 0.975) == pytest.approx(0.9975)  # reflected, it would reach down to 0.17
    assert logit_interval(0.9, resampled, level=0.95, degrees_of_freedom=MANY, limits=(0.0, 1.0)) is None
