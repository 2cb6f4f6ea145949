"""Patients are placed among the validation patients by the mean distance of their samples."""

import numpy as np

from trilineage.evaluation.patient_novelty import joined_rows, novelty_rows, patient_novelty


def test_a_patient_farther_than_all_validation_patients_is_at_one_hundred():
    found = patient_novelty(np.array([9.0, 1.0]), np.array(["far", "near"]), np.array([2.0, 3.0, 4.0, 5.0]))
    assert dict(zip(found.patients.tolist(), found.percentile.tolist(), strict=True)) == {
        "far": 100.0,
        "near": 0.0,
    }


def test_many_samples_make_no_patient_farther():
    distances, patients = np.array([1.0, 1.0, 1.0, 1.0]), np.array(["a", "a", "a", "b"])
    found = patient_novelty(distances, patients, np.array([0.5]))
    assert found.distance.tolist() == [1.0, 1.0]
    assert found.n_samples.tolist() == [3, 1]


def test_without_validation_patients_there_is_no_percentile():
    assert np.isnan(patient_novelty(np.ones(1), np.array(["a"]), np.zeros(0)).percentile).all()


def test_the_table_has_the_validation_and_the_test_patients_of_every_split():
    valid, test = (np.array([1.0, 2.0]), np.array(["v", "w"])), (np.array([1.5]), np.array(["t"]))
    rows = joined_rows([novelty_rows("one", valid, test), novelty_rows("two", valid, test)])
    assert rows["patient"] == ["v", "w", "t"] * 2
    assert rows["part"][:3] == ["valid", "valid", "test"]
    assert rows["percentile"][2] == 50.0
    assert rows["split"] == ["one"] * 3 + ["two"] * 3
