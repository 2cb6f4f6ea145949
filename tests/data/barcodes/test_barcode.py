"""A table of barcodes refuses what cannot be one, and what cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from trilineage.core.errors import ArtifactError, CohortError, MatrixError
from trilineage.data.barcodes.barcode import Barcodes, require_comparable


@pytest.fixture
def barcodes():
    values = sp.csr_array(np.array([[0, 1.5, 0], [2, 0, 0.25]], np.float32))
    labels, sites = np.array(["AML", ""]), np.array(["north", "south"])
    keys = {"dictionary_key": "d" * 64, "encoder_key": "e" * 64}
    return Barcodes(np.array(["p1", "p2"]), values, np.array([3, 1]), labels, sites, **keys)


def test_rows_can_be_chosen(barcodes):
    chosen = barcodes.subset(np.array([1]))
    assert (chosen.names.tolist(), chosen.sites.tolist(), chosen.n_latents) == (["p2"], ["south"], 3)
    np.testing.assert_array_equal(chosen.dense(), [[2, 0, 0.25]])


def test_a_patient_without_cells_is_named(barcodes):
    with pytest.raises(CohortError, match="1 patients without an image.*seen: p2"):
        replace(barcodes, n_images=np.array([3, 0]))


def test_a_patient_twice_is_refused(barcodes):
    with pytest.raises(CohortError, match="several barcodes; seen: p1"):
        replace(barcodes, names=np.array(["p1", "p1"]))


def test_columns_of_different_length_are_refused(barcodes):
    with pytest.raises(CohortError, match="differ in length; seen: names 2.*values 3"):
        replace(barcodes, values=sp.csr_array(np.ones((3, 3), np.float32)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_what_is_no_number_of_tokens_is_refused(barcodes, bad):
    values = barcodes.values.copy()
    values.data[1] = bad
    with pytest.raises(MatrixError, match="the first in the row of p2"):
        replace(barcodes, values=values)


def test_patients_without_a_label_are_named_when_labels_are_needed(barcodes):
    with pytest.raises(CohortError, match="1 patients without a label; seen: p2"):
        barcodes.require_labels()
    with pytest.raises(CohortError, match="2 patients without a label"):
        replace(barcodes, labels=None).require_labels()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("encoder_key", "f" * 64, "different encoders"),
        ("dictionary_key", "f" * 64, "different autoencoders"),
        ("tau", 0.3, "counted in different ways"),
        ("uses_cls", False, "counted in different ways"),
        ("weighting", "log1p", "counted in different ways"),
    ],
)
def test_cohorts_that_do_not_mean_the_same_are_not_compared(barcodes, field, value, message):
    require_comparable(barcodes, replace(barcodes, names=np.array(["q1", "q2"])))
    with pytest.raises(ArtifactError, match=message):
        require_comparable(barcodes, replace(barcodes, **{field: value}))
