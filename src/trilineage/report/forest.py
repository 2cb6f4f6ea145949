"""The forest plot: scores with their intervals, models beside baselines beside nulls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.core.records import Score
from trilineage.report.blocks import Figure
from trilineage.report.drawing import INK, MODEL, MUTED, SECOND, draw
from trilineage.report.nouns import SAMPLES, Nouns
from trilineage.report.numbers import metric_name, percent, scored
from trilineage.report.scoreboard import SCORES_NAME, Role, role_of, subject_name

_MARKERS: dict[Role, str] = {"model": "o", "baseline": "s", "null": "D", "leaky": "x"}
_COLOURS: dict[Role, str] = {"model": MODEL, "baseline": MUTED, "null": SECOND, "leaky": MUTED}
_ROW_IN = 0.24
_PANEL_IN = 0.52


@dataclass(frozen=True)
class Panel:
    """Scores of one metric that are read against each other."""

    heading: str
    """What they have in common, such as `per patient (17 patients)`."""
    scores: tuple[Score, ...]
    """From top to bottom."""


def forest(
    name: str,
    panels: Sequence[Panel],
    *,
    title: str,
    caption: str = "",
    chance: float | None = None,
    nouns: Nouns = SAMPLES,
    file: str = SCORES_NAME,
) -> Figure:
    """Draw panels of scores over one axis.

    Parameters
    ----------
    chance
        Value of a guess, drawn as a dashed line; None leaves it out.
    file
        File of the Run the scores stand in.
    """
    metric = panels[0].scores[0].metric
    n_rows = sum(len(panel.scores) for panel in panels)

    def paint(canvas: Canvas) -> None:
        heights = [len(panel.scores) + 0.5 for panel in panels]
        grid = canvas.subplots(len(panels), sharex=True, squeeze=False, height_ratios=heights)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            _paint_panel(axes, panel, chance)
        axes.set_xlabel(metric_name(metric))
        axes.set_xlim(*_limits(panels))

    figure = draw(
        name,
        paint,
        title=title,
        description=_in_words(panels),
        caption=f"{caption} {_legend(panels, chance, nouns)}".strip(),
        height_in=0.35 + n_rows * _ROW_IN + len(panels) * _PANEL_IN,
    )
    return replace(figure, sources=(file,))


def _paint_panel(axes: Axes, panel: Panel, chance: float | None) -> None:
    rows = range(len(panel.scores))
    for row, score in zip(rows, panel.scores, strict=True):
        _paint_score(axes, row, score)
    if chance is not None:
        axes.axvline(chance, color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6, zorder=0)
    axes.set_title(panel.heading)
    axes.set_yticks(list(rows), [subject_name(score.subject) for score in panel.scores])
    axes.set_ylim(len(panel.scores) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _paint_score(axes: Axes, row: int, score: Score) -> None:
    role = role_of(score.subject)
    colour = _COLOURS[role]
    if score.low is not None and score.high is not None:
        axes.plot([score.low, score.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        if role == "null":
            axes.axvspan(score.low, score.high, color=colour, alpha=0.1, linewidth=0)
    if score.value == score.value:
        size = 7 if role == "model" else 5.5
        axes.plot(score.value, row, _MARKERS[role], color=colour, markersize=size, clip_on=False)
    weight = "bold" if role == "model" else "normal"
    axes.text(1.01, row, scored(score), transform=axes.get_yaxis_transform(), va="center", weight=weight)


def _legend(panels: Sequence[Panel], chance: float | None, nouns: Nouns) -> str:
    """Explain the marks that are drawn."""
    scores = [score for panel in panels for score in panel.scores]
    meanings: dict[Role, str] = {
        "model": "Circle: model.",
        "baseline": "Square: baseline.",
        "null": "Diamond and shaded band: null, over permutations.",
        "leaky": "Cross: leaky, no result.",
    }
    roles = {role_of(score.subject) for score in scores}
    marks = [meaning for role, meaning in meanings.items() if role in roles]
    guess = [] if chance is None else ["Dashed line: guessing."]
    return " ".join([f"Bars: {percent(scores[0].level)} intervals over {nouns.patient}s.", *marks, *guess])


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """Show the whole range of a share; go beyond it only where a score does."""
    ends = [
        end
        for panel in panels
        for score in panel.scores
        for end in (score.low, score.value, score.high)
        if end is not None and end == end
    ]
    low = min([0.0, *(end - 0.05 for end in ends if end < 0)])
    return low, max([1.0, *(1.05 * end for end in ends if end > 1)])


def _in_words(panels: Sequence[Panel]) -> str:
    """Say every score of the figure, for those who cannot see it."""
    lines = []
    for panel in panels:
        values = "; ".join(f"{score.subject} {scored(score)}" for score in panel.scores)
        lines.append(f"{panel.heading}: {values}.")
    return " ".join(lines)
