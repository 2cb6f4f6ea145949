"""Splits keep patients whole, spread the classes and refuse to leak."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trilineage.core.errors import CohortError, ColumnError, ConfigError, LeakageError
from trilineage.data.cohort import Cohort
from trilineage.data.splits import (
    Split,
    SplitSettings,
    check_leakage,
    column_split,
    leave_one_site_out,
    make_splits,
    patient_folds,
    patient_holdout,
    sample_holdout,
    split_table,
    training_only,
)

FRACTIONS = {"test_fraction": 0.3, "valid_fraction": 0.2}


def cohort_of(sizes: list[int], *, n_each: int = 3, **columns: np.ndarray) -> Cohort:
    """Return a cohort with `sizes` patients in classes a, b, c, ... and n_each samples per patient."""
    of_patient = np.repeat(np.arange(len(sizes)), sizes)
    patients = np.repeat([f"p{i:02d}" for i in range(len(of_patient))], n_each)
    return Cohort(
        samples=np.array([f"s{i}" for i in range(len(patients))]),
        patients=patients,
        labels=np.array(list("abcdefgh"))[np.repeat(of_patient, n_each)],
        classes=tuple("abcdefgh"[: len(sizes)]),
        **columns,
    )


def classes_in(cohort: Cohort, split: Split, part: str) -> list[str]:
    return np.unique(cohort.labels[split.positions(part)]).tolist()  # type: ignore[arg-type]


@given(sizes=st.lists(st.integers(2, 8), min_size=2, max_size=5), seed=st.integers(0, 50))
def test_a_holdout_keeps_patients_whole_and_tests_and_trains_every_class(sizes, seed):
    cohort = cohort_of(sizes)
    split = patient_holdout(cohort, **FRACTIONS, seed=seed)
    parts_of = [set(split.parts[cohort.patients == name].tolist()) for name in cohort.patient_names]
    assert all(len(parts) == 1 for parts in parts_of)
    assert classes_in(cohort, split, "test") == classes_in(cohort, split, "train") == list(cohort.classes)


@given(sizes=st.lists(st.integers(3, 8), min_size=2, max_size=4), seed=st.integers(0, 50))
def test_folds_test_each_sample_exactly_once_and_train_every_class(sizes, seed):
    cohort = cohort_of(sizes)
    splits = patient_folds(cohort, n_folds=3, valid_fraction=0.2, seed=seed)
    tested = np.concatenate([split.positions("test") for split in splits])
    assert np.array_equal(np.sort(tested), np.arange(len(cohort)))
    assert all(classes_in(cohort, split, "train") == list(cohort.classes) for split in splits)


@given(seed=st.integers(0, 30), n_labels=st.integers(2, 4))
def test_folds_of_patients_with_several_labels_keep_patients_whole(seed, n_labels):
    rng = np.random.default_rng(seed)
    labels = rng.choice(list("abcd")[:n_labels], 90)
    patients = np.array([f"batch {i}" for i in rng.integers(0, 9, 90)])
    assume(len(np.unique(patients)) == 9 and len(np.unique(labels)) == n_labels)
    cohort = Cohort(np.arange(90).astype(str), patients, labels, tuple(np.unique(labels).tolist()))
    splits = patient_folds(cohort, n_folds=3, valid_fraction=0.0, seed=seed)
    parts = np.stack([split.parts for split in splits])
    whole = [len(np.unique(parts[:, patients == name], axis=1).T) == 1 for name in np.unique(patients)]
    assert all(whole)
    assert ((parts == "test").sum(axis=0) == 1).all()


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    cohort = cohort_of([8, 9])
    first, again, other = (patient_holdout(cohort, **FRACTIONS, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.parts, again.parts)
    assert not np.array_equal(first.parts, other.parts)


def test_a_class_with_fewer_patients_than_folds_is_refused_with_its_count():
    with pytest.raises(CohortError, match="seen: b: 4; allowed: at least 5 patients.*fewer folds"):
        patient_folds(cohort_of([16, 4]), n_folds=5, valid_fraction=0.1, seed=0)


def test_a_class_with_one_patient_cannot_be_held_out():
    with pytest.raises(CohortError, match="seen: b: 1"):
        patient_holdout(cohort_of([5, 1]), **FRACTIONS, seed=0)


def test_more_folds_than_patients_with_several_labels_are_refused():
    labels = np.array(list("abababab"))
    cohort = Cohort(np.arange(8).astype(str), np.repeat(["p", "q"], 4), labels, ("a", "b"))
    with pytest.raises(CohortError, match="fewer patients than folds; seen: 2 patients"):
        patient_folds(cohort, n_folds=3, valid_fraction=0.0, seed=0)


def test_a_class_too_small_for_validation_stays_in_training_and_is_named():
    cohort = cohort_of([8, 2])
    split = patient_holdout(cohort, **FRACTIONS, seed=0)
    assert classes_in(cohort, split, "train") == ["a", "b"]
    assert classes_in(cohort, split, "valid") == ["a"]
    assert split.note == "too few training patients for one in validation: b"


def test_no_validation_is_carved_where_none_is_asked_for():
    split = patient_holdout(cohort_of([5, 5]), test_fraction=0.3, valid_fraction=0.0, seed=0)
    assert len(split.positions("valid")) == 0


def test_each_site_is_tested_on_a_model_of_the_others():
    cohort = cohort_of([4, 4], sites=np.tile(np.repeat(["north", "south"], 6), 2))
    splits = leave_one_site_out(cohort, valid_fraction=0.0, seed=0)
    assert [split.name for split in splits] == ["site north", "site south"]
    assert cohort.sites is not None
    assert set(cohort.sites[splits[0].positions("test")].tolist()) == {"north"}
    assert set(cohort.sites[splits[0].positions("train")].tolist()) == {"south"}


def test_a_patient_seen_at_two_sites_leaks():
    cohort = cohort_of([4, 4], sites=np.tile(["north", "south", "north"], 8))
    with pytest.raises(LeakageError, match="8 patients are in more than one part.*p00, p01"):
        leave_one_site_out(cohort, valid_fraction=0.0, seed=0)


def test_one_site_cannot_be_left_out():
    cohort = cohort_of([4, 4], sites=np.full(24, "north"))
    with pytest.raises(CohortError, match="several sites; seen: north"):
        leave_one_site_out(cohort, valid_fraction=0.0, seed=0)


def test_a_site_with_a_class_of_its_own_is_noted():
    cohort = cohort_of([4, 4, 2], sites=np.repeat(["n", "s", "n", "s", "s"], 6))
    split = leave_one_site_out(cohort, valid_fraction=0.0, seed=0)[1]
    assert split.note == "never seen in training: c"


def test_a_training_part_with_one_class_is_refused():
    cohort = cohort_of([2, 2], sites=np.repeat(["n", "s"], 6))
    with pytest.raises(CohortError, match="'site n' has fewer than two classes; seen: b"):
        leave_one_site_out(cohort, valid_fraction=0.0, seed=0)


def test_a_column_says_who_trains_who_tests_and_who_is_not_used():
    cohort = cohort_of([3, 3])
    values = np.tile(np.repeat(["design", "heldout", "other"], 3), 2)
    split = column_split(cohort, values, train=("design",), test=("heldout",), valid_fraction=0.0, seed=0)
    assert split.parts.tolist() == (["train"] * 3 + ["test"] * 3 + ["unused"] * 3) * 2


def test_a_column_may_say_who_validates():
    cohort = cohort_of([3, 3])
    values = np.tile(np.repeat(["design", "heldout", "watched"], 3), 2)
    given = {"train": ("design",), "test": ("heldout",), "valid": ("watched",)}
    split = column_split(cohort, values, **given, valid_fraction=0.5, seed=0)
    assert split.parts.tolist() == (["train"] * 3 + ["test"] * 3 + ["valid"] * 3) * 2


def test_a_column_without_the_values_is_answered_with_those_it_has():
    cohort = cohort_of([3, 3])
    values = np.tile(np.repeat(["design", "heldout", "other"], 3), 2)
    with pytest.raises(ColumnError, match="seen: test; allowed: design, heldout, other"):
        column_split(cohort, values, train=("design",), test=("test",), valid_fraction=0.0, seed=0)


def test_a_value_cannot_mean_training_and_testing():
    with pytest.raises(ConfigError, match="two meanings; seen: x"):
        column_split(
            cohort_of([3, 3]), np.full(18, "x"), train=("x",), test=("x",), valid_fraction=0.0, seed=0
        )


def test_a_column_that_divides_a_patient_leaks_and_the_patients_are_named():
    cohort = cohort_of([3, 3])
    values = np.tile(["train", "train", "test"], 6)
    with pytest.raises(LeakageError, match="p00, p01, p02, p03, p04, p05"):
        column_split(cohort, values, train=("train",), test=("test",), valid_fraction=0.0, seed=0)


def test_the_same_content_on_both_sides_leaks_and_the_samples_are_named():
    content = np.array([f"hash {i}" for i in range(18)])
    content[[0, 17]] = "copy"
    cohort = cohort_of([3, 3], content=content)
    parts = np.array(["train"] * 9 + ["test"] * 9)
    with pytest.raises(LeakageError, match="same content.*seen: s0, s17"):
        check_leakage(cohort, Split(parts, "by hand"))


def test_unknown_content_and_copies_inside_a_part_or_unused_do_not_leak():
    content = np.array(["", "copy", "copy", "", "", "", "", "copy", ""])
    cohort = Cohort(
        samples=np.arange(9).astype(str),
        patients=np.arange(9).astype(str),
        labels=np.array(list("aabbaabba")),
        classes=("a", "b"),
        content=content,
    )
    split = Split(np.array(["train"] * 4 + ["test"] * 3 + ["unused"] * 2), "by hand")
    assert check_leakage(cohort, split) is None


def test_validation_patients_may_not_train_either():
    cohort = cohort_of([1, 1])
    split = Split(np.array(["train", "valid", "train", "test", "test", "test"]), "by hand")
    with pytest.raises(LeakageError, match="1 patients are in more than one part.*p00"):
        check_leakage(cohort, split)


def test_a_random_split_of_samples_is_refused_unless_asked_for_by_name():
    with pytest.raises(LeakageError, match="puts the same patients on both sides"):
        sample_holdout(cohort_of([3, 3]), **FRACTIONS, seed=0)


def test_a_random_split_of_samples_does_leak_and_says_so():
    cohort = cohort_of([3, 3], n_each=20)
    split = sample_holdout(cohort, **FRACTIONS, seed=0, allow_leakage=True)
    assert "leaky on purpose" in split.note
    with pytest.raises(LeakageError):
        check_leakage(cohort, split)


def test_a_final_model_trains_on_all_but_the_validation_patients():
    split = training_only(cohort_of([6, 6]), valid_fraction=0.2, seed=0)
    assert set(split.parts.tolist()) == {"train", "valid"}
    assert split.note == ""
    assert len(split.positions("valid")) == 6


@pytest.mark.parametrize(("kind", "n_splits"), [("holdout", 1), ("folds", 5), ("sites", 2), ("column", 1)])
def test_settings_choose_the_maker(kind, n_splits):
    sites = np.tile(np.repeat(["north", "south"], 9), 2)
    cohort = cohort_of([6, 6], sites=sites)
    settings = SplitSettings(kind=kind, column="set", train_values=("north",), test_values=("south",))
    splits = make_splits(cohort, settings, seed=0, column_values=sites)
    assert len(splits) == n_splits
    assert all(len(split.positions("test")) and len(split.positions("train")) for split in splits)


def test_a_column_split_without_its_column_is_refused():
    with pytest.raises(ConfigError, match="needs a column"):
        make_splits(cohort_of([3, 3]), SplitSettings(kind="column"), seed=0)


def test_the_table_of_folds_lists_each_sample_in_the_fold_that_tests_it():
    cohort = cohort_of([3, 3])
    splits = patient_folds(cohort, n_folds=3, valid_fraction=0.0, seed=0)
    table = split_table(cohort, splits)
    assert sorted(table["sample"]) == sorted(cohort.samples.tolist())
    assert set(table["part"]) == {"test"}
    assert set(table["fold"]) == {"fold 1 of 3", "fold 2 of 3", "fold 3 of 3"}


def test_the_table_of_one_split_lists_every_part():
    cohort = cohort_of([5, 5])
    table = split_table(cohort, (patient_holdout(cohort, **FRACTIONS, seed=0),))
    assert table["sample"] == cohort.samples.tolist()
    assert set(table["part"]) == {"train", "valid", "test"}
