"""What the autoencoder is worth: its latents beside raw neurons, principal components and a random dictionary."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Figure, Section, Table, Text
from trilineage.report.concept_doubts import control_notices, stability_notices
from trilineage.report.concept_results import AUTOENCODER, Row, figures_of, mark_of, quartiles
from trilineage.report.drawing import INK, draw
from trilineage.report.numbers import UNDEFINED, capital, interval, number, percent
from trilineage.report.origins import linked

NAMES = {
    "monosemanticity": "Monosemanticity",
    "held_out_auroc": "Held-out AUROC",
    "relative_entropy": "Entropy over classes",
    "spread": "Lineage spread",
    "frequency": "Frequency",
    "stability": "Stability",
}
"""Figures of the latents that have quartiles, in the order in which they are shown."""

_CHANCE = {"monosemanticity": "monosemanticity_by_chance"}
_COLUMNS = 3


def concept_figures_section(run: Run) -> Section | None:
    """Show the figures of every dictionary beside each other, and say where a control does as well."""
    found = figures_of(run)
    if not found:
        return None
    blocks: list[Block] = [
        Text(
            "All dictionaries go through the same tests. Raw neurons and principal components, each with its two "
            "signs, need no training; the random dictionary has as many latents as the autoencoder, in random "
            "directions. What they reach too is no merit of the autoencoder."
        ),
        *control_notices(run),
        *stability_notices(run),
        _count_table(found),
    ]
    shown = [name for name in NAMES if any(quartiles(row, name) for row in found.values())]
    if shown:
        blocks += [_figure(found, shown), _quartile_table(found, shown)]
    return Section("controls", "The autoencoder beside its controls", tuple(linked(blocks, "figures.json")))


def _count_table(found: Mapping[str, Row]) -> Table:
    """Count the latents, and say how many come back from another seed."""
    rows: list[tuple[Cell, ...]] = [
        (
            capital(subject),
            f"{row['n_latents']:,}",
            (f"{row['n_alive']:,}", _share(row["n_alive"], row["n_latents"])),
            f"{row['n_strong']:,}",
            (f"{row['n_concepts']:,}", f"{_share(row['n_concepts'], row['n_strong'])} of strong"),
            UNDEFINED if row["share_alike"] is None else percent(round(row["share_alike"], 3)),
            *_returning(row.get("returning")),
        )
        for subject, row in found.items()
    ]
    return Table(
        "Latents. Alive: active in a training image. Strong: mean activation above 0.001. Alike: share of strong "
        "latents whose references resemble each other more than random images do. Found again: share of strong latents "
        "with a match in every other seed; under it the mean cosine of the nearest and that of random directions. Raw "
        "neurons do not depend on a seed and principal components hardly do.",
        ("Dictionary", "Latents", "Alive", "Strong", "Concepts", "Alike", "Found again"),
        tuple(rows),
        strong_rows=frozenset(place for place, subject in enumerate(found) if subject == AUTOENCODER),
    )


def _returning(known: Row | None) -> tuple[Cell]:
    if not known:
        return (UNDEFINED,)
    ends = f"{number(known['cosine'], 2)} against {number(known['chance'], 2)}"
    return ((percent(round(known["found"], 3)), ends),)


def _quartile_table(found: Mapping[str, Row], shown: list[str]) -> Table:
    """Lay out the medians over the strong latents, the middle half under them."""
    rows = tuple(
        (capital(subject), *(_quartile_cell(row, name) for name in shown)) for subject, row in found.items()
    )
    chance = [
        f"{subject} {number(row[_CHANCE['monosemanticity']], 2)}"
        for subject, row in found.items()
        if row.get(_CHANCE["monosemanticity"]) is not None
    ]
    by_chance = f" Monosemanticity by chance: {', '.join(chance)}." if chance else ""
    return Table(
        f"Medians over the strong latents; under them the middle half.{by_chance} Low entropy and spread: a latent of "
        "few, related classes.",
        ("Dictionary", *(NAMES[name] for name in shown)),
        rows,
        strong_rows=frozenset(place for place, subject in enumerate(found) if subject == AUTOENCODER),
    )


def _quartile_cell(row: Row, name: str) -> Cell:
    values = quartiles(row, name)
    return UNDEFINED if values is None else (number(values[1], 2), interval(values[0], values[2], 2))


def _figure(found: Mapping[str, Row], shown: list[str]) -> Figure:
    """Draw the quartiles of every figure, a small panel each."""
    n_rows = -(-len(shown) // _COLUMNS)

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(n_rows, _COLUMNS, squeeze=False, sharey=True)
        for axes, name in zip(grid.flat, shown, strict=False):
            _paint_panel(axes, found, name)
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_visible(False)

    return draw(
        "controls",
        paint,
        title="Figures of the latents",
        description=_in_words(found, shown),
        caption="Mark: median over the strong latents. Bar: the middle half. Short dashed line: random images "
        "(monosemanticity) or guessing (AUROC).",
        height_in=0.2 + n_rows * (0.65 + 0.22 * len(found)),
    )


def _paint_panel(axes: Axes, found: Mapping[str, Row], name: str) -> None:
    for place, (subject, row) in enumerate(found.items()):
        values, (colour, marker) = quartiles(row, name), mark_of(subject)
        if values is None:
            axes.text(0.02, place, "unknown", transform=axes.get_yaxis_transform(), va="center", alpha=0.6)
            continue
        axes.plot([values[0], values[2]], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot(values[1], place, marker, color=colour, markersize=6)
        chance = 0.5 if name == "held_out_auroc" else row.get(_CHANCE.get(name, ""))
        if chance is not None:
            axes.plot(
                [chance, chance], [place - 0.4, place + 0.4], color=INK, linewidth=0.9, linestyle=(0, (3, 2))
            )
    axes.set_title(NAMES[name])
    axes.set_yticks(range(len(found)), [capital(subject) for subject in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    axes.grid(axis="x")


def _in_words(found: Mapping[str, Row], shown: list[str]) -> str:
    parts = []
    for name in shown:
        medians = [(subject, quartiles(row, name)) for subject, row in found.items()]
        words = ", ".join(
            f"{subject} {number(values[1], 2)}" for subject, values in medians if values is not None
        )
        parts.append(f"{NAMES[name]}, medians: {words}.")
    return " ".join(parts)


def _share(part: int, whole: int) -> str:
    return percent(round(part / whole, 3)) if whole else UNDEFINED
