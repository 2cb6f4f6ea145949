"""Temperature scaling: one number, fitted on whole patients, that makes confidence mean what it says."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from trilineage.evaluation.metrics import classification_metrics

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures searched; an optimum at either end means that the data do not determine one."""


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it changed on the samples it was fitted on."""

    temperature: float
    """Divisor of the logits; 1 changes nothing, above 1 makes predictions less sure."""
    ece_before: float
    """Expected calibration error of the plain logits, each patient weighing the same."""
    ece_after: float
    """The same after scaling."""


def fit_temperature(
    logits: Float[np.ndarray, "sample class"],
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
) -> float:
    """Find the temperature of least negative log-likelihood, each patient weighing the same.

    Guo et al. 2017 (section 4.2) minimise over samples; here the samples of a patient share the weight 1, so that a
    patient with many cells does not decide alone. Labels of -1 are left out. Returns 1 (no change) where the data do
    not determine a temperature: no labelled sample, one class only, or an optimum at an end of `TEMPERATURE_RANGE`
    (every call right, or logits without information).

    Parameters
    ----------
    logits
        Unnormalised log probabilities; any finite values.
    labels
        True class index, -1 where unknown.
    patients
        Patient of each sample.
    """
    is_usable = (labels >= 0) & np.isfinite(logits).all(axis=1)
    logits, labels = logits[is_usable].astype(np.float64), labels[is_usable]
    if len(np.unique(labels)) < 2:
        return 1.0
    weight = patient_weights(patients[is_usable])
    low, high = np.log(TEMPERATURE_RANGE)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-(weight * log_p[np.arange(len(labels)), labels]).sum())

    found = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    at_an_end = min(found - low, high - found) < 1e-3
    return 1.0 if at_an_end or loss(found) >= loss(0.0) else float(np.exp(found))


def apply_temperature(
    logits: Float[np.ndarray, "sample class"], temperature: float
) -> Float[np.ndarray, "sample class"]:
    """Return the probabilities softmax(logits / temperature); the class called does not change."""
    return softmax(logits.astype(np.float64) / temperature, axis=1)


def calibrate(
    logits: Float[np.ndarray, "sample class"],
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
) -> Calibration:
    """Fit the temperature and report the calibration error before and after it."""
    temperature = fit_temperature(logits, labels, patients)
    return Calibration(
        temperature,
        ece_before=calibration_error(logits, labels, patients, temperature=1.0),
        ece_after=calibration_error(logits, labels, patients, temperature=temperature),
    )


def calibration_error(
    logits: Float[np.ndarray, "sample class"],
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    *,
    temperature: float,
) -> float:
    """Return the expected calibration error at a temperature, each patient weighing the same; NaN without labels."""
    is_known = labels >= 0
    probabilities = apply_temperature(logits[is_known], temperature)
    weight = patient_weights(patients[is_known])
    return classification_metrics(labels[is_known], probabilities, weight)["ece"]


def patient_weights(patients: Shaped[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """Return weights that add up to 1 over the samples of each patient."""
    _, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    return 1.0 / counts[codes]
