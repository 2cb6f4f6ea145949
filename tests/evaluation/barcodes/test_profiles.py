"""Barcodes become profiles in the order of the names, with a class for each patient."""

import numpy as np
import scipy.sparse as sp

from trilineage.data.barcodes.barcode import Barcodes
from trilineage.evaluation.barcodes.profiles import barcode_classes, barcode_profiles

NAMES = np.array(["b", "a", "c"])
VALUES = np.array([[0, 3], [1, 0], [0, 0]], np.float32)
LABELS = np.array(["CLL", "AML", "AML"])
BARCODES = Barcodes(NAMES, sp.csr_array(VALUES), np.array([4, 5, 6]), LABELS)


def test_profiles_are_log_barcodes_in_the_order_of_the_names():
    found = barcode_profiles(BARCODES)
    assert found.patients.tolist() == ["a", "b", "c"]
    assert found.n_samples.tolist() == [5, 4, 6]
    np.testing.assert_allclose(found.mean, np.log1p([[1, 0], [0, 3], [0, 0]]))
    assert found.noise.tolist() == [0.0, 0.0, 0.0]


def test_classes_follow_the_same_order():
    assert barcode_classes(BARCODES).tolist() == [0, 1, 0]


def test_patients_without_labels_are_one_class():
    unlabelled = Barcodes(NAMES, sp.csr_array(VALUES), np.array([4, 5, 6]))
    assert barcode_classes(unlabelled).tolist() == [0, 0, 0]
