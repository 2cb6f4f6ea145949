"""How good it is: scores beside baselines and null, with intervals and paired differences."""

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Block, Figure, Fold, Section
from trilineage.report.findings import score_notices
from trilineage.report.forest import Panel, forest
from trilineage.report.scoreboard import (
    SCORES_NAME,
    Board,
    boards,
    comparison_table,
    lead_metric,
    population_suffix,
    score_table,
)

MAIN_METRICS = ("balanced_accuracy", "macro_f1", "mcc", "auroc", "ece")
"""Metrics of the open table; the fold under it holds all."""

_MAX_COMPARISONS = 12


def scores_section(run: Run) -> Section | None:
    """Show the scores of a Run."""
    scores = run.scores()
    if not scores:
        return None
    found, comparisons = boards(scores), run.comparisons()
    blocks: list[Block] = list(score_notices(scores, comparisons))
    blocks.append(
        score_figure(
            "scores", scores, title="Scores beside baselines and null", chance=chance_level(run, scores)
        )
    )
    blocks += [score_table(board, MAIN_METRICS) for board in found]
    if comparisons:
        metric = lead_metric(scores)
        leading = [row for row in comparisons if row.metric == metric] or comparisons
        blocks.append(comparison_table(leading[:_MAX_COMPARISONS]))
    blocks.append(Fold("All metrics", tuple(score_table(board) for board in found)))
    if len(comparisons) > 1:
        blocks.append(Fold("All paired differences", (comparison_table(comparisons),)))
    return Section("scores", "Scores", tuple(blocks))


def score_figure(
    name: str, scores: list[Score], *, title: str, chance: float | None, file: str = SCORES_NAME
) -> Figure:
    """Draw the leading metric of every board; `file` of the Run holds the scores."""
    metric = lead_metric(scores)
    panels = [Panel(_heading(board), tuple(board.of(metric))) for board in boards(scores) if board.of(metric)]
    return forest(name, panels, title=title, chance=chance, file=file)


def chance_level(run: Run, scores: list[Score]) -> float | None:
    """Return what guessing reaches in the leading metric, where that follows from the number of classes."""
    if lead_metric(scores) != "balanced_accuracy" or not run.has("predictions.npz"):
        return None
    return 1.0 / len(run.predictions().classes)


def _heading(board: Board) -> str:
    return f"Per {board.unit}{population_suffix(board.population)} ({board.size()})"
