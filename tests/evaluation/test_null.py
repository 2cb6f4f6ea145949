"""Permuted labels move with whole patients and keep the classes' sizes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trilineage.evaluation.null import permute_patient_labels


@st.composite
def tables(draw_value) -> tuple[np.ndarray, np.ndarray]:
    """Labels by patient and patients of samples in mixed order."""
    n_patients = draw_value(st.integers(2, 12))
    rng = np.random.default_rng(draw_value(st.integers(0, 1000)))
    codes = rng.permutation(np.repeat(np.arange(n_patients), rng.integers(1, 6, n_patients)))
    of_patient = rng.integers(0, 3, n_patients)
    return of_patient[codes], np.array([f"p{i}" for i in codes])


def label_of(labels: np.ndarray, patients: np.ndarray) -> np.ndarray:
    return labels[np.unique(patients, return_index=True)[1]]


@given(table=tables(), seed=st.integers(0, 100))
def test_every_patient_keeps_one_label_and_every_class_its_patients(table, seed):
    labels, patients = table
    permuted = permute_patient_labels(labels, patients, seed=seed)
    assert all(len(np.unique(permuted[patients == name])) == 1 for name in np.unique(patients))
    assert sorted(label_of(permuted, patients)) == sorted(label_of(labels, patients))


@given(table=tables(), seed=st.integers(0, 100))
def test_labels_are_exchanged_inside_groups_only(table, seed):
    labels, patients = table
    is_test = patients < "p5"
    permuted = permute_patient_labels(labels, patients, seed=seed, within=is_test)
    for part in (is_test, ~is_test):
        assert sorted(label_of(permuted[part], patients[part])) == sorted(
            label_of(labels[part], patients[part])
        )


def test_the_same_seed_gives_the_same_labels_and_another_others():
    labels, patients = np.repeat(np.tile(["a", "b"], 10), 3), np.repeat(np.arange(20).astype(str), 3)
    first, again, other = (permute_patient_labels(labels, patients, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, labels)


@given(seed=st.integers(0, 100))
def test_patients_with_several_labels_have_them_permuted_inside(seed):
    rng = np.random.default_rng(seed)
    labels, patients = rng.integers(0, 3, 40), np.array([f"p{i}" for i in rng.integers(0, 3, 40)])
    permuted = permute_patient_labels(labels, patients, seed=seed)
    for name in np.unique(patients):
        assert sorted(permuted[patients == name]) == sorted(labels[patients == name])
