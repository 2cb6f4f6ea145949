"""How it learned: the curves of every stage of training."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Figure, Section
from trilineage.report.drawing import CYCLE, draw
from trilineage.report.nouns import SAMPLES, Nouns, nouns_of
from trilineage.report.numbers import metric_name, number

Curves = dict[str, list[float]]

_NO_CURVE = ("epoch", "step", "time_s")


def training_section(run: Run) -> Section | None:
    """Show the curves of a Run."""
    if not run.has("history.json"):
        return None
    stages = stages_of(run.read_json("history.json"))
    return Section("training", "Training", (training_figure(stages, nouns_of(run)),)) if stages else None


def stages_of(history: Any, name: str = "") -> dict[str, list[Curves]]:
    """Return the curves of every stage, one entry per split it was trained in.

    The history is nested: split, stage, curves; a stage is a list of epochs (`[{"epoch": 1, "loss": 0.7}, ...]`), a
    dictionary with such a list under `epochs`, or a dictionary of lists (`{"loss": [0.7, ...]}`). What is none of these
    (a temperature, a stage that was not trained) has no curve.
    """
    curves = curves_of(history)
    if curves:
        return {name: [curves]}
    stages: dict[str, list[Curves]] = {}
    for inner_name, inner in history.items() if isinstance(history, dict) else ():
        for stage, found in stages_of(inner, inner_name).items():
            stages.setdefault(stage, []).extend(found)
    return stages


def curves_of(stage: Any) -> Curves:
    """Return the numbers of a stage by name, one per epoch; NaN where an epoch has none. Empty if it is no stage."""
    epochs = stage.get("epochs") if isinstance(stage, dict) else stage
    if isinstance(epochs, list) and all(isinstance(epoch, dict) for epoch in epochs):
        names = dict.fromkeys(name for epoch in epochs for name in epoch)
        columns = {name: [epoch.get(name) for epoch in epochs] for name in names}
    else:
        columns = stage if isinstance(stage, dict) else {}
    curves = {
        name: [_number(value) for value in values]
        for name, values in columns.items()
        if isinstance(values, list) and name not in _NO_CURVE
    }
    return {name: values for name, values in curves.items() if any(math.isfinite(value) for value in values)}


def training_figure(stages: dict[str, list[Curves]], nouns: Nouns = SAMPLES) -> Figure:
    """Draw a row per stage: losses at the left, scores at the right; a thin line per split."""
    n_splits = max(len(splits) for splits in stages.values())

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(len(stages), 2, squeeze=False)
        for (left, right), (name, splits) in zip(grid, stages.items(), strict=True):
            _paint_curves(left, [_only(curves, is_loss=True) for curves in splits], f"{name}: loss")
            _paint_curves(right, [_only(curves, is_loss=False) for curves in splits], f"{name}: scores")

    splits_drawn = "" if n_splits == 1 else f" One line for each of the {n_splits} splits."
    return draw(
        "training",
        paint,
        title="Training curves",
        description=_in_words(stages),
        caption=f"Values at the end of each epoch, on the training and validation {nouns.patient}s only.{splits_drawn}",
        height_in=0.3 + 2.1 * len(stages),
    )


def _paint_curves(axes: Axes, splits: list[Curves], title: str) -> None:
    names = list(dict.fromkeys(name for curves in splits for name in curves))
    if not names:
        axes.set_visible(False)
        return
    alpha, width = (1.0, 1.6) if len(splits) == 1 else (0.6, 0.9)
    for fold, curves in enumerate(splits):
        for position, name in enumerate(names):
            values = curves.get(name, [])
            line, marker = ("-", "--", ":", "-.")[position % 4], "o" if len(values) == 1 else ""
            label = metric_name(name) if fold == 0 else "_"
            colour = CYCLE[position % len(CYCLE)]
            axes.plot(range(1, len(values) + 1), values, line, color=colour, alpha=alpha, linewidth=width)
            axes.lines[-1].set(marker=marker, label=label)
    axes.set(xlabel="Epoch", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
    axes.legend()


def _only(curves: Curves, *, is_loss: bool) -> Curves:
    """Keep the losses, or the scores: what lies between -1 and 1 and is neither a loss nor a learning rate."""
    if is_loss:
        return {name: values for name, values in curves.items() if "loss" in name}
    return {
        name: values
        for name, values in curves.items()
        if "loss" not in name
        and "rate" not in name
        and all(abs(value) <= 1 for value in values if value == value)
    }


def _in_words(stages: dict[str, list[Curves]]) -> str:
    parts = []
    for name, splits in stages.items():
        last = ", ".join(f"{metric_name(key)} {number(values[-1])}" for key, values in splits[0].items())
        parts.append(f"{name}, {len(next(iter(splits[0].values())))} epochs, at the end: {last}.")
    return " ".join(parts)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
