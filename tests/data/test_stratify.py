"""Whole patients are dealt so that every class is spread."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import CohortError
from trilineage.data.stratify import deal_folds, deal_shares

CLASS_SIZES = st.lists(st.integers(2, 9), min_size=2, max_size=5)


def one_label_each(sizes: list[int]) -> np.ndarray:
    """Return the counts of patients with three samples of one class each."""
    return 3 * np.eye(len(sizes), dtype=np.int64)[np.repeat(np.arange(len(sizes)), sizes)]


@given(sizes=CLASS_SIZES, share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_every_class_has_patients_on_either_side(sizes, share, seed):
    counts = one_label_each(sizes)
    chosen = deal_shares(counts, share, rng=np.random.default_rng(seed))
    per_class = (counts > 0)[chosen == 1].sum(axis=0)
    assert (per_class >= 1).all()
    assert (per_class < np.array(sizes)).all()
    assert (np.abs(per_class - share * np.array(sizes)) <= 1.0).all()


def test_a_class_with_one_patient_keeps_it_out_of_the_chosen_part():
    counts = one_label_each([1, 4])
    chosen = deal_shares(counts, 0.5, rng=np.random.default_rng(0))
    assert chosen[0] == 0
    assert chosen[1:].sum() == 2


@given(sizes=CLASS_SIZES, n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_differ_by_at_most_one_patient_in_each_class_and_in_all(sizes, n_folds, seed):
    counts = one_label_each(sizes)
    folds = deal_folds(counts, n_folds, rng=np.random.default_rng(seed))
    per_class = np.stack([(counts > 0)[folds == fold].sum(axis=0) for fold in range(n_folds)])
    assert np.ptp(per_class, axis=0).max() <= 1
    assert np.ptp(per_class.sum(axis=1)) <= 1


def test_patients_with_several_labels_are_dealt_close_to_the_shares():
    rng = np.random.default_rng(3)
    counts = rng.poisson(20, size=(24, 4)) + 1
    chosen = deal_shares(counts, 0.25, rng=np.random.default_rng(0))
    shares = counts[chosen == 1].sum(axis=0) / counts.sum(axis=0)
    assert np.abs(shares - 0.25).max() < 0.05


def test_folds_of_patients_with_several_labels_train_every_class():
    rng = np.random.default_rng(4)
    counts = rng.poisson(6, size=(12, 3))
    counts[:, 2] = 0
    counts[[0, 5], 2] = 4  # two patients only carry the last class
    folds = deal_folds(counts, 4, rng=np.random.default_rng(0))
    assert folds[0] != folds[5]
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3]


def test_a_class_of_one_of_several_labels_cannot_be_dealt():
    counts = np.array([[3, 2], [4, 0], [5, 0]])
    with pytest.raises(CohortError, match="patients per class: 3, 1"):
        deal_folds(counts, 3, rng=np.random.default_rng(0))
