"""Where on the cell latents lie: the share of their activation in nucleus, cytoplasm and background against chance."""

from collections.abc import Sequence

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Notice, Section, Table, Text
from trilineage.report.concept_results import AUTOENCODER, FOCUS, Row
from trilineage.report.numbers import UNDEFINED, capital, counted, interval, number, percent

MOSTLY = 0.5
"""Share of the activation from which a latent lies mostly in a region."""


def concept_focus_section(run: Run) -> Section | None:
    """Show how the activation is shared out among the regions of a cell."""
    if not run.has(FOCUS):
        return None
    found = run.read_json(FOCUS)
    rows: list[tuple[Cell, ...]] = [
        (
            capital(row["subject"]),
            capital(row["region"]),
            f"{row['n_latents']:,}",
            _share_cell(row),
            UNDEFINED if row["area"] is None else percent(round(row["area"], 2)),
            UNDEFINED if row["share"] is None or not row["area"] else f"{number(_factor(row), 1)} x",
        )
        for row in found["rows"]
    ]
    text = (
        f"Maps of the latents were held against masks or boxes of {counted(found['n_images'], 'image')}. What has no "
        "place of its own lies in a region as often as the region is large: the last column is then 1."
    )
    table = Table(
        "Share of the activation inside each region, median over latents, the middle half under it; share of the image "
        "that the region covers, which is what chance gives; and the one divided by the other.",
        ("Dictionary", "Region", "Latents", "Activation inside", "Area", "Against chance"),
        tuple(rows),
        n_text_columns=2,
        strong_rows=frozenset(i for i, row in enumerate(found["rows"]) if row["subject"] == AUTOENCODER),
    )
    blocks: tuple[Block, ...] = (Text(text), *focus_notices(found["rows"]), table)
    return Section("focus", "Where latents lie on the cell", blocks)


def focus_notices(rows: Sequence[Row]) -> list[Notice]:
    """Warn where the latents of the autoencoder lie mostly beside the cell."""
    for row in rows:
        is_beside = row["subject"] == AUTOENCODER and row["region"] == "background" and _factor(row) > 1
        if is_beside and row["share"][1] > MOSTLY:
            share, area = percent(round(row["share"][1], 2)), percent(round(row["area"], 2))
            text = f"Half of the latents have {share} or more of their activation in the background, which is {area} of"
            return [
                Notice(
                    f"{text} the image: they say more about the surroundings than about the cell.", "caution"
                )
            ]
    return []


def _share_cell(row: Row) -> Cell:
    if row["share"] is None:
        return UNDEFINED
    low, middle, high = row["share"]
    return number(middle, 2), interval(low, high, 2)


def _factor(row: Row) -> float:
    """Return how many times as much of the activation lies in a region as chance would give; 0 if unknown."""
    return 0.0 if row["share"] is None or not row["area"] else float(row["share"][1] / row["area"])
