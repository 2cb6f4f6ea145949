"""One temperature, fitted on whole patients, mends over-confidence and changes nothing where it cannot know."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from trilineage.evaluation.calibration import (
    apply_temperature,
    calibrate,
    fit_temperature,
    patient_weights,
)


def draw_logits(seed: int, n_samples: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits and labels from them: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n_samples, 3))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n_samples, 1))).sum(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature):
    logits, labels = draw_logits(0)
    patients = np.arange(len(labels)).astype(str)
    assert fit_temperature(logits * temperature, labels, patients) == pytest.approx(temperature, rel=0.05)


def test_scaling_mends_over_confidence():
    logits, labels = draw_logits(1, 4000)
    found = calibrate(3.0 * logits, labels, np.arange(4000).astype(str))
    assert found.ece_before > 0.15
    assert found.ece_after < 0.03


def test_the_temperature_is_the_minimum_on_a_grid():
    logits, labels = draw_logits(2, 300)
    patients = np.random.default_rng(0).integers(0, 9, 300).astype(str)
    weight = patient_weights(patients)

    def loss(temperature: float) -> float:
        return -(weight * log_softmax(2 * logits / temperature, axis=1)[np.arange(300), labels]).sum()

    found = fit_temperature(2 * logits, labels, patients)
    assert loss(found) <= min(loss(t) for t in np.geomspace(0.1, 10, 400)) + 1e-9


def test_each_patient_weighs_the_same_however_many_cells_it_has():
    logits, labels = draw_logits(3, 4000)
    scale = np.where(np.arange(4000) < 400, 4.0, 1.0)[:, None]
    patients = np.where(np.arange(4000) < 400, np.arange(4000) % 9, 10).astype(str)
    weighted = fit_temperature(logits * scale, labels, patients)
    unweighted = fit_temperature(logits * scale, labels, np.arange(4000).astype(str))
    assert weighted > unweighted + 0.5


def test_weights_add_up_to_1_in_each_patient():
    assert patient_weights(np.array(["p", "q", "p", "p"])) == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 2)), np.zeros(0, dtype=int)),
        (np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([0, 0])),
        (np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0, 1])),
        (np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([0, 1])),
        (np.array([[np.nan, 1.0], [2.0, 0.0]]), np.array([0, 1])),
        (np.zeros((4, 2)), np.array([0, 1, 0, 1])),
        (np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([-1, -1])),
    ],
    ids=["empty", "one class", "all right", "all wrong", "not finite", "no information", "no label"],
)
def test_data_that_determine_no_temperature_change_nothing(logits, labels):
    assert fit_temperature(logits, labels, np.arange(len(labels)).astype(str)) == 1.0


@given(seed=st.integers(0, 100), temperature=st.floats(0.05, 20.0))
def test_scaling_keeps_the_class_called_and_the_sum(seed, temperature):
    logits = np.random.default_rng(seed).normal(size=(5, 4))
    scaled = apply_temperature(logits, temperature)
    assert np.array_equal(scaled.argmax(axis=1), logits.argmax(axis=1))
    assert scaled.sum(axis=1) == pytest.approx(np.ones(5))
