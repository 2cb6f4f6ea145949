"""The cohort and the split are described as they are, and a leak is never passed over."""

import pytest

from trilineage.report.blocks import Facts, Notice, Table
from trilineage.report.sections.cohort import cohort_section, leaking_patients, split_section


def split(*rows: tuple[str, str, str, str]) -> dict[str, list[str]]:
    patients, labels, folds, parts = (list(column) for column in zip(*rows, strict=True))
    names = [f"s{i}" for i in range(len(rows))]
    return {"sample": names, "patient": patients, "label": labels, "fold": folds, "part": parts}


def test_a_patient_in_two_parts_leaks():
    assert leaking_patients(
        split(("p1", "A", "0", "train"), ("p1", "A", "0", "test"), ("p2", "A", "0", "test"))
    ) == ["p1"]


def test_a_patient_tested_in_two_folds_leaks():
    assert leaking_patients(split(("p1", "A", "0", "test"), ("p1", "A", "1", "test"))) == ["p1"]


def test_unused_samples_of_a_patient_do_not_leak():
    assert leaking_patients(split(("p1", "A", "0", "train"), ("p1", "A", "0", "unused"))) == []


@pytest.mark.parametrize(("part", "level"), [("train", "danger"), ("unused", "note")])
def test_the_split_section_warns_of_a_leak_and_says_when_there_is_none(bare_run, part, level):
    rows = split(("p1", "A", "0", "test"), ("p1", "A", "0", part), ("p2", "B", "0", "train"))
    bare_run.write_table("split.csv", rows)
    section = split_section(bare_run)
    assert [block.level for block in section.blocks if isinstance(block, Notice)] == [level]


def test_the_split_table_counts_patients_and_samples(bare_run):
    rows = split(
        ("p1", "A", "0", "train"),
        ("p1", "A", "0", "train"),
        ("p2", "B", "0", "test"),
        ("p3", "A", "0", "valid"),
    )
    bare_run.write_table("split.csv", rows)
    section = split_section(bare_run)
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert table.columns == ("Class", "Training", "Validation", "Test")
    assert table.rows == (
        ("A", ("1", "2 samples"), ("1", "1 sample"), ("0", "0 samples")),
        ("B", ("0", "0 samples"), ("0", "0 samples"), ("1", "1 sample")),
        ("All", ("1", "2 samples"), ("1", "1 sample"), ("1", "1 sample")),
    )


def test_folds_are_the_columns_of_a_cross_validation(bare_run):
    rows = split(("p1", "A", "0", "test"), ("p2", "A", "1", "test"))
    bare_run.write_table("split.csv", rows)
    section = split_section(bare_run)
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert table.columns == ("Class", "Fold 0", "Fold 1")


def test_the_cohort_tells_how_the_matrix_was_read_and_what_was_left_out(bare_run):
    cohort = {
        "n_samples": 12,
        "n_patients": 2,
        "n_genes": 5,
        "classes": [{"label": "A", "n_patients": 2, "n_samples": 12}],
        "keys": {"label": "disease", "site": None},
        "matrix_state": {"kind": "counts", "evidence": ["whole numbers"]},
        "notes": ["3 samples were left out"],
    }
    bare_run.write_json("cohort.json", cohort)
    section = cohort_section(bare_run)
    (facts,) = (block for block in section.blocks if isinstance(block, Facts))
    assert facts.rows == (
        ("Matrix read as", "counts"),
        ("Evidence", "Whole numbers."),
        ("Column for label", "disease"),
    )
    notices = [block.text for block in section.blocks if isinstance(block, Notice)]
    assert notices[0].startswith("Fewer than 10 patients in A (2)")
    assert notices[1] == "3 samples were left out."
