"""Which images were studied: patients if they are known, labels, sites, sizes, what was left out and why."""

from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Facts, Fold, Notice, Section, Table, Text
from trilineage.report.findings import cohort_notices
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import counted, percent, sentence
from trilineage.report.sections.cohort import MAX_ROWS_OPEN

MAX_UNREADABLE_LISTED = 200
MANY_UNREADABLE = 0.01
"""Share of unreadable images from which the set itself is in doubt."""


def image_cohort_section(run: Run) -> Section | None:
    """Describe the images, and what is not known about them."""
    if not run.has("cohort.json"):
        return None
    cohort, nouns = run.read_json("cohort.json"), nouns_of(run)
    of = f" of {counted(cohort['n_patients'], 'patient')}" if nouns.knows_patients else ""
    blocks: list[Block] = [Text(f"{counted(cohort['n_samples'], 'image')}{of}.")]
    if nouns.knows_patients:
        blocks += cohort_notices([(row["label"], row["n_patients"]) for row in cohort["classes"]])
    else:
        blocks.append(no_patients_notice())
    blocks += _unreadable_blocks(cohort)
    blocks.append(_label_table(cohort["classes"], nouns))
    blocks += _site_blocks(cohort.get("sites") or [])
    blocks.append(Facts((*_reading_rows(cohort), *_remark_rows(cohort, nouns))))
    return Section("cohort", "Images", tuple(blocks))


def no_patients_notice() -> Notice:
    """Say what follows from not knowing the patients."""
    return Notice(
        "The patients are not known. Images of one patient may stand on both sides of the split, so leakage cannot be "
        "excluded and the scores may be too good; intervals are over images and too narrow, for images of one patient "
        "resemble each other.",
        "caution",
    )


def _label_table(classes: list[dict[str, Any]], nouns: Nouns) -> Table:
    if nouns.knows_patients:
        rows = tuple((row["label"], f"{row['n_patients']:,}", f"{row['n_samples']:,}") for row in classes)
        return Table("Labels.", ("Label", "Patients", "Images"), rows)
    return Table(
        "Labels.", ("Label", "Images"), tuple((row["label"], f"{row['n_samples']:,}") for row in classes)
    )


def _site_blocks(sites: list[dict[str, Any]]) -> list[Block]:
    if not sites:
        return []
    rows = tuple((str(site["name"]), f"{site['n_samples']:,}") for site in sites)
    table = Table(f"{len(rows)} sites.", ("Site", "Images"), rows)
    return [table if len(rows) <= MAX_ROWS_OPEN else Fold(table.caption, (table,))]


def _unreadable_blocks(cohort: dict[str, Any]) -> list[Block]:
    """List what could not be read; warn where it is much."""
    unreadable = cohort.get("unreadable") or []
    if not unreadable:
        return []
    share = len(unreadable) / (len(unreadable) + cohort["n_samples"])
    of = percent(round(share, 4))
    text = f"Left out because they could not be read: {counted(len(unreadable), 'image')} ({of} of all)."
    rows = tuple((row["name"], row["reason"]) for row in unreadable[:MAX_UNREADABLE_LISTED])
    cut = len(unreadable) - len(rows)
    more = f" {cut:,} more are in cohort.json." if cut else ""
    table = Table(f"Images that could not be read.{more}", ("Image", "Reason"), rows, n_text_columns=2)
    return [
        Notice(text, "caution" if share > MANY_UNREADABLE else "note"),
        Fold("Images that could not be read", (table,)),
    ]


def _remark_rows(cohort: dict[str, Any], nouns: Nouns) -> list[tuple[str, str]]:
    """List what was assumed or left out; what a notice has said is not said again."""
    said = ("unreadable images",) if nouns.knows_patients else ("unreadable images", "no patient")
    notes = [note for note in cohort.get("notes") or [] if not any(words in note for words in said)]
    return [
        ("Remarks" if first else "", sentence(note))
        for first, note in zip([True, *[False] * len(notes)], notes, strict=False)
    ]


def _reading_rows(cohort: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Tree of labels", str(cohort.get("taxonomy") or "none"))]
    if cohort.get("image_sizes"):
        rows.append(("Sizes, width x height: images", "; ".join(map(str, cohort["image_sizes"]))))
    if cohort.get("working_size"):
        rows.append(("Working size, height x width", " x ".join(map(str, cohort["working_size"]))))
    return rows
