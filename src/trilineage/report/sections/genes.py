"""Which genes speak for each class: attributions with intervals, their stability, and the truth where it is known."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Facts, Figure, Fold, Section, Table, Text
from trilineage.report.drawing import MODEL, SECOND, WIDTH_IN, draw
from trilineage.report.numbers import interval, number, signed

GENES = "explain/genes.csv"
N_DRAWN = 10
N_LISTED = 50
_N_COLUMNS = 3


@dataclass(frozen=True)
class Gene:
    """The attribution of one gene to one class."""

    name: str
    """Symbol or id."""
    value: float
    """Mean attribution over seeds; positive speaks for the class."""
    low: float
    """Lower end of the interval; NaN if unknown."""
    high: float
    """Upper end of the interval."""


def genes_section(run: Run) -> Section | None:
    """Show the genes of an explained Run."""
    if not run.has(GENES):
        return None
    genes = read_genes(run.read_table(GENES))
    blocks: list[Block] = [
        Text(
            "Integrated gradients from the class through the classifier and the encoder to the genes. They say what "
            "the model uses, not what causes disease: genes that rise and fall together share their attribution."
        ),
        genes_figure(genes),
    ]
    blocks += _facts(run, "explain/stability.json", "Stability over seeds")
    blocks += _facts(run, "explain/recovery.json", "Recovery of the simulated truth")
    blocks.append(Fold(f"The {N_LISTED} strongest genes per class", (_gene_table(genes),)))
    return Section("genes", "Genes behind each class", tuple(blocks))


def read_genes(table: dict[str, list[str]]) -> dict[str, list[Gene]]:
    """Return the genes of each class, the strongest (in either direction) first."""
    n_rows = len(table["class"])
    low, high = (table.get(end) or [""] * n_rows for end in ("low", "high"))
    names = table.get("symbol") or table["gene"]
    genes: dict[str, list[Gene]] = defaultdict(list)
    for label, name, value, *ends in zip(table["class"], names, table["attribution"], low, high, strict=True):
        genes[label].append(Gene(name, _number(value), *map(_number, ends)))
    return {label: sorted(found, key=lambda gene: -abs(gene.value)) for label, found in genes.items()}


def genes_figure(genes: dict[str, list[Gene]]) -> Figure:
    """Draw the strongest genes of each class as bars."""
    n_columns = min(_N_COLUMNS, len(genes))
    n_rows = math.ceil(len(genes) / n_columns)
    n_bars = min(N_DRAWN, max(len(found) for found in genes.values()))

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(n_rows, n_columns, squeeze=False)
        for axes in grid.flat[len(genes) :]:
            axes.set_visible(False)
        for axes, (label, found) in zip(grid.flat, genes.items(), strict=False):
            shown = found[:n_bars]
            colours = [MODEL if gene.value >= 0 else SECOND for gene in shown]
            axes.barh(
                range(len(shown)), [gene.value for gene in shown], color=colours, height=0.65, alpha=0.85
            )
            for row, gene in enumerate(shown):
                axes.hlines(row, gene.low, gene.high, linewidth=1.1, colors="#80868f")
            axes.set_yticks(range(len(shown)), [gene.name for gene in shown])
            axes.set(ylim=(n_bars - 0.4, -0.6), title=label)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")

    strongest = "; ".join(
        f"{label}: {', '.join(gene.name for gene in found[:5])}" for label, found in genes.items()
    )
    return draw(
        "genes",
        paint,
        title="Strongest genes per class",
        description=f"Strongest genes, strongest first. {strongest}.",
        caption="Mean attribution. Blue speaks for the class, orange against it. Lines: intervals.",
        height_in=0.3 + n_rows * (0.55 + 0.2 * n_bars),
        width_in=WIDTH_IN if n_columns > 1 else WIDTH_IN / 2,
    )


def _gene_table(genes: dict[str, list[Gene]]) -> Table:
    rows = tuple(
        (label, str(rank), gene.name, signed(gene.value, 4), interval(gene.low, gene.high, 4))
        for label, found in genes.items()
        for rank, gene in enumerate(found[:N_LISTED], start=1)
    )
    columns = ("Class", "Rank", "Gene", "Attribution", "Interval")
    return Table(f"All genes are in {GENES}.", columns, rows, n_text_columns=3)


def _facts(run: Run, name: str, title: str) -> list[Block]:
    """Show a small JSON file: numbers as facts, tables of classes as tables."""
    if not run.has(name):
        return []
    content = run.read_json(name)
    plain = {key: value for key, value in content.items() if not isinstance(value, dict | list)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict) and value}
    blocks: list[Block] = [Text(f"{title}:")]
    if plain:
        blocks.append(Facts(tuple((_words(key), _text(value)) for key, value in plain.items())))
    return blocks + [_nested_table(title, key, value) for key, value in tables.items()]


def _nested_table(title: str, key: str, value: dict[str, Any]) -> Table:
    if all(isinstance(row, dict) for row in value.values()):
        columns = list(dict.fromkeys(column for row in value.values() for column in row))
        rows = tuple((name, *(_text(row.get(column)) for column in columns)) for name, row in value.items())
        return Table(f"{title}, {_words(key)}.", ("", *map(_words, columns)), rows)
    return Table(
        f"{title}, {_words(key)}.", ("", "Value"), tuple((name, _text(row)) for name, row in value.items())
    )


def _words(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return ", ".join(map(_text, value)) if isinstance(value, list) else str("" if value is None else value)


def _number(text: str) -> float:
    return float(text) if text else math.nan
