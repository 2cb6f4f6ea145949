"""Where decisions were seen: maps along the path, whether they lie on the cell, and whether they are true."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Block, Cell, Figure, Fold, Gallery, Notice, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, draw
from trilineage.report.metrics import OTHER_METRICS, described
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import UNDEFINED, capital, counted, metric_heading, number, percent, scored
from trilineage.report.pictures import Wanted, pictures_of
from trilineage.report.scoreboard import score_cell

PANELS = "explain/panels.json"
SCORES = "explain/scores.json"
RANDOMISATION = "explain/randomisation.json"
MAX_PANELS = 8
NOISE = "random map"
"""Subject of the scores of maps of noise."""
LEFT_OVER = 0.5
"""Correlation with the maps of shuffled weights above which a map does not come from the weights."""

_METHODS = {"gradcam": "Grad-CAM", "rollout": "Attention rollout"}
_REGIONS = (
    ("pointing", "pointing_by_chance"),
    ("energy_inside", "energy_by_chance"),
    ("iou", ""),
    ("nucleus_share", "nucleus_area"),
    ("cytoplasm_share", "cytoplasm_area"),
    ("background_share", "background_area"),
)
"""Scores against regions, and what chance gives."""
_CURVES = ("deletion_auc", "insertion_auc")


def saliency_section(run: Run) -> Section | None:
    """Show the maps of an explained Run."""
    if not run.has(PANELS) and not run.has(SCORES):
        return None
    scores, nouns = run.scores(SCORES), nouns_of(run)
    blocks: list[Block] = [
        Text(
            "A map shows which parts of the image moved the probability of a node; it does not show what a "
            "haematologist would look at, nor that the reason is a good one."
        )
    ]
    blocks += panel_blocks(run)
    blocks += region_blocks(scores, nouns)
    blocks += curve_blocks(scores, nouns)
    blocks += randomisation_blocks(run)
    return Section("saliency", "Where it was seen", tuple(blocks))


# ---- pictures -------------------------------------------------------------------------------------------------------


def panel_blocks(run: Run) -> list[Block]:
    """Show the contact sheets: the first one open, the others in a fold."""
    panels = run.read_json(PANELS) if run.has(PANELS) else []
    wanted = [
        Wanted(panel["picture"], f"Maps of the images {panel['caption']}", (f"Images: {panel['caption']}",))
        for panel in panels
    ]
    shown = pictures_of(run, wanted, limit=MAX_PANELS)
    if not shown:
        return []
    how = "A row for each image: the image, then the maps of the nodes on the path to the decision."
    blocks: list[Block] = [Gallery(how, shown[:1], is_wide=True)]
    if len(shown) > 1:
        blocks.append(
            Fold(f"{counted(len(shown) - 1, 'more sheet')} of maps", (Gallery(how, shown[1:], is_wide=True),))
        )
    if len(panels) > len(shown):
        blocks.append(
            Text(f"{counted(len(panels) - len(shown), 'more sheet')} of maps in the folder explain/.")
        )
    return blocks


# ---- scores ---------------------------------------------------------------------------------------------------------


def region_blocks(scores: Sequence[Score], nouns: Nouns) -> list[Block]:
    """Compare where the evidence lies with the cell, its nucleus and the background."""
    pairs = [(metric, chance) for metric, chance in _REGIONS if _get(scores, metric)]
    if not pairs:
        return []
    subjects = _subjects(scores)
    rows = tuple(
        (
            (metric_heading(metric), described(metric).meaning),
            *(score_cell(_get(scores, metric, subject)) for subject in subjects),
            _by_chance(scores, chance),
        )
        for metric, chance in pairs
    )
    size = _size(scores, pairs[0][0], nouns)
    caption = f"Maps against the cell ({size}). By chance: the share of the image that the region covers."
    table = Table(caption, ("", *map(_method, subjects), "By chance"), rows)
    return [table, *region_notices(scores)]


def region_notices(scores: Sequence[Score]) -> list[Notice]:
    """Warn of maps that look at the background, and of maps no better than noise."""
    inside, chance = _get(scores, "energy_inside"), _get(scores, "energy_by_chance")
    if inside is None or chance is None or inside.low is None or inside.low > chance.value:
        return []
    text = f"The maps lie on the cell no more than by chance: {scored(inside, 2)} of their evidence is inside"
    return [
        Notice(
            f"{text}, and the cell covers {number(chance.value, 2)} of the image. The decision may come from the "
            "background.",
            "caution",
        )
    ]


def curve_blocks(scores: Sequence[Score], nouns: Nouns) -> list[Block]:
    """Compare what the maps call important with what the model uses."""
    shown = [metric for metric in _CURVES if _get(scores, metric)]
    if not shown:
        return []
    subjects = _subjects(scores)
    rows = tuple(
        (
            (metric_heading(metric), described(metric).meaning),
            *(score_cell(_get(scores, metric, subject)) for subject in subjects),
        )
        for metric in shown
    )
    size = _size(scores, shown[0], nouns)
    caption = f"Whether the model needs what the maps show ({size}), beside maps of noise."
    return [Table(caption, ("", *map(_method, subjects)), rows), *curve_notices(scores)]


def curve_notices(scores: Sequence[Score]) -> list[Notice]:
    """Warn where maps of noise do as well."""
    unclear = []
    for metric in _CURVES:
        own, noise = _get(scores, metric), _get(scores, metric, NOISE)
        if own and math.isnan(own.value):
            return [
                Notice("The maps are empty: nothing in the images raised the nodes explained.", "caution")
            ]
        if own and noise and (own.value >= noise.value) == described(metric).is_lower_better:
            unclear.append(described(metric).name)
    if not unclear:
        return []
    return [Notice(f"By {' and '.join(unclear)} the maps are no better than maps of noise.", "caution")]


def _by_chance(scores: Sequence[Score], metric: str) -> Cell:
    found = _get(scores, metric) if metric in OTHER_METRICS else None
    return UNDEFINED if found is None else number(found.value)


def _get(scores: Sequence[Score], metric: str, subject: str = "") -> Score | None:
    """Return the score of a subject; unless named, of the first that is not noise."""
    found = (
        score
        for score in scores
        if score.metric == metric and (score.subject == subject if subject else score.subject != NOISE)
    )
    return next(found, None)


def _method(subject: str) -> str:
    """Return a method of making maps as people write it."""
    return _METHODS.get(subject, capital(subject))


def _subjects(scores: Sequence[Score]) -> list[str]:
    """Return the subjects, maps of noise last."""
    return sorted(dict.fromkeys(score.subject for score in scores), key=lambda subject: subject == NOISE)


def _size(scores: Sequence[Score], metric: str, nouns: Nouns) -> str:
    """Say how many images stand behind a metric; a subject whose maps are empty has none."""
    score = max((score for score in scores if score.metric == metric), key=lambda score: score.n_samples)
    patients = f" of {counted(score.n_patients, 'patient')}" if nouns.knows_patients else ""
    return f"{counted(score.n_samples, 'image')}{patients}; {percent(score.level)} intervals"


# ---- randomisation --------------------------------------------------------------------------------------------------


def randomisation_blocks(run: Run) -> list[Block]:
    """Draw what is left of the maps while the weights are shuffled, from the head down."""
    if not run.has(RANDOMISATION):
        return []
    found = run.read_json(RANDOMISATION)
    known = [
        (part, value)
        for part, value in zip(found["parts"], found["correlations"], strict=True)
        if _is_known(value)
    ]
    if not known:
        return [Text("With shuffled weights the maps are empty: nothing is left to compare.")]
    blocks: list[Block] = [randomisation_figure(known, found.get("n_images"))]
    if known[-1][1] > LEFT_OVER:
        text = f"With all weights shuffled the maps still correlate with the true ones by {number(known[-1][1], 2)}"
        blocks.append(Notice(f"{text}: they show the image more than what was learned.", "caution"))
    return blocks


def randomisation_figure(known: Sequence[tuple[str, float]], n_images: int | None) -> Figure:
    """Draw the correlation with the true maps after each part."""

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        rows = range(len(known))
        axes.hlines(rows, 0, [value for _, value in known], color=MODEL, linewidth=2.2, alpha=0.6)
        axes.plot([value for _, value in known], rows, "o", color=MODEL, markersize=6)
        for row, (_, value) in zip(rows, known, strict=True):
            axes.text(1.03, row, number(value, 2), va="center", transform=axes.get_yaxis_transform())
        axes.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
        axes.set_yticks(list(rows), [part for part, _ in known])
        axes.set(ylim=(len(known) - 0.5, -0.5), xlim=(min(-0.1, *(value - 0.05 for _, value in known)), 1))
        axes.set_xlabel("Rank correlation with the true maps")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")

    said = "; ".join(f"{part} {number(value, 2)}" for part, value in known)
    of = "" if n_images is None else f" Mean over {counted(n_images, 'image')}."
    return draw(
        "randomisation",
        paint,
        title="What is left of the maps when weights are shuffled",
        description=f"Rank correlation with the true maps after each part, from the head down: {said}.",
        caption=f"Parts are shuffled one after another, from the head down (Adebayo et al. 2018). Maps that come from "
        f"what was learned fall to 0.{of}",
        height_in=0.9 + 0.24 * len(known),
        width_in=6.0,
    )


def _is_known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
