"""Who was studied and how they were divided: the cohort, the reading of the matrix, the split."""

from collections import defaultdict
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Facts, Fold, Notice, Section, Table, Text
from trilineage.report.findings import cohort_notices
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import counted, listed, sentence

_PARTS = ("train", "valid", "test", "unused")
_PART_NAMES = {"train": "Training", "valid": "Validation", "test": "Test", "unused": "Not used"}
MAX_ROWS_OPEN = 8
"""Longer tables of populations and sites are folded."""


def cohort_section(run: Run) -> Section | None:
    """Describe the samples, patients and classes, and how the file was read."""
    if not run.has("cohort.json"):
        return None
    cohort = run.read_json("cohort.json")
    size = f"{counted(cohort['n_samples'], 'sample')} of {counted(cohort['n_patients'], 'patient')}"
    blocks: list[Block] = [Text(f"{size}, {counted(cohort['n_genes'], 'gene')}.")]
    blocks += cohort_notices([(row["label"], row["n_patients"]) for row in cohort["classes"]])
    blocks.append(_class_table(cohort["classes"]))
    tables = [
        _name_table(cohort.get(key) or [], noun)
        for key, noun in (("populations", "Cell population"), ("sites", "Site"))
        if cohort.get(key)
    ]
    blocks += [
        table if len(table.rows) <= MAX_ROWS_OPEN else Fold(table.caption, (table,)) for table in tables
    ]
    blocks.append(Facts(tuple(_reading_rows(cohort))))
    blocks += [Notice(sentence(note)) for note in cohort.get("notes") or []]
    return Section("cohort", "Cohort", tuple(blocks))


def split_section(run: Run) -> Section | None:
    """Describe which patients were learned from and which were scored, and check that none is on both sides."""
    if not run.has("split.csv"):
        return None
    split = run.read_table("split.csv")
    nouns = nouns_of(run)
    leaks = leaking_patients(split)
    blocks: list[Block] = [_leak_notice(leaks, len(set(split["patient"])), nouns)]
    folds = sorted({fold for fold, part in zip(split["fold"], split["part"], strict=True) if part == "test"})
    by = "fold" if len(folds) > 1 else "part"
    if by == "fold":
        blocks.insert(
            0,
            Text(
                f"{len(folds)} folds: each {nouns.patient} is scored once, by a model that never saw the "
                f"{nouns.patient}."
            ),
        )
    blocks.append(_split_table(split, by, folds if by == "fold" else list(_PARTS), nouns))
    return Section("split", "Split", tuple(blocks))


def leaking_patients(split: dict[str, list[str]]) -> list[str]:
    """Return the patients that stand on both sides of a split: in two parts of a hold-out, or tested in two folds."""
    places: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for patient, fold, part in zip(split["patient"], split["fold"], split["part"], strict=True):
        if part != "unused":
            places[patient].add((fold, part))
    return sorted(patient for patient, found in places.items() if len(found) > 1)


def _leak_notice(leaks: list[str], n_patients: int, nouns: Nouns) -> Notice:
    if leaks and nouns.knows_patients:
        return Notice(
            f"LEAKAGE: {counted(len(leaks), 'patient')} of {n_patients:,} on both sides of the split "
            f"({listed(leaks, 4)}). The "
            "scores measure how well patients are recognised, not how well disease is diagnosed.",
            "danger",
        )
    if leaks:
        return Notice(f"{counted(len(leaks), nouns.patient)} on both sides of the split.", "danger")
    checked = f"Checked: none of the {counted(n_patients, nouns.patient)} stands on both sides of the split."
    unknown = " Whether a patient does cannot be checked: the patients are not known."
    return Notice(checked if nouns.knows_patients else checked + unknown)


def _class_table(classes: list[dict[str, Any]]) -> Table:
    rows = tuple((row["label"], f"{row['n_patients']:,}", f"{row['n_samples']:,}") for row in classes)
    return Table("Classes of the cohort.", ("Class", "Patients", "Samples"), rows)


def _name_table(entries: list[dict[str, Any]], noun: str) -> Table:
    rows = tuple((entry["name"], f"{entry['n_samples']:,}") for entry in entries)
    return Table(f"{len(rows)} {noun.lower()}s in the file", (noun, "Samples"), rows)


def _reading_rows(cohort: dict[str, Any]) -> list[tuple[str, str]]:
    """Say as what the matrix was read and why, and which columns carry which meaning."""
    state = cohort.get("matrix_state") or {}
    rows = [("Matrix read as", str(state.get("kind", "unknown")))]
    rows += [("Evidence", sentence(text)) for text in state.get("evidence") or []]
    keys = cohort.get("keys") or {}
    rows += [(f"Column for {role.replace('_', ' ')}", str(key)) for role, key in keys.items() if key]
    return rows


def _split_table(split: dict[str, list[str]], by: str, groups: list[str], nouns: Nouns) -> Table:
    """Count patients and samples of each class in each part (or fold)."""
    patients: dict[tuple[str, str], set[str]] = defaultdict(set)
    samples: dict[tuple[str, str], int] = defaultdict(int)
    for group, label, patient in zip(split[by], split["label"], split["patient"], strict=True):
        patients[group, label].add(patient)
        samples[group, label] += 1
    labels = sorted(set(split["label"]))
    present = [group for group in groups if any(samples[group, label] for label in labels)]
    rows: list[tuple[Cell, ...]] = [
        (label, *(_count(len(patients[group, label]), samples[group, label], nouns) for group in present))
        for label in labels
    ]
    totals: tuple[Cell, ...] = (
        "All",
        *(_count(*_total(patients, samples, group, labels), nouns) for group in present),
    )
    names = [_PART_NAMES.get(group, group) if by == "part" else f"Fold {group}" for group in present]
    place = "part" if by == "part" else "fold in which they are tested"
    under = f"; under them their {nouns.sample}s" if nouns.knows_patients else ""
    return Table(
        f"{nouns.patient.capitalize()}s of each class per {place}{under}.",
        ("Class", *names),
        (*rows, totals),
        strong_rows=frozenset({len(rows)}),
    )


def _total(
    patients: dict[tuple[str, str], set[str]],
    samples: dict[tuple[str, str], int],
    group: str,
    labels: list[str],
) -> tuple[int, int]:
    n_patients = len(set().union(*(patients[group, label] for label in labels)))
    return n_patients, sum(samples[group, label] for label in labels)


def _count(n_patients: int, n_samples: int, nouns: Nouns) -> Cell:
    return (f"{n_patients:,}", counted(n_samples, nouns.sample)) if nouns.knows_patients else f"{n_samples:,}"
