"""What differs between cohorts concept by concept, or between dictionaries latent by latent."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Section, Table, Text
from trilineage.report.concept_results import Row, quartiles, rows_of
from trilineage.report.numbers import UNDEFINED, number, percent
from trilineage.report.sections.shift import lost_blocks, shift_notices, shift_table

PAIRS, DICTIONARIES = "pairs.json", "dictionaries.json"


def cohort_pairs_section(run: Run) -> Section | None:
    """Show what shifts between cohorts that were seen by one dictionary."""
    pairs = [(pair_name(row), row) for row in rows_of(run, PAIRS) if row["kind"] == "cohorts"]
    if not pairs:
        return None
    blocks: list[Block] = [
        Text(
            "Both cohorts were seen by the same network and the same latents: correlations over the latents that are "
            "strong in both, 1 where every latent is as strong, or as frequent, in the one as in the other."
        ),
        *(note for name, row in pairs for note in shift_notices(row, name)),
    ]
    compared = [(name, row) for name, row in pairs if not row["note"]]
    if compared:
        caption = "Cohort against cohort; under each correlation its 95 % interval over the patients of both."
        blocks += [shift_table(compared, caption), *lost_blocks(compared, {})]
    return Section("cohorts", "Cohort against cohort", tuple(blocks))


def dictionary_pairs_section(run: Run) -> Section | None:
    """Show which latents of one dictionary come back in another, and the figures of each."""
    pairs = [row for row in rows_of(run, PAIRS) if row["kind"] == "dictionaries"]
    every = [row for row in rows_of(run, DICTIONARIES) if "n_latents" in row]
    blocks: list[Block] = []
    if pairs:
        blocks += [
            Text(
                "Latents are matched by their directions. Found again: each is the other's nearest, at a cosine of 0.7 "
                "or more. Random directions reach the cosine of the last column."
            ),
            _match_table(pairs),
        ]
    if len(every) > 1:
        blocks.append(_figure_table(every))
    return Section("dictionaries", "Dictionary against dictionary", tuple(blocks)) if blocks else None


def pair_name(row: Row) -> str:
    """Return a pair as it stands in a sentence."""
    return f"{row['first']} and {row['second']}"


def _match_table(pairs: list[Row]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for row in pairs:
        for own, other, way in (
            (row["first"], row["second"], "first_in_second"),
            (row["second"], row["first"], "second_in_first"),
        ):
            found = row[way]
            rows.append(
                (
                    own,
                    other,
                    f"{int(found['n_latents']):,}",
                    percent(round(found["found"], 3)),
                    percent(round(found["mutual"], 3)),
                    number(found["cosine"], 2),
                    number(found["chance"], 2),
                )
            )
    return Table(
        "Strong latents of one dictionary looked for in another: share found again, share whose nearest is mutual, "
        "mean cosine of the nearest, and that of random directions.",
        ("Dictionary", "Looked for in", "Strong", "Found again", "Mutual", "Cosine", "By chance"),
        tuple(rows),
        n_text_columns=2,
    )


def _figure_table(every: list[Row]) -> Table:
    names = {
        "monosemanticity": "Mono\N{SOFT HYPHEN}semanticity",
        "held_out_auroc": "Held-out AUROC",
        "relative_entropy": "Entropy",
    }
    rows: list[tuple[Cell, ...]] = []
    for row in every:
        middles = [quartiles(row, name) for name in names]
        rows.append(
            (
                row["name"],
                *(f"{row[key]:,}" for key in ("n_latents", "n_alive", "n_strong", "n_concepts")),
                *(UNDEFINED if found is None else number(found[1], 2) for found in middles),
            )
        )
    return Table(
        "Figures of the dictionary of each Run; medians over its strong latents.",
        ("Run", "Latents", "Alive", "Strong", "Concepts", *names.values()),
        tuple(rows),
    )
