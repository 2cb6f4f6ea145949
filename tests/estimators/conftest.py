"""Features of cells of patients with four diagnoses, and barcodes of patients."""

import numpy as np
import pytest

DIAGNOSES = ("normal", "AML", "APML", "CLL")


@pytest.fixture(scope="session")
def cells():
    """Return features, labels and patients: 160 cells of 32 patients, each diagnosis with a place of its own."""
    rng = np.random.default_rng(5)
    labels = np.repeat(DIAGNOSES, 40)
    centres = {name: 3.0 * rng.normal(size=6) for name in DIAGNOSES}
    features = np.stack([centres[label] for label in labels]) + rng.normal(size=(160, 6))
    patients = np.array([f"P{number:02d}" for number in np.arange(160) // 5])
    return features, labels, patients


@pytest.fixture(scope="session")
def barcodes():
    """Return barcodes of 48 patients with 30 latents, of which three tell the subtypes, and the subtypes."""
    rng = np.random.default_rng(7)
    codes = np.arange(48) % 3
    rates = np.full((3, 30), 0.6)
    rates[np.arange(3), np.arange(3)] = 9.0
    return rng.poisson(rates[codes]).astype(float), np.array(["CBFB", "NPM1", "RUNX1"])[codes]
