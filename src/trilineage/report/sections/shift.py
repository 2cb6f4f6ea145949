"""Whether latents mean the same elsewhere: how strengths and frequencies agree from cohort to cohort."""

from collections.abc import Sequence

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Notice, Section, Table, Text
from trilineage.report.concept_doubts import ACTIVATION, shift_notice
from trilineage.report.concept_results import SHIFT, Row, called, concept_names, rows_of, scores_in
from trilineage.report.metrics import described
from trilineage.report.nouns import nouns_of
from trilineage.report.numbers import capital, counted, listed, sentence
from trilineage.report.scoreboard import score_cell

METRICS = (ACTIVATION, "rank_correlation_mean_activation", "correlation_log_frequency")
N_NAMED = 8


def shift_section(run: Run) -> Section | None:
    """Show how the latents fare in held-out images and at each site."""
    rows = rows_of(run, SHIFT)
    if not rows:
        return None
    blocks: list[Block] = [
        Text(
            "Each line holds images against the training images: correlations over the latents that are strong in "
            "both, 1 where every latent is as strong, or as frequent, as there. Held-out images show what "
            "chance alone does."
        )
    ]
    blocks += [note for row in rows for note in shift_notices(row, row["cohort"])]
    compared = [row for row in rows if row.get("scores")]
    if compared:
        over = f"{nouns_of(run).patient}s"
        caption = f"Against the training images; under each correlation its 95 % interval over {over}."
        blocks.append(shift_table([(row["cohort"], row) for row in compared], caption))
        blocks += lost_blocks([(row["cohort"], row) for row in compared], concept_names(run))
    return Section("shift", "Shift between cohorts", tuple(blocks))


def shift_notices(row: Row, name: str) -> list[Notice]:
    """Warn of a shift, or say why it is not known."""
    if row.get("note"):
        return [Notice(sentence(f"{name}: {row['note']}"))]
    return [notice for score in scores_in(row["scores"]) for notice in shift_notice(score, name)]


def shift_table(rows: Sequence[tuple[str, Row]], caption: str) -> Table:
    """Lay out the correlations and the counts of latents, a row per comparison."""
    cells: list[tuple[Cell, ...]] = []
    for name, row in rows:
        found = {score.metric: score for score in scores_in(row["scores"])}
        first, second, both = row["n_strong"]
        size = counted(row["n_images"], "image") if "n_images" in row else ""
        cells.append(
            (
                (capital(name), size) if size else capital(name),
                *(score_cell(found.get(metric)) for metric in METRICS),
                (f"{both:,}", f"{first:,} and {second:,}"),
                f"{len(row['lost']):,}",
                f"{len(row['new']):,}",
                f"{row['n_unknown']:,}",
            )
        )
    headings = [capital(described(metric).name) for metric in METRICS]
    return Table(
        f"{caption} Strong in both: under it those of each. Lost and new: silent in the one although enough images "
        "were seen; rare: too few to tell.",
        ("Cohort", *headings, "Strong in both", "Lost", "New", "Rare"),
        tuple(cells),
    )


def lost_blocks(rows: Sequence[tuple[str, Row]], names: dict[int, tuple[str, bool]]) -> list[Block]:
    """Name the latents that are lost or new."""
    blocks: list[Block] = []
    for name, row in rows:
        for what in ("lost", "new"):
            if row[what]:
                latents = [called(latent, names) for latent in row[what]]
                text = f"{capital(what)}, {name}: latents {listed(latents, N_NAMED)}."
                blocks.append(Text(text))
    return blocks
