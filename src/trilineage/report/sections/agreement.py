"""How far people, labels and the model agree: kappa of every two, and where they differ."""

from collections.abc import Sequence
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Block, Fold, Notice, Section, Table, Text
from trilineage.report.metrics import described
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import compared, counted, metric_heading, percent
from trilineage.report.scoreboard import score_cell

SCORES = "agreement/scores.json"
COMPARISONS = "agreement/comparisons.json"
TABLES = "agreement/tables.json"
MAX_PAIRS = 12
N_LISTED = 10


def agreement_section(run: Run) -> Section | None:
    """Show the agreement of readers, if there were readers."""
    scores, nouns = run.scores(SCORES), nouns_of(run)
    if not scores:
        return None
    blocks: list[Block] = [
        Text(
            "Kappa is agreement beyond what chance gives: 0 is chance, 1 is perfect. People reach .54 to .65 on the "
            "FAB classes of acute leukemia from the smear alone; scores cannot mean more than the labels do."
        ),
        agreement_table(scores, nouns),
    ]
    blocks += [notice for row in run.comparisons(COMPARISONS) for notice in _model_notice(row)]
    tables = run.read_json(TABLES) if run.has(TABLES) else []
    shown = [_disagreements(table, nouns) for table in tables[:MAX_PAIRS]]
    shown = [table for table in shown if table.rows]
    if shown:
        blocks.append(Fold("Where they differ", tuple(shown)))
    return Section("agreement", "Agreement with people", tuple(blocks))


def agreement_table(scores: Sequence[Score], nouns: Nouns) -> Table:
    """Lay out a row per pair of readers, a column per measure."""
    subjects = list(dict.fromkeys(score.subject for score in scores))
    metrics = list(dict.fromkeys(score.metric for score in scores))
    known = {(score.subject, score.metric): score for score in scores}
    rows = tuple(
        (
            subject,
            f"{max(s.n_samples for s in scores if s.subject == subject):,}",
            *(score_cell(known.get((subject, metric))) for metric in metrics),
        )
        for subject in subjects
    )
    level = percent(scores[0].level)
    over = f"{level} intervals over {nouns.patient}s"
    caption = f"Agreement of every two readers on the {nouns.sample}s both read, with {over}."
    return Table(caption, ("Readers", f"{nouns.sample.capitalize()}s", *map(metric_heading, metrics)), rows)


def _model_notice(row: Comparison) -> list[Notice]:
    """Say whether the model disagrees with people more than they do with each other."""
    text = f"Mean {described(row.metric).name} of {row.first} minus {row.second}: {compared(row, 2)}."
    if row.high is not None and row.high < 0:
        return [
            Notice(f"{text} The model agrees with people less than people do with each other.", "caution")
        ]
    return [Notice(text)]


def _disagreements(table: dict[str, Any], nouns: Nouns) -> Table:
    """List the most frequent pairs of different labels."""
    names, counts = table["categories"], table["counts"]
    pairs = [
        (counts[i][j], names[i], names[j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j and counts[i][j] > 0
    ]
    ordered = sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:N_LISTED]
    total, same = sum(map(sum, counts)), sum(counts[i][i] for i in range(len(names)))
    caption = f"{table['first']} and {table['second']}: the same label on {same:,} of {counted(total, nouns.sample)}."
    rows = tuple((one, other, f"{n:,}") for n, one, other in ordered)
    columns = (str(table["first"]), str(table["second"]), f"{nouns.sample.capitalize()}s")
    return Table(caption, columns, rows, n_text_columns=2)
