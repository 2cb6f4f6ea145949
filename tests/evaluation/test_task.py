"""A task keeps apart what a baseline may learn from and what it must predict."""

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.data.cohort import Cohort
from trilineage.data.splits import Split
from trilineage.evaluation.task import Task


@pytest.fixture
def cohort() -> Cohort:
    patients = np.array(["p2", "p2", "p1", "p1", "p3", "p4"])
    labels = np.array(["aml", "aml", "healthy", "healthy", "aml", "healthy"])
    return Cohort(np.array(list("abcdef")), patients, labels, ("aml", "healthy"))


@pytest.fixture
def task(cohort: Cohort) -> Task:
    return Task.of(cohort, Split(np.array(["train", "train", "valid", "valid", "test", "unused"]), "by hand"))


def test_validation_patients_train_and_unused_ones_do_nothing(task):
    assert task.train.tolist() == [0, 1, 2, 3]
    assert task.test.tolist() == [4]
    assert task.used.tolist() == [0, 1, 2, 3, 4]


def test_patients_are_sorted_and_indexed(task):
    assert task.patient_names.tolist() == ["p1", "p2", "p3"]
    assert task.used_patients.tolist() == [1, 1, 0, 0, 2]
    assert task.train_patients.tolist() == [0, 1]
    assert task.train_patient_labels.tolist() == [1, 0]


def test_patient_probabilities_reach_the_samples_of_the_patient(task):
    table = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    prediction = task.predict_patients(table)
    assert prediction.probabilities.tolist() == [[0.7, 0.3]]
    assert (prediction.samples.tolist(), prediction.patients.tolist()) == (["e"], ["p3"])
    assert prediction.labels.tolist() == [0]


def test_a_training_patient_with_two_labels_is_named(cohort):
    labels = np.array([0, 1, 1, 1, 0, 1])
    task = Task.of(cohort, Split(np.array(["train"] * 4 + ["test"] * 2), "by hand"), labels=labels)
    assert not task.has_patient_labels()
    with pytest.raises(CohortError, match="one label per patient; seen: p2"):
        _ = task.train_patient_labels


def test_one_label_per_patient_is_recognised(task):
    assert task.has_patient_labels()
