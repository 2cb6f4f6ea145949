"""Baselines learn from the training part only, find what is there and nothing where there is nothing."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction
from trilineage.evaluation.baselines import composition, majority, pca_logistic, pseudobulk
from trilineage.evaluation.settings import BaselineSettings
from trilineage.evaluation.task import Task

N_PATIENTS, N_EACH, N_GENES = 24, 30, 40


@pytest.fixture
def task() -> Task:
    """24 patients of three classes, the last 9 to be predicted."""
    codes = np.repeat(np.arange(N_PATIENTS), N_EACH)
    return Task(
        samples=np.arange(len(codes)).astype(str),
        patients=np.array([f"p{i:02d}" for i in codes]),
        labels=codes % 3,
        classes=("a", "b", "c"),
        train=np.flatnonzero(codes < 15),
        test=np.flatnonzero(codes >= 15),
    )


def counts_of(task: Task, effect: float) -> sp.csr_array:
    """Draw counts in which class k raises genes 5k to 5k + 4, with an effect of each patient on each gene."""
    rng = np.random.default_rng(0)
    of_patient = rng.normal(scale=0.2, size=(N_PATIENTS, N_GENES))
    means = np.full((len(task.labels), N_GENES), 1.0)
    for code in range(3):
        means[task.labels == code, 5 * code : 5 * code + 5] *= np.exp(effect)
    patients = np.searchsorted(np.unique(task.patients), task.patients)
    return sp.csr_array(rng.poisson(means * np.exp(of_patient[patients])).astype(np.float32))


def sums_of(task: Task, counts: sp.csr_array) -> np.ndarray:
    groups = sp.csr_array((np.ones(len(task.used)), (task.used_patients, np.arange(len(task.used)))))
    return np.asarray((groups @ counts[task.used]).toarray(), dtype=np.float64)


def logged(counts: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(counts.log1p())


def accuracy(prediction: Prediction) -> float:
    return float(np.mean(prediction.probabilities.argmax(axis=1) == prediction.labels))


def test_majority_gives_everyone_the_training_shares(task):
    found = majority(replace(task, train=task.train[N_EACH:]))
    assert found.probabilities[0] == pytest.approx([4 / 14, 5 / 14, 5 / 14])
    assert (found.probabilities == found.probabilities[0]).all()
    assert found.samples.tolist() == task.samples[task.test].tolist()


def test_composition_finds_classes_that_differ_in_cell_types(task):
    rng = np.random.default_rng(1)
    shifted = np.where(rng.random(len(task.labels)) < 0.5, task.labels, rng.integers(0, 3, len(task.labels)))
    assert accuracy(composition(task, np.array(["B", "T", "monocyte"])[shifted])) > 0.9


def test_composition_can_count_more_cells_than_it_predicts(task):
    rng = np.random.default_rng(1)
    shifted = np.where(rng.random(len(task.labels)) < 0.5, task.labels, rng.integers(0, 3, len(task.labels)))
    types = np.array(["B", "T", "monocyte"])[shifted]
    few = replace(task, train=task.train[::5], test=task.test[::5])
    found = composition(few, types, cell_patients=task.patients)
    whole = composition(task, types)
    assert found.probabilities == pytest.approx(whole.probabilities[::5])


def test_a_cell_type_seen_only_in_test_changes_nothing(task):
    types = np.array(["B", "T"])[np.random.default_rng(2).integers(0, 2, len(task.labels))]
    known = composition(task, types)
    patients = np.concatenate([task.patients, task.patients[task.test[:50]]])
    added = composition(task, np.concatenate([types, np.full(50, "new")]), cell_patients=patients)
    assert added.probabilities == pytest.approx(known.probabilities)


def test_composition_follows_the_centred_log_ratio(task):
    """Twice the cells of a patient are the same shares and, with next to no pseudocount, the same prediction."""
    types = np.array(["B", "T", "NK"])[np.random.default_rng(3).integers(0, 3, len(task.labels))]
    settings = BaselineSettings(pseudocount=1e-9)
    plain = composition(task, types, settings=settings)
    doubled = composition(task, np.tile(types, 2), cell_patients=np.tile(task.patients, 2), settings=settings)
    assert doubled.probabilities == pytest.approx(plain.probabilities, abs=1e-6)


def test_pseudobulk_finds_classes_that_differ_in_expression(task):
    sums = sums_of(task, counts_of(task, effect=0.5))
    assert accuracy(pseudobulk(task, sums, is_counts=True)) > 0.9


def test_pseudobulk_of_counts_does_not_see_their_depth(task):
    sums = sums_of(task, counts_of(task, effect=0.5))
    depth = np.geomspace(0.1, 10, len(sums))[:, None]
    plain, scaled = (pseudobulk(task, s, is_counts=True).probabilities for s in (sums, sums * depth))
    assert scaled == pytest.approx(plain, abs=1e-6)


def test_pseudobulk_of_other_values_takes_the_mean(task):
    values = logged(counts_of(task, effect=0.5))
    sums = sums_of(task, values)
    doubled = Task(
        samples=np.tile(task.samples, 2),
        patients=np.tile(task.patients, 2),
        labels=np.tile(task.labels, 2),
        classes=task.classes,
        train=np.concatenate([task.train, task.train + len(task.samples)]),
        test=np.concatenate([task.test, task.test + len(task.samples)]),
    )
    plain = pseudobulk(task, sums, is_counts=False)
    again = pseudobulk(doubled, 2 * sums, is_counts=False)
    assert again.probabilities[: len(plain.samples)] == pytest.approx(plain.probabilities, abs=1e-6)


def test_pseudobulk_sums_of_other_patients_are_refused(task):
    with pytest.raises(CohortError, match="seen: 3 rows; allowed: 24 rows"):
        pseudobulk(task, np.ones((3, 5)), is_counts=True)


def test_components_find_classes_that_differ_in_expression(task):
    values = logged(counts_of(task, effect=1.0))
    assert accuracy(pca_logistic(task, lambda chosen: values[chosen])) > 0.8


def test_components_never_look_at_test_rows_while_they_learn(task):
    values = logged(counts_of(task, effect=1.0))
    asked: list[int] = []

    def rows(chosen: np.ndarray) -> sp.csr_array:
        asked.extend(chosen.tolist())
        return values[chosen]

    pca_logistic(replace(task, test=task.test[:0]), rows)
    assert set(asked) == set(task.train.tolist())


def test_fewer_training_samples_are_drawn_evenly_over_patients(task):
    values = logged(counts_of(task, effect=1.0))
    asked: set[int] = set()

    def rows(chosen: np.ndarray) -> sp.csr_array:
        asked.update(chosen.tolist())
        return values[chosen]

    few = replace(task, train=task.train[10:], test=task.test[:0])  # the first patient has 20 samples left
    pca_logistic(few, rows, settings=BaselineSettings(max_samples=150))
    drawn = np.unique(task.patients[sorted(asked)], return_counts=True)[1]
    assert drawn.tolist() == [10] * 15


@pytest.mark.parametrize("seed", range(3))
def test_without_signal_every_baseline_is_at_chance(task, seed):
    values = logged(counts_of(task, effect=0.0))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(task.labels[::N_EACH])[np.repeat(np.arange(N_PATIENTS), N_EACH)]
    plain = replace(task, labels=labels)
    sums = sums_of(task, counts_of(task, effect=0.0))
    for found in (
        pseudobulk(plain, sums, is_counts=True),
        pca_logistic(plain, lambda chosen: values[chosen]),
    ):
        assert accuracy(found) < 0.75  # 9 patients: 7 or more right by chance comes once in 120


def test_the_same_seed_gives_the_same_bytes(task):
    values = logged(counts_of(task, effect=0.5))
    settings = BaselineSettings(max_samples=100)
    first, again, other = (
        pca_logistic(task, lambda chosen: values[chosen], settings=settings, seed=seed).probabilities
        for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
