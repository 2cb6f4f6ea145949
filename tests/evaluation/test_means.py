"""Means over patients weigh every patient the same and carry the interval of the resampled patients."""

import numpy as np
import pytest
from scipy.stats import sem, t

from trilineage.evaluation import means
from trilineage.evaluation.means import draw_resamples, mean_scores
from trilineage.evaluation.resampling import Scale

SHARE, ANY = Scale((0.0, 1.0)), Scale((-np.inf, np.inf))


def one_class(patients):
    return np.zeros(len(patients), dtype=np.int64)


def test_every_patient_weighs_the_same_however_many_samples_it_has():
    patients = np.array(["a", "a", "a", "b"])
    (score,) = mean_scores({"m": (np.array([0.0, 0.3, 0.6, 0.9]), SHARE)}, patients, one_class(patients))
    assert score.value == pytest.approx(0.6)
    assert (score.n_samples, score.n_patients, score.unit) == (4, 2, "patient")


def test_the_interval_of_many_patients_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(2.0, 1.0, 60)
    patients = np.arange(60).astype(str)
    (score,) = mean_scores({"m": (values, ANY)}, patients, one_class(patients), n_bootstrap=8000)
    assert (score.low, score.high) == pytest.approx(
        t.interval(0.95, 59, values.mean(), sem(values)), abs=0.03
    )


def test_samples_without_a_value_are_left_out_and_told():
    patients, values = np.array(["a", "b", "c", "d"]), np.array([0.1, 0.3, 0.5, np.nan])
    numbers = {"m": (values, SHARE), "none": (np.full(4, np.nan), SHARE)}
    score, none = mean_scores(numbers, patients, one_class(patients))
    assert score.value == pytest.approx(0.3)
    assert (score.n_patients, score.note) == (3, "1 samples without a value left out")
    assert (none.low, none.note) == (None, "no sample has a value")


def test_one_patient_has_no_interval():
    patients = np.array(["a", "a"])
    (score,) = mean_scores({"m": (np.array([0.2, 0.4]), SHARE)}, patients, one_class(patients))
    assert (score.value, score.low) == (pytest.approx(0.3), None)
    assert score.note.startswith("no interval: 1 patient")


def test_metrics_of_the_same_samples_share_their_resamples(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        means, "draw_resamples", lambda *own, **how: drawn.append(1) or draw_resamples(*own, **how)
    )
    patients, values = np.array(list("abcd")), np.array([0.1, 0.3, 0.5, 0.9])
    holed = np.array([np.nan, 0.3, 0.5, 0.9])
    numbers = {"first": (values, SHARE), "second": (values**2, SHARE), "holed": (holed, SHARE)}
    mean_scores(numbers, patients, one_class(patients))
    assert len(drawn) == 2
