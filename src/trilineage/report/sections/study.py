"""Which variant is better: the scores of every variant of a study and their paired differences."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Fold, Section, Table, Text
from trilineage.report.findings import chance_notices
from trilineage.report.scoreboard import boards, comparison_table, lead_metric, score_table
from trilineage.report.sections.scores import MAIN_METRICS, score_figure


def study_section(run: Run) -> Section | None:
    """Show the variants of a study beside each other."""
    scores = run.scores()
    if run.kind != "rna.study" or not scores:
        return None
    found, comparisons = boards(scores), run.comparisons()
    blocks: list[Block] = [
        Text(
            "Every variant was fitted and scored on the same patients. The best of many variants looks better than "
            "it is: choose by the paired differences, and confirm the choice on patients that had no part in it."
        )
    ]
    if run.has("variants.csv"):
        blocks.append(_variant_table(run))
    blocks += [notice for board in found for notice in chance_notices(board, "caution")]
    blocks.append(score_figure("study", scores, title="Variants", chance=None))
    blocks += [score_table(board, MAIN_METRICS) for board in found]
    if comparisons:
        leading = [row for row in comparisons if row.metric == lead_metric(scores)] or comparisons
        blocks.append(comparison_table(leading))
        blocks.append(Fold("All paired differences", (comparison_table(comparisons),)))
    blocks.append(Fold("All metrics", tuple(score_table(board) for board in found)))
    return Section("study", "Comparison of variants", tuple(blocks))


def _variant_table(run: Run) -> Table:
    columns = run.read_table("variants.csv")
    rows = tuple(zip(*columns.values(), strict=True))
    caption = "The variants and the options in which they differ."
    return Table(caption, tuple(columns), rows, n_text_columns=len(columns), sources=("variants.csv",))
