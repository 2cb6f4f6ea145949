"""Predictions with clustered patients, drawn from a seed."""

from collections.abc import Callable

import numpy as np
import pytest

from trilineage.core.records import Prediction


@pytest.fixture
def draw() -> Callable[..., Prediction]:
    """Return a maker of predictions."""
    return draw_prediction


def draw_prediction(
    seed: int,
    *,
    n_patients: int = 20,
    n_classes: int = 3,
    n_each: int = 15,
    signal: float = 1.5,
    patient_effect: float = 0.7,
) -> Prediction:
    """Draw patients with an effect of their own, classes in turn, samples of varying number."""
    rng = np.random.default_rng(seed)
    of_patient = np.arange(n_patients) % n_classes
    codes = np.repeat(np.arange(n_patients), rng.poisson(n_each, n_patients) + 1)
    labels = of_patient[codes]
    logits = rng.normal(size=(len(codes), n_classes))
    logits += patient_effect * rng.normal(size=(n_patients, n_classes))[codes]
    logits[np.arange(len(codes)), labels] += signal
    odds = np.exp(logits)
    return Prediction(
        samples=np.array([f"s{i}" for i in range(len(codes))]),
        patients=np.array([f"p{i:04d}" for i in codes]),
        classes=tuple("abcdefg"[:n_classes]),
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        labels=labels,
    )
