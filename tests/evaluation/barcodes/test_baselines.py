"""Means of image vectors per patient: streamed, merged, and refused where they cannot be."""

import numpy as np
import pytest

from trilineage.core.errors import CohortError, ConfigError, MatrixError
from trilineage.core.seeding import generator
from trilineage.evaluation.barcodes.baselines import MeanTally

NAMES, PATIENTS = np.array(["a", "b"]), np.array([1, 0, 0, 1, 1])


@pytest.fixture
def vectors():
    return generator(0, "vectors").normal(size=(5, 3)).astype(np.float32)


def test_portions_give_the_mean_of_each_patient(vectors):
    tally, other = MeanTally(NAMES, 3), MeanTally(NAMES, 3)
    tally.add(vectors[:2], PATIENTS[:2])
    other.add(vectors[2:], PATIENTS[2:])
    tally.merge(other)
    expected = [vectors[patient == PATIENTS].mean(axis=0) for patient in range(2)]
    np.testing.assert_allclose(tally.features(), expected, rtol=1e-6)


def test_a_patient_without_cells_has_no_mean(vectors):
    tally = MeanTally(NAMES, 3)
    tally.add(vectors, np.zeros(5, int))
    with pytest.raises(CohortError, match="seen: b"):
        tally.features()


def test_vectors_that_cannot_be_averaged_are_refused(vectors):
    tally = MeanTally(NAMES, 3)
    with pytest.raises(ConfigError, match="another width; seen: 2; allowed: 3"):
        tally.add(vectors[:, :2], PATIENTS)
    vectors[3, 1] = np.nan
    with pytest.raises(MatrixError, match="place 3"):
        tally.add(vectors, PATIENTS)
    with pytest.raises(ConfigError, match="different patients"):
        tally.merge(MeanTally(NAMES[::-1], 3))
