"""Which latents are concepts: the most telling ones by name, and the way to the atlas with all their pictures."""

from collections import Counter

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Fold, Link, Notice, Section, Table, Text
from trilineage.report.concept_results import (
    ATLAS,
    AUTOENCODER,
    attribute_name,
    concept_names,
    figures_of,
)
from trilineage.report.numbers import UNDEFINED, counted, number, percent

TABLE = "concepts.csv"
MAX_LISTED, PER_TARGET = 20, 2
"""Concepts in the open table, and of these at most so many of one target."""
MAX_FOLDED = 300
"""Concepts in the fold; all of them are in concepts.csv and in the atlas."""

_COLUMNS = {
    "Target": "best_target",
    "AUROC": "auroc",
    "Frequency": "frequency",
    "Entropy": "relative_entropy",
    "Mono\N{SOFT HYPHEN}semanticity": "monosemanticity",
    "Stability": "stability",
}


def concept_list_section(run: Run) -> Section | None:
    """List the concepts, those that tell their target best first."""
    if not run.has(TABLE):
        return None
    columns = run.read_table(TABLE)
    chosen = [row for row, is_concept in enumerate(columns["is_concept"]) if is_concept == "True"]
    order = sorted(chosen, key=lambda row: (-(_value(columns, "auroc", row) or 0.0), row))
    blocks: list[Block] = [Text(_what_is_one(run, len(chosen)))]
    if run.has(ATLAS):
        blocks.append(Link(ATLAS, "Open the atlas: every concept with its reference images"))
    names = concept_names(run)
    if any(is_draft for _, is_draft in names.values()):
        blocks.append(
            Notice(
                "Names marked as drafts were put together from what a latent is associated with. No reader has "
                "confirmed them."
            )
        )
    if order:
        shown = _of_each_target(columns, order)
        blocks.append(_table(columns, shown, names, len(order)))
        if len(order) > len(shown):
            title = "All concepts" if len(order) <= MAX_FOLDED else f"The first {MAX_FOLDED} concepts"
            blocks.append(Fold(title, (_table(columns, order[:MAX_FOLDED], names, len(order)),)))
    return Section("concepts", "The concepts", tuple(blocks))


def _what_is_one(run: Run, n_concepts: int) -> str:
    own = figures_of(run).get(AUTOENCODER)
    of = "" if own is None else f" among {counted(own['n_strong'], 'strong latent')}"
    return (
        f"{counted(n_concepts, 'concept')}{of}. A latent is called a concept if it is strong and associated with a "
        "class or an attribute in the training images and, where that can be tested, in the same direction in held-out "
        "ones; where nothing is labelled, if its references look alike to a network that had no part in it."
    )


def _table(
    columns: dict[str, list[str]], order: list[int], names: dict[int, tuple[str, bool]], n_all: int
) -> Table:
    shown = {heading: name for heading, name in _COLUMNS.items() if name in columns}
    rows: list[tuple[Cell, ...]] = [
        (
            _named(int(columns["latent"][row]), names),
            *(_cell(columns, name, row) for name in shown.values()),
        )
        for row in order
    ]
    cut = "" if len(order) == n_all else f" {len(order)} of {n_all:,}; all of them are in concepts.csv."
    return Table(
        "Concepts by the AUROC of their best target in training images; under it that in held-out ones. Frequency: "
        "share of training images. Entropy: 0 one class, 1 all classes alike. Stability: cosine with the "
        f"match of another seed.{cut}",
        ("Concept", *shown),
        tuple(rows),
        n_text_columns=2,
    )


def _of_each_target(columns: dict[str, list[str]], order: list[int]) -> list[int]:
    """Keep the first concepts, of each target a few, so that one class that is easy to tell does not fill the table."""
    seen: Counter[str] = Counter()
    kept = []
    for row in order:
        target = columns["best_target"][row]
        seen[target] += 1
        if not target or seen[target] <= PER_TARGET:
            kept.append(row)
    return kept[:MAX_LISTED]


def _named(latent: int, names: dict[int, tuple[str, bool]]) -> Cell:
    name, is_draft = names.get(latent, ("", False))
    return (name, f"latent {latent}{', draft' if is_draft else ''}") if name else f"latent {latent}"


def _cell(columns: dict[str, list[str]], name: str, row: int) -> Cell:
    if name == "best_target":
        attribute, _, value = columns[name][row].partition("=")
        return (value, attribute_name(attribute)) if value else UNDEFINED
    if name == "auroc" and not columns["best_target"][row]:
        return UNDEFINED
    if name == "auroc" and "held_out_auroc" in columns:
        held_out = number(_value(columns, "held_out_auroc", row), 2)
        return number(_value(columns, name, row), 2), f"held out {held_out}"
    found = _value(columns, name, row)
    if name == "frequency":
        return UNDEFINED if found is None else percent(round(found, 3))
    return number(found, 2)


def _value(columns: dict[str, list[str]], name: str, row: int) -> float | None:
    return float(columns[name][row]) if columns[name][row] else None
