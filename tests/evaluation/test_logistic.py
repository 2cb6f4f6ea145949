"""Logistic regression agrees with scikit-learn's own pipeline and keeps absent classes in place."""

import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trilineage.evaluation import logistic
from trilineage.evaluation.logistic import fit_logistic
from trilineage.evaluation.settings import BaselineSettings


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(3.0, [1.0, 50.0, 0.01], size=(60, 3))


def test_probabilities_are_those_of_a_scaled_scikit_learn_regression(features):
    labels = (features[:, 0] > 3).astype(int) + (features[:, 1] > 40)
    reference = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    ours = fit_logistic(features, labels, 3, settings=BaselineSettings()).probabilities(features)
    assert ours == pytest.approx(reference.fit(features, labels).predict_proba(features), abs=1e-6)


def test_a_class_that_training_lacks_has_probability_0(features):
    labels = 2 * (features[:, 0] > 3).astype(int)
    found = fit_logistic(features, labels, 4, settings=BaselineSettings()).probabilities(features)
    assert (found[:, [1, 3]] == 0.0).all()
    assert found.sum(axis=1) == pytest.approx(1.0)


def test_one_class_in_training_is_predicted_for_all(features):
    found = fit_logistic(features, np.ones(60, dtype=int), 2, settings=BaselineSettings())
    assert (found.probabilities(features) == [0.0, 1.0]).all()


def test_a_constant_feature_does_no_harm(features):
    features[:, 1] = 7.0
    labels = (features[:, 0] > 3).astype(int)
    found = fit_logistic(features, labels, 2, settings=BaselineSettings()).probabilities(features)
    assert np.mean(found.argmax(axis=1) == labels) > 0.95


def test_nothing_to_predict_gives_an_empty_table(features):
    labels = (features[:, 0] > 3).astype(int)
    fitted = fit_logistic(features, labels, 2, settings=BaselineSettings())
    assert fitted.probabilities(features[:0]).shape == (0, 2)


def test_a_regression_that_does_not_converge_is_logged(features, monkeypatch, caplog):
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 1)
    labels = (features[:, 0] + features[:, 1] > 6).astype(int)
    with caplog.at_level(logging.WARNING):
        fit_logistic(features, labels, 2, settings=BaselineSettings(inverse_penalty=1e4))
    assert "stopped at 1 iterations" in caplog.text
