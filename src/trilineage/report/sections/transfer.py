"""How far it carries: scores on other cell populations, without retraining and beside models made for them."""

from dataclasses import replace

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Block, Fold, Section, Text
from trilineage.report.findings import chance_notices
from trilineage.report.scoreboard import boards, comparison_table, lead_metric, score_table
from trilineage.report.sections.scores import MAIN_METRICS, chance_level, score_figure

SCORES = "transfer/scores.json"
COMPARISONS = "transfer/comparisons.json"

_ZERO_SHOT = "zero-shot"


def transfer_section(run: Run) -> Section | None:
    """Show how the classifier does on populations it did not learn from."""
    scores = [replace(score, subject=_name(score.subject)) for score in run.scores(SCORES)]
    if not scores:
        return None
    comparisons = [
        replace(row, first=_name(row.first), second=_name(row.second)) for row in run.comparisons(COMPARISONS)
    ]
    found, chance = boards(scores), chance_level(run, scores)
    blocks: list[Block] = [
        Text(
            "Zero-shot: the classifier of this Run on cells of another population, of patients it never saw. Scores on "
            "patients it learned from stand here only to show what recognising patients is worth; they are no result."
        ),
        *(notice for board in found for notice in chance_notices(board, "caution")),
        score_figure(
            "transfer",
            _of_unit(scores),
            title="Transfer to other cell populations",
            chance=chance,
            file=SCORES,
        ),
        *(score_table(board, MAIN_METRICS, SCORES) for board in found),
    ]
    if comparisons:
        leading = [row for row in comparisons if row.metric == lead_metric(scores)] or comparisons
        blocks.append(comparison_table(leading, file=COMPARISONS))
    blocks.append(Fold("All metrics", tuple(score_table(board, file=SCORES) for board in found)))
    if len(comparisons) > 1:
        blocks.append(Fold("All paired differences", (comparison_table(comparisons, file=COMPARISONS),)))
    return Section("transfer", "Transfer to other populations", tuple(blocks))


def _of_unit(scores: list[Score]) -> list[Score]:
    """Keep the scores per sample, which every subject has, for the figure; both units stand in the tables."""
    return [score for score in scores if score.unit == "sample"] or scores


def _name(subject: str) -> str:
    """Call the model of the Run what it is here."""
    return _ZERO_SHOT if subject == "model" else subject
