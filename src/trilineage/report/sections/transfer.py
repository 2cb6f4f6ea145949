"""How far it carries: scores on other cell populations, without retraining and beside models made for them."""

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Block, Fold, Section, Text
from trilineage.report.scoreboard import boards, comparison_table, score_table
from trilineage.report.sections.scores import MAIN_METRICS, chance_level, score_figure

SCORES = "transfer/scores.json"
COMPARISONS = "transfer/comparisons.json"


def transfer_section(run: Run) -> Section | None:
    """Show how the classifier does on populations it did not learn from."""
    scores = run.scores(SCORES)
    if not scores:
        return None
    found, comparisons = boards(scores), run.comparisons(COMPARISONS)
    chance = chance_level(run, scores)
    blocks: list[Block] = [
        Text(
            "The classifier is applied to cells of another population, of patients it never saw. A score on cells of "
            "the patients it learned from is shown only to expose what recognising patients is worth; it is no result."
        ),
        score_figure("transfer", _of_unit(scores), title="Transfer to other cell populations", chance=chance),
        *(score_table(board, MAIN_METRICS) for board in found),
    ]
    if comparisons:
        blocks.append(comparison_table(comparisons))
    blocks.append(Fold("All metrics", tuple(score_table(board) for board in found)))
    return Section("transfer", "Transfer to other populations", tuple(blocks))


def _of_unit(scores: list[Score]) -> list[Score]:
    """Keep the scores per sample, which every subject has, for the figure; both units stand in the tables."""
    return [score for score in scores if score.unit == "sample"] or scores
