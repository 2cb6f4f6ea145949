"""Whether probabilities mean what they say: of the decisions, and of every node by itself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Figure, Fold, Section, Table
from trilineage.report.drawing import INK, MODEL, draw
from trilineage.report.image_findings import calibration_error
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import number, percent

_N_COLUMNS = 4
_MAX_NODES = 40
_DOT, _LARGEST_DOT = 6.0, 60.0

Bins = Sequence[Mapping[str, Any]]


def reliability_section(run: Run) -> Section | None:
    """Show stated probabilities against what happened, and what calibration changed."""
    if not run.has("reliability.json"):
        return None
    found, nouns = run.read_json("reliability.json"), nouns_of(run)
    if not found["decision"]:
        return None
    blocks: list[Block] = [decision_figure(found["decision"], found["level"], nouns)]
    nodes = {name: bins for name, bins in found["nodes"].items() if bins}
    if nodes:
        blocks.append(Fold("Reliability of every node", (node_figure(nodes, found["level"], nouns),)))
    table = temperature_table(run.read_json("history.json") if run.has("history.json") else {})
    if table is not None:
        blocks.append(Fold("Calibration of every fork", (table,)))
    return Section("reliability", "Reliability of the probabilities", tuple(blocks))


def decision_figure(bins: Bins, level: float, nouns: Nouns) -> Figure:
    """Draw how often decisions were right against the probability they were given, and how many there are."""

    def paint(canvas: Canvas) -> None:
        upper, lower = canvas.subplots(2, sharex=True, height_ratios=(4, 1))
        _paint_bins(upper, bins)
        upper.set(ylim=(0, 1.02), ylabel="Share of decisions that are right")
        total = sum(one["n_samples"] for one in bins)
        width = bins[0]["to"] - bins[0]["from"]
        middles = [(one["from"] + one["to"]) / 2 for one in bins]
        lower.bar(middles, [one["n_samples"] / total for one in bins], width=0.85 * width, color=MODEL)
        lower.set(
            xlim=(0, 1.02), xlabel="Probability of the decision", ylabel=f"{nouns.sample.capitalize()}s"
        )
        lower.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        lower.grid()

    return draw(
        "reliability",
        paint,
        title="Reliability of the decisions",
        description=f"Probability stated and share that was right, per bin: {_in_words(bins)}.",
        caption=f"On the dashed line a probability means what it says; under it the model is too sure. Bars: "
        f"{percent(level)} intervals over {nouns.patient}s. Mean gap: {number(calibration_error(bins), 3)}.",
        height_in=4.2,
        width_in=5.2,
    )


def node_figure(nodes: Mapping[str, Bins], level: float, nouns: Nouns) -> Figure:
    """Draw the same for the probability of each node."""
    shown = dict(list(nodes.items())[:_MAX_NODES])
    n_rows = math.ceil(len(shown) / _N_COLUMNS)

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(n_rows, _N_COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes, (name, bins) in zip(grid.flat, shown.items(), strict=False):
            _paint_bins(axes, bins)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
            axes.set_title(f"{name} ({number(calibration_error(bins), 2)})", fontsize=8)

    words = ". ".join(f"{name}: {_in_words(bins)}" for name, bins in shown.items())
    cut = f" The first {len(shown)} of {len(nodes)} nodes." if len(nodes) > len(shown) else ""
    return draw(
        "reliability-nodes",
        paint,
        title="Reliability of every node",
        description=words,
        caption=f"Across: the probability stated. Up: the share of {nouns.sample}s that are of the node. Larger dots: "
        f"more {nouns.sample}s. Bars: {percent(level)} intervals. In brackets: the mean gap.{cut}",
        height_in=0.4 + 1.75 * n_rows,
    )


def temperature_table(history: Any) -> Table | None:
    """List the temperature of each fork, and the calibration error on validation data before and after it."""
    found = _calibrations(history)
    rows = tuple(
        (split, parent, number(value, 2), *(number(one.get(key, {}).get(parent), 3) for key in _ERRORS))
        for split, one in found.items()
        for parent, value in one["temperatures"].items()
    )
    if not rows:
        return None
    headings = ("Split", "Fork", "Temperature", "Gap before", "Gap after")
    caption = "Temperatures fitted on the validation part; above 1 the network was too sure, below 1 not sure enough."
    return Table(caption, headings, rows, n_text_columns=2)


_ERRORS = ("ece_before", "ece_after")


def _calibrations(history: Any) -> dict[str, dict[str, Any]]:
    """Return what was fitted in each split; splits without calibration are left out."""
    if not isinstance(history, dict):
        return {}
    found = {name: split.get("calibration") for name, split in history.items() if isinstance(split, dict)}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, dict) and isinstance(one.get("temperatures"), dict)
    }


def _paint_bins(axes: Axes, bins: Bins) -> None:
    said, happened = [one["mean_probability"] for one in bins], [one["share"] for one in bins]
    most = max(one["n_samples"] for one in bins)
    sizes = [_DOT + _LARGEST_DOT * one["n_samples"] / most for one in bins]
    axes.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6)
    for one in bins:
        if one["low"] is not None and one["high"] is not None:
            axes.vlines(
                one["mean_probability"], one["low"], one["high"], color=MODEL, linewidth=2, alpha=0.55
            )
    axes.plot(said, happened, "-", color=MODEL, linewidth=1)
    axes.scatter(said, happened, sizes, color=MODEL, linewidths=0, zorder=3)
    axes.grid()


def _in_words(bins: Bins) -> str:
    return "; ".join(
        f"said {number(one['mean_probability'], 2)}, was {number(one['share'], 2)}" for one in bins
    )
