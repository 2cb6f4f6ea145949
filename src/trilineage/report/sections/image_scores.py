"""How good it is: decisions on the tree beside the majority; six metrics open, all of them by group in a fold."""

from collections.abc import Sequence

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison
from trilineage.report.blocks import Block, Cell, Figure, Fold, Section, Table, Text
from trilineage.report.forest import Panel, forest
from trilineage.report.image_findings import comparisons_of, has_costs, image_notices, whole
from trilineage.report.metrics import GROUPS, described, order_of
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import capital, interval, metric_heading, percent, probability, signed
from trilineage.report.scoreboard import (
    COMPARISONS_NAME,
    SCORES_NAME,
    Board,
    boards,
    comparison_table,
    lead_metric,
    score_cell,
    score_table,
    subject_name,
)

MAIN_METRICS = (
    "leaf_balanced_accuracy",
    "leaf_accuracy",
    "hierarchical_f1",
    "hierarchical_distance",
    "mistake_severity",
    "clinical_cost",
)
"""Metrics of the open table. Accuracy, distance and severity belong together: milder mistakes may be more of them."""


def image_scores_section(run: Run) -> Section | None:
    """Show the scores of a Run over all its test images."""
    scores, nouns = whole(run.scores()), nouns_of(run)
    if not scores:
        return None
    found, comparisons = boards(scores, nouns), comparisons_of(run)
    notices = image_notices(run)
    blocks: list[Block] = [notice for notice in notices if notice.level != "note"]
    blocks.append(lead_figure("scores", found, title="Scores beside the majority"))
    blocks += main_blocks(found, comparisons, nouns)
    blocks += metric_folds(found, comparisons)
    remarks = tuple(notice for notice in notices if notice.level == "note")
    if remarks:
        blocks.append(Fold("Remarks on single metrics", remarks))
    return Section("scores", "Scores", tuple(blocks))


def lead_figure(name: str, found: Sequence[Board], *, title: str, metric: str = "") -> Figure:
    """Draw one metric (the leading one unless named) of every board."""
    shown = metric or lead_metric([score for board in found for score in board.scores])
    panels = [
        Panel(f"Per {board.noun} ({board.size()})", tuple(board.of(shown)))
        for board in found
        if board.of(shown)
    ]
    return forest(name, panels, title=title, nouns=found[0].nouns)


def main_blocks(found: Sequence[Board], comparisons: Sequence[Comparison], nouns: Nouns) -> list[Block]:
    """Return the open tables: six metrics of every subject, and their paired differences."""
    shown = [metric for metric in MAIN_METRICS if metric != "clinical_cost" or any(map(has_costs, found))]
    blocks: list[Block] = [score_table(board, shown) for board in found]
    if "clinical_cost" not in shown and any("clinical_cost" in board.metrics for board in found):
        blocks.append(
            Text(
                "The tree has no clinical costs of its own: its levels stand in for them, and the clinical cost is the "
                "hierarchical distance."
            )
        )
    lead = lead_metric([score for board in found for score in board.scores])
    leading = [row for row in comparisons if row.metric in (lead, "hierarchical_distance")]
    if leading:
        blocks.append(comparison_table(leading, nouns))
    return blocks


def metric_folds(found: Sequence[Board], comparisons: Sequence[Comparison]) -> list[Fold]:
    """Return a fold per board with all its metrics, group by group, a row each."""
    return [
        Fold(f"All metrics per {board.noun}, by group", tuple(_group_tables(board, comparisons)))
        for board in found
    ]


def _group_tables(board: Board, comparisons: Sequence[Comparison]) -> list[Block]:
    groups = (*GROUPS, "")
    by_group = {group: [m for m in board.metrics if described(m).group == group] for group in groups}
    return [
        _group_table(board, group, metrics, comparisons) for group, metrics in by_group.items() if metrics
    ]


def _group_table(
    board: Board, group: str, metrics: Sequence[str], comparisons: Sequence[Comparison]
) -> Table:
    """Lay out some metrics: a row each, a column per subject, and the difference from the best baseline."""
    pair = _compared_pair(board, comparisons)
    rows = tuple(
        (
            (metric_heading(metric), described(metric).meaning),
            *(score_cell(board.get(subject, metric)) for subject in board.subjects),
            *([] if pair is None else _difference_cells(board, metric, pair, comparisons)),
        )
        for metric in sorted(metrics, key=order_of)
    )
    level = percent(max(score.level for score in board.scores))
    subjects = [capital(subject_name(subject)) for subject in board.subjects]
    more = () if pair is None else (capital(f"{pair[0]} − {subject_name(pair[1])}"), "p")
    caption = f"{group or 'Other metrics'}. Arrow: less is better. Under values their {level} intervals."
    names = (SCORES_NAME,) if pair is None else (SCORES_NAME, COMPARISONS_NAME)
    return Table(caption, ("Metric", *subjects, *more), rows, sources=names)


def _compared_pair(board: Board, comparisons: Sequence[Comparison]) -> tuple[str, str] | None:
    """Return the two subjects of the one paired comparison of a board; None where there are several or none."""
    pairs = {
        (row.first, row.second)
        for row in comparisons
        if (row.unit, row.population) == (board.unit, board.population)
    }
    return pairs.pop() if len(pairs) == 1 else None


def _difference_cells(
    board: Board, metric: str, pair: tuple[str, str], comparisons: Sequence[Comparison]
) -> list[Cell]:
    wanted = (*pair, metric, board.unit, board.population)
    for row in comparisons:
        if (row.first, row.second, row.metric, row.unit, row.population) == wanted:
            return [
                (signed(row.difference), interval(row.low, row.high)),
                probability(row.p_value),
            ]
    return ["–", "–"]
