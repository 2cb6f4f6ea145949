"""Which genes speak for each class: attributions with intervals, their stability, and the truth where it is known."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Facts, Figure, Fold, Section, Table, Text
from trilineage.report.drawing import MODEL, SECOND, WIDTH_IN, draw
from trilineage.report.numbers import UNDEFINED, interval, metric_heading, number, signed

GENES = "explain/genes.csv"
N_DRAWN = 10
N_LISTED = 50
_N_COLUMNS = 3
_MOST_LETTERS = 17
"""Letters of a class that fit above its bars."""
_HEADINGS = {
    "n_seeds": "Seeds",
    "n_samples": "Samples attributed",
    "precision_at_k": "Precision among the strongest",
}


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
    share_of_seeds: float = math.nan
    """Share of the seeds that have the gene among their strongest; NaN if unknown."""
    true_effect: float = math.nan
    """Log fold change in simulated data; NaN where there is no truth."""

    @property
    def is_true(self) -> bool:
        """Whether the simulation changed this gene for this class."""
        return math.isfinite(self.true_effect) and self.true_effect != 0


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
    blocks += _table_per_class(
        run,
        "explain/stability.json",
        "Stability: how much of the ranking of genes survives another seed.",
    )
    blocks += _table_per_class(
        run,
        "explain/recovery.json",
        "Recovery: how well the ranking finds the genes changed by the simulation.",
    )
    blocks.append(Fold(f"The {N_LISTED} strongest genes per class", (gene_table(genes),)))
    return Section("genes", "Genes behind each class", tuple(blocks))


def read_genes(table: dict[str, list[str]]) -> dict[str, list[Gene]]:
    """Return the genes of each class, the strongest (in either direction) first."""
    n_rows = len(table["class"])
    names = table.get("symbol") or table["gene"]
    optional = ("low", "high", "share_of_seeds", "true_effect")
    columns = [table.get(name) or [""] * n_rows for name in optional]
    genes: dict[str, list[Gene]] = defaultdict(list)
    for label, name, value, *others in zip(
        table["class"], names, table["attribution"], *columns, strict=True
    ):
        genes[label].append(Gene(name, _number(value), *map(_number, others)))
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
            axes.set_yticks(
                range(len(shown)), [f"{gene.name} *" if gene.is_true else gene.name for gene in shown]
            )
            axes.set(ylim=(n_bars - 0.4, -0.6), title=_short(label))
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")

    truth = " Star: changed by the simulation." if _has_truth(genes) else ""
    strongest = "; ".join(
        f"{label}: {', '.join(gene.name for gene in found[:5])}" for label, found in genes.items()
    )
    return draw(
        "genes",
        paint,
        title="Strongest genes per class",
        description=f"Strongest genes, strongest first. {strongest}.",
        caption="Mean attribution. Blue speaks for the class, orange against it. Lines: intervals over patients."
        + truth,
        height_in=0.3 + n_rows * (0.55 + 0.2 * n_bars),
        width_in=WIDTH_IN if n_columns > 1 else WIDTH_IN / 2,
    )


def _short(label: str) -> str:
    """Return a name that fits above its bars; the table below has the whole one."""
    return label if len(label) <= _MOST_LETTERS else f"{label[: _MOST_LETTERS - 1]}…"


def gene_table(genes: dict[str, list[Gene]]) -> Table:
    """List the strongest genes of each class, with their true effect where there is a truth."""
    has_truth = _has_truth(genes)
    rows = tuple(
        (label, str(rank), gene.name, *_gene_cells(gene, has_truth))
        for label, found in genes.items()
        for rank, gene in enumerate(found[:N_LISTED], start=1)
    )
    columns = (
        "Class",
        "Rank",
        "Gene",
        "Attribution",
        "Share of seeds",
        *(("True effect",) if has_truth else ()),
    )
    caption = "Under each attribution its interval over patients; share of the seeds that rank the gene high."
    return Table(f"{caption} All genes: {GENES}.", columns, rows, n_text_columns=3)


def _gene_cells(gene: Gene, has_truth: bool) -> tuple[Cell, ...]:
    attribution = (signed(gene.value, 4), interval(gene.low, gene.high, 4))
    cells: tuple[Cell, ...] = (attribution, number(gene.share_of_seeds, 2))
    return (*cells, signed(gene.true_effect, 2)) if has_truth else cells


def _has_truth(genes: dict[str, list[Gene]]) -> bool:
    return any(math.isfinite(gene.true_effect) for found in genes.values() for gene in found)


def _table_per_class(run: Run, name: str, caption: str) -> list[Block]:
    """Show a small JSON file: numbers as facts, and its table of classes."""
    if not run.has(name):
        return []
    content = run.read_json(name)
    facts = tuple(
        (_words(key), _text(value)) for key, value in content.items() if not isinstance(value, dict | list)
    )
    classes = content.get("classes") or {}
    columns = list(dict.fromkeys(column for row in classes.values() for column in row))
    rows = tuple((label, *(_text(row.get(column)) for column in columns)) for label, row in classes.items())
    blocks: list[Block] = [Table(caption, ("Class", *map(_words, columns)), rows)] if rows else []
    return [*blocks, Facts(facts)] if facts else blocks


def _words(key: str) -> str:
    return _HEADINGS.get(key, metric_heading(key))


def _text(value: Any) -> str:
    if value is None:
        return UNDEFINED
    return number(value) if isinstance(value, float) else str(value)


def _number(text: str) -> float:
    return float(text) if text else math.nan
