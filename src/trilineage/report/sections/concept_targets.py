"""What single latents tell apart: for each class and attribute the held-out area of the best one, beside controls."""

from collections.abc import Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Figure, Fold, Section, Table, Text
from trilineage.report.concept_results import (
    AUTOENCODER,
    TargetAreas,
    attribute_name,
    called,
    concept_names,
    mark_of,
    targets_of,
    value_name,
)
from trilineage.report.drawing import INK, draw
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import UNDEFINED, capital, interval, number

Panels: TypeAlias = dict[str, dict[str, tuple[str, ...]]]
"""For each panel its lines, and the targets of each: of a class one, of an attribute its values."""

_ROW_IN = 0.36
MAX_DRAWN = 30
"""Classes or attributes that one panel shows; the tables have all of them."""


def concept_targets_section(run: Run) -> Section | None:
    """Show how well the best latent of each dictionary tells each class and each attribute."""
    targets = targets_of(run)
    if targets is None:
        return None
    nouns = nouns_of(run)
    blocks: list[Block] = [
        Text(
            "For each class and each value of an attribute the latent with the largest AUROC in the training images is "
            "chosen, and this one is scored on held-out images: 0.5 is guessing, 1 tells all apart. An attribute "
            "counts with the mean over its values."
        ),
        _figure(targets, nouns),
        _mean_table(targets, nouns),
    ]
    names = concept_names(run)
    if targets.classes:
        blocks.append(_latent_table(targets, targets.classes, names, "Classes"))
    tables = tuple(
        _latent_table(targets, values, names, capital(attribute_name(attribute)))
        for attribute, values in targets.attributes.items()
    )
    if tables:
        blocks.append(Fold("Attributes, value by value", tables))
    return Section("targets", "What single latents tell apart", tuple(blocks))


# ---- tables ---------------------------------------------------------------------------------------------------------


def _mean_table(targets: TargetAreas, nouns: Nouns) -> Table:
    """Lay out the classes and the attributes, a column per dictionary."""
    rows: list[tuple[Cell, ...]] = [
        (value_name(target), *(_area_cell(targets, target, subject) for subject in targets.subjects))
        for target in targets.classes
    ]
    lines = {"Mean over classes": targets.classes} if targets.classes else {}
    attributes = {attribute_name(name): values for name, values in targets.attributes.items()}
    strong = set()
    for name, values in {**lines, **attributes}.items():
        strong |= {len(rows)} if name in lines else set()
        rows.append((name, *(number(targets.mean(subject, values), 2) for subject in targets.subjects)))
    if attributes:
        everything = tuple(value for values in attributes.values() for value in values)
        strong.add(len(rows))
        means = (number(targets.mean(subject, everything), 2) for subject in targets.subjects)
        rows.append(("Mean over values of attributes", *means))
    return Table(
        "Held-out AUROC of the best single latent, chosen on training images. Classes: under it the 95 % interval over "
        f"{nouns.patient}s. Attributes: mean over their values, without an interval.",
        ("Class or attribute", *(capital(subject) for subject in targets.subjects)),
        tuple(rows),
        strong_rows=frozenset(strong),
    )


def _area_cell(targets: TargetAreas, target: str, subject: str) -> Cell:
    row = targets.rows.get((target, subject))
    return UNDEFINED if row is None else (number(row["value"], 2), interval(row["low"], row["high"], 2))


def _latent_table(
    targets: TargetAreas, chosen: Sequence[str], names: dict[int, tuple[str, bool]], title: str
) -> Table:
    """Name the latents of the autoencoder, and what the controls reach."""
    others = [subject for subject in targets.subjects if subject != AUTOENCODER]
    rows: list[tuple[Cell, ...]] = []
    for target in chosen:
        own = targets.rows.get((target, AUTOENCODER))
        if own is not None:
            rows.append(
                (
                    value_name(target),
                    called(own["latent"], names),
                    number(own["train_auroc"], 2),
                    (number(own["value"], 2), interval(own["low"], own["high"], 2)),
                    *(_area_cell(targets, target, subject) for subject in others),
                )
            )
    return Table(
        f"{title}: the best latent of the autoencoder, its AUROC in training images and in held-out ones; at the right "
        "that of the best of each control in held-out images.",
        ("Target", "Latent", "Training", "Held out", *(capital(subject) for subject in others)),
        tuple(rows),
        n_text_columns=2,
    )


# ---- figure ---------------------------------------------------------------------------------------------------------


def _figure(targets: TargetAreas, nouns: Nouns) -> Figure:
    """Draw classes with intervals above, attributes below."""
    classes: dict[str, tuple[str, ...]] = {
        value_name(target): (target,) for target in targets.classes[:MAX_DRAWN]
    }
    attributes = [(attribute_name(name), values) for name, values in targets.attributes.items()]
    both: Panels = {"Classes": classes, "Attributes, mean over values": dict(attributes[:MAX_DRAWN])}
    panels = {heading: lines for heading, lines in both.items() if lines}

    def paint(canvas: Canvas) -> None:
        heights = [len(lines) + 0.6 for lines in panels.values()]
        grid = canvas.subplots(len(panels), sharex=True, squeeze=False, height_ratios=heights)
        for axes, (heading, lines) in zip(grid[:, 0], panels.items(), strict=True):
            _paint_panel(axes, targets, lines, heading)
        grid[-1, 0].set_xlabel("Held-out AUROC of the best latent")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper left", ncols=len(labels))

    n_lines = sum(map(len, panels.values()))
    return draw(
        "targets",
        paint,
        title="Best latent of each class and attribute",
        description=_in_words(targets, panels),
        caption=f"Bars: 95 % intervals over {nouns.patient}s. Dashed line: guessing.",
        height_in=0.9 + 0.45 * len(panels) + _ROW_IN * n_lines,
    )


def _paint_panel(axes: Axes, targets: TargetAreas, lines: dict[str, tuple[str, ...]], heading: str) -> None:
    step = 0.72 / max(len(targets.subjects), 1)
    for place, subject in enumerate(targets.subjects):
        colour, marker = mark_of(subject)
        shift = (place - (len(targets.subjects) - 1) / 2) * step
        label = capital(subject)
        for row, chosen in enumerate(lines.values()):
            value = targets.mean(subject, chosen) if len(chosen) > 1 else targets.area(chosen[0], subject)
            if value is None:
                continue
            found = targets.rows.get((chosen[0], subject)) if len(chosen) == 1 else None
            if found is not None and found["low"] is not None and found["high"] is not None:
                axes.plot(
                    [found["low"], found["high"]], [row + shift] * 2, color=colour, linewidth=1.3, alpha=0.7
                )
            axes.plot(value, row + shift, marker, color=colour, markersize=4.6, linestyle="none", label=label)
            label = "_"
    axes.axvline(0.5, color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6, zorder=0)
    axes.set_title(heading)
    axes.set_yticks(range(len(lines)), list(lines))
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    for row in range(1, len(lines)):
        axes.axhline(row - 0.5, color=INK, linewidth=0.4, alpha=0.15)


def _in_words(targets: TargetAreas, panels: Panels) -> str:
    parts = []
    for heading, lines in panels.items():
        for subject in targets.subjects:
            values = "; ".join(
                f"{name} {number(targets.mean(subject, own), 2)}" for name, own in lines.items()
            )
            parts.append(f"{heading}, {subject}: {values}.")
    return " ".join(parts)
