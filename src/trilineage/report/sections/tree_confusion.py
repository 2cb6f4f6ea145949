"""Who is taken for what: labels against decisions, at every fork of the tree, and the mistakes that matter most."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Figure, Fold, Section, Table
from trilineage.report.drawing import INK, WIDTH_IN, draw
from trilineage.report.matrix import paint_counts
from trilineage.report.nouns import nouns_of
from trilineage.report.numbers import counted, number, percent
from trilineage.report.tree_shape import TreeShape

ELSEWHERE = "elsewhere"
"""Column of decisions that are not below the fork."""
N_LISTED = 12
_N_COLUMNS = 3
_MAX_FORKS = 24

Confusion = dict[str, Any]


def tree_confusion_section(run: Run) -> Section | None:
    """Show labels against decisions, if they were counted."""
    if not run.has("confusion.json"):
        return None
    shape = TreeShape.of(run.read_json("nodes.json") if run.has("nodes.json") else [])
    nouns, of_samples = nouns_of(run), run.read_json("confusion.json")
    tables = [(nouns.sample, of_samples)]
    if run.has("patient_confusion.json"):
        tables.insert(0, (nouns.patient, run.read_json("patient_confusion.json")))
    blocks: list[Block] = []
    for noun, confusion in tables:
        blocks.append(confusion_figure(noun, confusion, shape))
    blocks.append(fork_figure(*tables[0]))
    blocks += [Fold(f"Forks, per {noun}", (fork_figure(noun, table),)) for noun, table in tables[1:]]
    blocks += [mistake_table(*tables[0], shape)] if has_mistakes(tables[0][1], shape) else []
    blocks += [
        Fold(f"Mistakes, per {noun}", (mistake_table(noun, table, shape),))
        for noun, table in tables[1:]
        if has_mistakes(table, shape)
    ]
    return Section("confusion", "Who is taken for what", tuple(blocks))


def confusion_figure(noun: str, confusion: Confusion, shape: TreeShape) -> Figure:
    """Draw labels against decisions in the order of the tree; lines part the branches below the root."""
    counts = np.array(confusion["counts"], dtype=float)
    place = {name: n for n, name in enumerate(confusion["nodes"])}
    codes = [place[name] for name in shape.names or confusion["nodes"] if name in place]
    rows = [code for code in codes if counts[code].sum() > 0]
    columns = [code for code in codes if counts[:, code].sum() > 0 or code in rows]
    names = [confusion["nodes"][code] for code in range(len(place))]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        shown = counts[np.ix_(rows, columns)]
        words = [names[code] for code in rows], [names[code] for code in columns]
        paint_counts(axes, shown, *words, shape.is_right)
        axes.set(ylabel="Label", xlabel="Decision")
        for along, line in zip(words, (axes.axhline, axes.axvline), strict=True):
            for position in _borders([shape.branch(name) for name in along]):
                line(position, color=INK, linewidth=0.7, alpha=0.45)

    is_right = np.array([[shape.is_right(label, decision) for decision in names] for label in names])
    right = "; ".join(
        f"{names[code]} {int(counts[code] @ is_right[code]):,} of {int(counts[code].sum()):,}"
        for code in rows
    )
    side = 0.42 if len(columns) <= 12 else 0.32
    return draw(
        f"confusion-{noun}",
        paint,
        title=f"Labels and decisions per {noun}",
        description=f"Called right: {right}.",
        caption=f"{counted(confusion['n_samples'], noun)}. Rows: the label. Columns: the decision. Shades are shares "
        "of the row. Lines part the branches of the tree: a mistake across a line is further from the truth.",
        height_in=1.3 + side * len(rows),
        width_in=min(WIDTH_IN, 2.2 + side * 1.15 * len(columns)),
    )


def _borders(branches: list[str]) -> list[float]:
    """Return the positions between cells of different branches."""
    return [n + 0.5 for n in range(len(branches) - 1) if branches[n] != branches[n + 1]]


def fork_figure(noun: str, confusion: Confusion) -> Figure:
    """Draw a small matrix for every fork: the true child against the child decided for, or elsewhere."""
    forks = [fork for fork in confusion["parents"] if np.sum(fork["counts"]) > 0][:_MAX_FORKS]
    n_columns = min(_N_COLUMNS, max(len(forks), 1))
    n_rows = max(math.ceil(len(forks) / n_columns), 1)
    tallest = [
        max((len(f["children"]) for f in forks[n::1][:n_columns]), default=1)
        for n in range(0, n_rows * n_columns, n_columns)
    ]

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(n_rows, n_columns, squeeze=False, height_ratios=[1.6 + n for n in tallest])
        for axes in grid.flat[len(forks) :]:
            axes.set_visible(False)
        for axes, fork in zip(grid.flat, forks, strict=False):
            paint_counts(
                axes, np.array(fork["counts"], dtype=float), fork["children"], [*fork["children"], ELSEWHERE]
            )
            axes.set_title(fork["parent"])

    return draw(
        f"forks-{noun}",
        paint,
        title=f"Every fork of the tree per {noun}",
        description=" ".join(_fork_in_words(fork) for fork in forks),
        caption=f"One matrix for each node that has children, over the {noun}s whose label goes through it. Rows: the "
        f"true child. Columns: the child decided for; {ELSEWHERE}: the decision is not below this node.",
        height_in=0.4 + sum(0.95 + 0.3 * n for n in tallest),
    )


def _fork_in_words(fork: Confusion) -> str:
    counts = np.array(fork["counts"])
    said = ", ".join(
        f"{child} {int(counts[n, n]):,} of {int(counts[n].sum()):,}"
        for n, child in enumerate(fork["children"])
    )
    return f"{fork['parent']}: {said}."


def has_mistakes(confusion: Confusion, shape: TreeShape) -> bool:
    """Tell whether a decision was neither its label nor below it."""
    names = confusion["nodes"]
    return any(
        count > 0 and not shape.is_right(label, decision)
        for label, row in zip(names, confusion["counts"], strict=True)
        for decision, count in zip(names, row, strict=True)
    )


def mistake_table(noun: str, confusion: Confusion, shape: TreeShape) -> Table:
    """List the pairs of label and wrong decision: by what they cost in all where costs are known, else by number."""
    counts, names = np.array(confusion["counts"]), confusion["nodes"]
    costs = None if confusion.get("costs") is None else np.array(confusion["costs"], dtype=float)
    is_wrong = np.array([[not shape.is_right(label, decision) for decision in names] for label in names])
    wrong = counts * is_wrong
    total = wrong if costs is None else wrong * costs
    pairs = np.argwhere(wrong > 0)
    order = np.lexsort((-wrong[tuple(pairs.T)], -total[tuple(pairs.T)]))[:N_LISTED]
    rows = []
    for label, decision in pairs[order].tolist():
        n = int(wrong[label, decision])
        cells = [names[label], names[decision], f"{n:,}", percent(round(n / max(counts[label].sum(), 1), 3))]
        if costs is not None:
            share = total[label, decision] / total.sum()
            cells += [
                number(costs[label, decision], 1),
                number(total[label, decision], 0),
                percent(round(share, 3)),
            ]
        rows.append(tuple(cells))
    by = "most frequent first" if costs is None else "the costliest in all first"
    cut = f" {len(pairs) - len(rows):,} other kinds are not listed." if len(pairs) > len(rows) else ""
    more = () if costs is None else ("Cost of one", "Cost in all", "Share of all cost")
    return Table(
        f"Kinds of mistake per {noun}, {by}.{cut}",
        ("Label", "Called", f"{noun.capitalize()}s", "Share of the label", *more),
        tuple(rows),
        n_text_columns=2,
    )
