"""Nearest patients and a patient's standing in a cohort, against dense computations and where they are known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics.pairwise import cosine_distances

from trilineage.core.errors import ArtifactError, CohortError, ConfigError
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.evaluation.barcodes.make import weigh
from trilineage.evaluation.barcodes.neighbours import nearest_patients, standing

from .drawing import draw_patients


@pytest.fixture(scope="module")
def barcodes():
    return draw_patients(30, signal=2.5)[0]


def test_distances_are_cosine_distances_of_logarithms(barcodes):
    found = nearest_patients(barcodes, barcodes, n=29)
    expected = np.sort(cosine_distances(np.log1p(barcodes.dense())), axis=1)[:, 1:]
    np.testing.assert_allclose(found.distances, expected, atol=1e-6)
    assert not (found.names == barcodes.names[:, None]).any()
    np.testing.assert_array_equal(
        nearest_patients(weigh(barcodes, "log1p"), weigh(barcodes, "log1p"), n=29).names, found.names
    )


def test_a_patient_that_may_be_its_own_neighbour_is_the_nearest(barcodes):
    found = nearest_patients(barcodes, barcodes, n=2, leave_out_self=False)
    assert found.names[:, 0].tolist() == barcodes.names.tolist()
    np.testing.assert_allclose(found.distances[:, 0], 0.0, atol=1e-6)


def test_neighbours_carry_their_labels(barcodes):
    found = nearest_patients(barcodes, barcodes, n=3)
    by_name = dict(zip(barcodes.names, barcodes.labels, strict=True))
    assert found.labels.tolist() == [[by_name[name] for name in row] for row in found.names]
    assert nearest_patients(barcodes, replace(barcodes, labels=None), n=3).labels is None


def test_the_latent_out_of_the_common_comes_first():
    values = np.tile(np.array([[1, 2, 0, 4]], np.float32), (11, 1))
    values[:, 0] += np.arange(11) * 0.1
    values[0, 3] = 40
    names = np.array([f"p{i}" for i in range(11)])
    barcodes = Barcodes(names, sp.csr_array(values), np.full(11, 5))
    found = standing(barcodes, 0, barcodes, n=2)
    assert found.latents.tolist() == [3, 0]
    assert found.share_below.tolist() == [1.0, 0.0]
    assert found.quantiles[:, 0].tolist() == [4.0] * 5
    assert found.deviation[0] > 3 > 0 > found.deviation[1]


def test_a_latent_that_only_this_patient_has_is_seen():
    values = np.array([[1, 3], [1, 0], [1, 0], [1, 0]], np.float32)
    barcodes = Barcodes(np.array(list("abcd")), sp.csr_array(values), np.full(4, 5))
    found = standing(barcodes, 0, barcodes)
    assert found.latents.tolist() == [1, 0]
    assert np.isfinite(found.deviation).all()


def test_cohorts_of_different_encoders_have_no_neighbours(barcodes):
    other = replace(barcodes, encoder_key="x" * 64)
    for ask in (lambda: nearest_patients(barcodes, other), lambda: standing(barcodes, 0, other)):
        with pytest.raises(ArtifactError, match="different encoders"):
            ask()


def test_too_small_a_reference_and_weighted_barcodes_are_refused(barcodes):
    with pytest.raises(CohortError, match="29 other patients; allowed: at least 30"):
        nearest_patients(barcodes, barcodes, n=30)
    with pytest.raises(CohortError, match="1 other patients"):
        standing(barcodes, 0, barcodes.subset(np.array([0, 1])))
    weighed = weigh(barcodes, "log1p")
    with pytest.raises(ConfigError, match="weighted already"):
        standing(weighed, 0, weighed)
