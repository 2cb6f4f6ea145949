"""The sample table is checked at the door and counted by patient."""

import numpy as np
import pandas as pd
import pytest

from trilineage.core.errors import CohortError, ColumnError
from trilineage.data.cohort import Cohort


@pytest.fixture
def table() -> pd.DataFrame:
    """Six patients of two classes, two samples each, at two sites."""
    return pd.DataFrame(
        {
            "donor": np.repeat([f"d{i}" for i in range(6)], 2),
            "disease": np.repeat(["aml", "healthy"] * 3, 2),
            "centre": np.repeat(["north", "south"], 6),
        },
        index=[f"s{i}" for i in range(12)],
    )


def test_a_table_becomes_a_cohort_with_sorted_classes_and_codes(table):
    cohort = Cohort.from_table(table, label="disease", patient="donor", site="centre")
    assert cohort.classes == ("aml", "healthy")
    assert cohort.label_codes.tolist() == [0, 0, 1, 1] * 3
    assert cohort.sites is not None
    assert cohort.sites[[0, -1]].tolist() == ["north", "south"]
    assert len(cohort) == 12


def test_the_class_table_counts_patients_and_samples(table):
    cohort = Cohort.from_table(table.iloc[1:], label="disease", patient="donor")
    assert cohort.class_table() == [
        {"label": "aml", "n_patients": 3, "n_samples": 5},
        {"label": "healthy", "n_patients": 3, "n_samples": 6},
    ]


def test_an_absent_column_is_answered_with_the_columns_there_are(table):
    with pytest.raises(ColumnError, match="no label column 'diagnosis'.*donor, disease, centre"):
        Cohort.from_table(table, label="diagnosis", patient="donor")


def test_missing_labels_are_counted(table):
    table.loc[["s1", "s2", "s3"], "disease"] = np.nan
    with pytest.raises(ColumnError, match="3 of 12 samples"):
        Cohort.from_table(table, label="disease", patient="donor")


def test_an_empty_patient_name_counts_as_missing(table):
    table.loc["s1", "donor"] = " "
    with pytest.raises(ColumnError, match="patient column 'donor' has missing values.*1 of 12"):
        Cohort.from_table(table, label="disease", patient="donor")


def test_a_missing_category_is_counted(table):
    table["disease"] = table["disease"].astype("category").where(table["donor"] != "d0")
    with pytest.raises(ColumnError, match="2 of 12 samples"):
        Cohort.from_table(table, label="disease", patient="donor")


@pytest.mark.parametrize("label", ["donor", "same"])
def test_labels_that_equal_the_patients_are_refused(table, label):
    table["same"] = "type " + table["donor"]
    with pytest.raises(CohortError, match="one patient per class"):
        Cohort.from_table(table, label=label, patient="donor")


def test_one_patient_in_each_class_is_refused_with_the_counts(table):
    with pytest.raises(CohortError, match="aml: 1, healthy: 1"):
        Cohort.from_table(table.iloc[:4], label="disease", patient="donor")


def test_one_class_is_refused(table):
    with pytest.raises(CohortError, match="one class only.*aml"):
        Cohort.from_table(table[table["disease"] == "aml"], label="disease", patient="donor")


def test_without_a_patient_column_each_sample_is_a_patient_and_the_note_says_so(table):
    cohort = Cohort.from_table(table, label="disease", patient=None)
    assert len(cohort.patient_names) == 12
    assert "each sample counts as its own patient" in cohort.note


def test_a_class_with_too_few_patients_is_refused_with_its_count(table):
    cohort = Cohort.from_table(table.iloc[:10], label="disease", patient="donor")
    with pytest.raises(CohortError, match="seen: healthy: 2; allowed: at least 3 patients"):
        cohort.require_patients(3)


def test_patient_labels_are_known_where_each_patient_has_one(table):
    cohort = Cohort.from_table(table, label="disease", patient="donor")
    assert cohort.patient_labels() == {f"d{i}": ("aml", "healthy")[i % 2] for i in range(6)}


def test_patient_labels_are_unknown_where_a_patient_has_two(table):
    table.loc["s1", "disease"] = "healthy"
    assert Cohort.from_table(table, label="disease", patient="donor").patient_labels() is None


def test_a_subset_keeps_the_classes_it_has_lost(table):
    cohort = Cohort.from_table(table, label="disease", patient="donor")
    part = cohort.subset(np.array([2, 3]))
    assert part.classes == ("aml", "healthy")
    assert part.class_table()[0]["n_patients"] == 0
    with pytest.raises(CohortError, match="aml: 0, healthy: 1"):
        part.require_patients(2)


def test_a_restriction_drops_classes(table):
    table["disease"] = np.repeat(["a", "b", "c"] * 2, 2)
    cohort = Cohort.from_table(table, label="disease", patient="donor").restricted_to(("c", "a"))
    assert cohort.classes == ("a", "c")
    assert set(cohort.labels.tolist()) == {"a", "c"}
    assert cohort.label_codes.tolist() == [0, 0, 1, 1] * 2


def test_a_restriction_to_one_class_is_refused(table):
    cohort = Cohort.from_table(table, label="disease", patient="donor")
    with pytest.raises(CohortError, match="too few classes are left; seen: aml"):
        cohort.restricted_to(("aml",))


def test_classes_are_chosen_by_their_patients(table):
    cohort = Cohort.from_table(table.iloc[:10], label="disease", patient="donor")
    assert cohort.classes_with(3) == ("aml",)


def test_labels_outside_the_classes_are_refused():
    names = np.array(["a", "b"])
    with pytest.raises(CohortError, match="no class of this cohort; seen: b"):
        Cohort(samples=names, patients=names, labels=names, classes=("a",))


def test_classes_in_any_order_are_coded_by_that_order():
    names = np.array(["a", "b", "c"])
    cohort = Cohort(samples=names, patients=names, labels=names, classes=("c", "a", "b"))
    assert cohort.label_codes.tolist() == [1, 2, 0]
