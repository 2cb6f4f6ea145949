"""Cells of a matrix in a figure: shades that ink can be read on, and names along the sides."""

from collections.abc import Callable, Sequence
from operator import eq

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy import ndarray, ndenumerate

from trilineage.report.drawing import MODEL, SECOND

_STRONGEST = 0.72


def paint_share(axes: Axes, row: int, column: int, share: float, colour: str) -> None:
    """Shade one cell: stronger for a larger share, never so strong that ink cannot be read on it."""
    corner = (column - 0.5, row - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, alpha=_STRONGEST * share, linewidth=0))


def paint_counts(
    axes: Axes,
    counts: Float[ndarray, "row column"],
    rows: Sequence[str],
    columns: Sequence[str],
    is_right: Callable[[str, str], bool] = eq,
) -> None:
    """Write counts, shaded by their share of the row: blue where the column is right for the row, orange elsewhere."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = 8 if len(columns) <= 8 else 6.5
    for (row, column), share in ndenumerate(shares):
        fits = is_right(rows[row], columns[column])
        paint_share(axes, row, column, float(share), MODEL if fits else SECOND)
        if counts[row, column] > 0:
            text, weight = f"{int(counts[row, column]):,}", "bold" if fits else "normal"
            axes.text(column, row, text, ha="center", va="center", size=size, weight=weight)
    label_cells(axes, tuple(rows), tuple(columns))


def label_cells(axes: Axes, rows: tuple[str, ...], columns: tuple[str, ...]) -> None:
    """Name rows and columns, and draw nothing around them."""
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
