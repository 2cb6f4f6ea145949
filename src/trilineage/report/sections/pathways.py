"""Which concepts a classifier decides by: what switching latents off and on does to its probability."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Figure, Section, Table, Text
from trilineage.report.concept_results import PATHWAYS, called, concept_names
from trilineage.report.drawing import MODEL, MUTED, draw
from trilineage.report.numbers import counted, number, signed

SHOWN = 4
"""Latents of each decision in the table; explain/pathways.json has more."""


def pathways_section(run: Run) -> Section | None:
    """Show the curves of switching latents, and the latents of each decision."""
    if not run.has(PATHWAYS):
        return None
    found = run.read_json(PATHWAYS)
    blocks: list[Block] = [
        Text(
            f"On {counted(found['n_images'], 'held-out image')} latents were changed in the tokens while everything "
            "that the autoencoder does not explain stayed as it was; the rest of the classifier then decided anew."
        )
    ]
    if found.get("curves"):
        blocks += [_figure(found["curves"]), Text(_said(found["curves"]))]
    decisions = [one for one in found["decisions"] if one["latents"]]
    if decisions:
        blocks.append(_table(decisions, concept_names(run)))
    return Section("pathways", "From concepts to decisions", tuple(blocks))


def _said(curves: dict[str, Any]) -> str:
    """Say whether the order of the latents matters more than chance."""
    off, on = curves["off_gap"], curves["on_gap"]
    verdict = (
        "The latents said to matter do matter more than latents drawn at random."
        if min(off, on) > 0
        else "The latents said to matter do not matter more than latents drawn at random."
    )
    return (
        f"Mean gap to random orders: {signed(off)} for switching off and {signed(on)} for switching on, in units of "
        f"the probability. {verdict}"
    )


def _figure(curves: dict[str, Any]) -> Figure:
    """Draw the probability of the decision against the number of latents switched."""

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=True)
        _paint_panel(left, curves, "off", "Switched off, one after the other")
        _paint_panel(right, curves, "on", "Switched on again, all others off")
        left.set_ylabel("Probability of the decision")
        left.legend()

    return draw(
        "pathways",
        paint,
        title="Latents switched off and on",
        description=_in_words(curves),
        caption=f"Mean over {counted(curves['n_images'], 'image')}. Blue: the latents that matter most for the "
        "decision first. Grey, dashed: random order. A steep blue line beside a flat grey one: few latents "
        "carry the decision.",
        height_in=2.9,
    )


def _paint_panel(axes: Axes, curves: dict[str, Any], way: str, title: str) -> None:
    counts = curves["counts"]
    places = range(len(counts))
    axes.plot(places, curves[way], "o-", color=MODEL, markersize=4, label="by what they are worth")
    axes.plot(places, curves[f"random_{way}"], "s--", color=MUTED, markersize=3.5, label="at random")
    axes.set_xticks(places, [f"{count:,}" for count in counts])
    axes.set(xlabel="Latents", title=title)
    axes.grid()


def _in_words(curves: dict[str, Any]) -> str:
    parts = []
    for way, words in (("off", "switched off"), ("on", "switched on")):
        for name, order in ((way, "by worth"), (f"random_{way}", "at random")):
            pairs = zip(curves["counts"], curves[name], strict=True)
            values = ", ".join(f"{count}: {number(value, 2)}" for count, value in pairs)
            parts.append(f"{words.capitalize()} {order}, probability after so many latents: {values}.")
    return " ".join(parts)


def _table(decisions: list[dict[str, Any]], names: dict[int, tuple[str, bool]]) -> Table:
    """List the latents whose absence costs each decision most."""
    rows: list[tuple[Cell, ...]] = [
        (
            one["decision"].replace("_", " "),
            called(latent["latent"], names),
            signed(latent["change"]),
            signed(latent["first_order"]),
            f"{latent['n_active']:,} of {one['n_images']:,}",
        )
        for one in decisions
        for latent in one["latents"][:SHOWN]
    ]
    return Table(
        "For each decision the latents that speak for it most: mean change of its evidence (log odds) when the latent "
        "is switched off, the same as the gradient foretells it, and in how many of the images it is active.",
        ("Decision", "Latent", "Change", "Foretold", "Active in"),
        tuple(rows),
        n_text_columns=2,
    )
