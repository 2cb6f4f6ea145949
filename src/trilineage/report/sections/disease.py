"""What marks each disease: concepts that its patients have more of, tested over patients."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Fold, Notice, Section, Table, Text
from trilineage.report.concept_results import DISEASES, Row, called, concept_names, rows_of
from trilineage.report.numbers import counted, interval, number, percent, probability, sentence

SHOWN = 5
"""Concepts of a disease outside its fold."""

_TEXT = (
    "For each disease every latent was tested for being more frequent in its patients than in all others, by "
    "exchanging the labels of patients. q is the false discovery rate; p over all is the chance of any false discovery "
    "at all. Effects are in standard deviations between patients. Association is no cause: site, stain and treatment "
    "differ between diseases too."
)


def disease_section(run: Run) -> Section | None:
    """Show the concepts of each disease, the largest effect first."""
    rows = rows_of(run, DISEASES)
    if not rows:
        return None
    names = concept_names(run)
    tested = [row for row in rows if not row["note"]]
    blocks: list[Block] = [Text(_TEXT)]
    blocks += [Notice(sentence(f"{row['disease']}: {row['note']}")) for row in rows if row["note"]]
    if tested:
        blocks.append(_overview(tested, names))
    blocks += [
        Fold(f"{row['disease']}: {counted(row['n_specific'], 'concept')}", (_table(row, names),))
        for row in tested
        if row["concepts"]
    ]
    return Section("diseases", "What marks each disease", tuple(blocks))


def _overview(tested: list[Row], names: dict[int, tuple[str, bool]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            (row["disease"], f"{row['n_patients'][0]:,} against {counted(row['n_patients'][1], 'patient')}"),
            "; ".join(called(one["latent"], names) for one in row["concepts"][:SHOWN]) or "none",
            f"{row['n_specific']:,}",
            f"{row['n_tested']:,}",
        )
        for row in tested
    ]
    return Table(
        "Concepts that mark each disease, those with the largest effect; how many there are, and how many latents were "
        "tested.",
        ("Disease", "Largest effects", "Specific", "Tested"),
        tuple(rows),
        n_text_columns=2,
    )


def _table(row: Row, names: dict[int, tuple[str, bool]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            called(one["latent"], names),
            (number(one["effect"], 2), interval(one["low"], one["high"], 2)),
            number(one["auroc"], 2),
            probability(one["p_value"]),
            probability(one["q_value"]),
            probability(one["p_max"]),
        )
        for one in row["concepts"]
    ]
    cut = row["n_specific"] - len(rows)
    more = f" {cut:,} more are specific." if cut > 0 else ""
    return Table(
        f"{row['disease']}: effect with its {percent(0.95)} interval over patients; AUROC of one patient with the "
        f"disease against one without.{more}",
        ("Latent", "Effect", "AUROC", "p", "q", "p over all"),
        tuple(rows),
    )
