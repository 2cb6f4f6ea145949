"""The tree of labels with the scores of every node: where along the tree the model can be relied on."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Figure, Fold, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, MUTED, draw
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import counted, interval, metric_heading, metric_name, number
from trilineage.report.tree_shape import Row, TreeShape

DRAWN = ("recall", "precision", "auroc")
"""Scores drawn beside every node."""
LISTED = ("recall", "precision", "f1", "auroc", "auprc", "brier", "ece")
MAX_ROWS_DRAWN = 60
"""A taller tree is listed only."""
INDENT = "\N{EM SPACE}"
_ROW_IN = 0.27


def tree_section(run: Run) -> Section | None:
    """Show the tree with the scores of its nodes, if there are any."""
    if not run.has("nodes.json"):
        return None
    shape, nouns = TreeShape.of(run.read_json("nodes.json")), nouns_of(run)
    blocks: list[Block] = [
        Text(
            f"Each node is a question of its own: is this {nouns.sample} of it, or of something below it? A node far "
            "down can be uncertain while the ones above it are not."
        )
    ]
    if len(shape.rows) <= MAX_ROWS_DRAWN:
        blocks.append(tree_figure(shape, nouns))
    blocks.append(Fold("Every score of every node", (node_table(shape, nouns),)))
    return Section("tree", "Along the tree", tuple(blocks))


def tree_figure(shape: TreeShape, nouns: Nouns) -> Figure:
    """Draw the tree as an indented list, its scores with their intervals to the right."""
    shown = [metric for metric in DRAWN if any(metric in row["scores"] for row in shape.rows)]

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(
            1, 1 + len(shown), sharey=True, squeeze=False, width_ratios=[1.9, *([1.0] * len(shown))]
        )[0]
        _paint_tree(grid[0], shape)
        for axes, metric in zip(grid[1:], shown, strict=True):
            _paint_scores(axes, shape, metric)

    guess = (
        "Grey mark: the share of all " + f"{nouns.sample}s that are of the node, the precision of a guess. "
    )
    several = "" if shape.is_tree else " A node with several parents stands under its first one."
    return draw(
        "tree",
        paint,
        title="The tree with the scores of its nodes",
        description=_in_words(shape, shown),
        caption=f"In brackets: test {nouns.sample}s of the node. Bars: 95 % intervals over {nouns.patient}s. "
        f"{guess if 'precision' in shown else ''}Dashed: an AUROC of guessing.{several}",
        height_in=0.75 + _ROW_IN * len(shape.rows),
    )


def _paint_tree(axes: Axes, shape: TreeShape) -> None:
    depths = shape.depths
    place = {name: row for row, name in enumerate(shape.names)}
    for row, (node, depth) in enumerate(zip(shape.rows, depths, strict=True)):
        if node["parents"]:
            above = place[node["parents"][0]]
            axes.plot(
                [depth - 0.8, depth - 0.8, depth - 0.15], [above + 0.35, row, row], color=MUTED, linewidth=0.9
            )
        has_any = node["n_samples"] > 0
        text = f"{node['node']}  ({node['n_samples']:,})"
        weight = "normal" if node["is_leaf"] else "bold"
        axes.text(depth, row, text, va="center", weight=weight, alpha=1.0 if has_any else 0.55)
    widest = max(
        0.62 * depth + 0.135 * len(f"{n['node']}  ({n['n_samples']})")
        for n, depth in zip(shape.rows, depths, strict=True)
    )
    axes.set(
        xlim=(-0.3, max(widest / 0.62, max(depths) + 1.0)), ylim=(len(shape.rows) - 0.4, -0.7), title="Node"
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def _paint_scores(axes: Axes, shape: TreeShape, metric: str) -> None:
    n_all = max(row["n_samples"] for row in shape.rows)
    for row, node in enumerate(shape.rows):
        score = node["scores"].get(metric)
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color=INK, alpha=0.04, linewidth=0)
        if score is None or score["value"] is None:
            continue
        if metric == "precision" and n_all:
            axes.plot(node["n_samples"] / n_all, row, "|", color=MUTED, markersize=9)
        if score["low"] is not None and score["high"] is not None:
            axes.plot(
                [score["low"], score["high"]], [row, row], color=MODEL, linewidth=2.2, solid_capstyle="butt"
            )
        axes.plot(score["value"], row, "o", color=MODEL, markersize=5, clip_on=False)
    if metric == "auroc":
        axes.axvline(0.5, color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6, zorder=0)
    axes.set(xlim=(0, 1), title=metric_heading(metric))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def node_table(shape: TreeShape, nouns: Nouns) -> Table:
    """List every score of every node."""
    shown = [metric for metric in LISTED if any(metric in row["scores"] for row in shape.rows)]
    rows = tuple(
        (
            (INDENT * depth + node["node"], INDENT * depth + _about(node)),
            (
                f"{node['n_samples']:,}",
                counted(node["n_patients"], nouns.patient) if nouns.knows_patients else "",
            ),
            *(_cell(node["scores"].get(metric)) for metric in shown),
        )
        for node, depth in zip(shape.rows, shape.depths, strict=True)
    )
    caption = f"Nodes, indented by level; under each score its interval over {nouns.patient}s."
    return Table(
        caption,
        ("Node", f"{nouns.sample.capitalize()}s", *map(metric_heading, shown)),
        rows,
        is_sortable=False,
    )


def _about(node: Row) -> str:
    title = node.get("title") or ""
    also = f"also under {', '.join(node['parents'][1:])}" if len(node["parents"]) > 1 else ""
    return "; ".join(filter(None, (title if title != node["node"] else "", also)))


def _cell(score: dict[str, Any] | None) -> Cell:
    if score is None:
        return "–"
    return number(score["value"]), interval(score["low"], score["high"])


def _in_words(shape: TreeShape, shown: list[str]) -> str:
    lines = []
    for node in shape.rows:
        known = [(metric, node["scores"].get(metric)) for metric in shown]
        said = ", ".join(
            f"{metric_name(metric)} {number(score['value'], 2)}" for metric, score in known if score
        )
        if said:
            lines.append(f"{node['node']}: {said}.")
    return " ".join(lines)
