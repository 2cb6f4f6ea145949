"""Which variant is better on images: every variant on the same images, and their paired differences."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Fold, Section, Table, Text
from trilineage.report.findings import study_headline
from trilineage.report.image_findings import comparisons_of, whole
from trilineage.report.nouns import nouns_of
from trilineage.report.scoreboard import boards, comparison_table, lead_metric
from trilineage.report.sections.image_scores import lead_figure, main_blocks, metric_folds


def image_study_section(run: Run) -> Section | None:
    """Show the variants of a comparison beside each other."""
    scores, nouns, comparisons = whole(run.scores()), nouns_of(run), comparisons_of(run)
    if not scores:
        return None
    found, lead = boards(scores, nouns), lead_metric(scores)
    blocks: list[Block] = [
        Text(
            f"Every variant was trained and tested on the same {nouns.sample}s. Accuracy, distance and severity belong "
            "together: a variant can make milder mistakes by making more of them. The best of many variants looks "
            f"better than it is: choose by the paired differences, and confirm on {nouns.patient}s that "
            "had no part in it."
        )
    ]
    if run.has("variants.csv"):
        blocks.append(_variant_table(run))
    blocks.append(lead_figure("study", found, title="Variants"))
    if any("hierarchical_distance" in board.metrics for board in found):
        title = "Distance of decisions from the truth, less is better"
        blocks.append(lead_figure("study-distance", found, title=title, metric="hierarchical_distance"))
    blocks += main_blocks(found, comparisons, nouns)
    others = [row for row in comparisons if row.metric not in (lead, "hierarchical_distance")]
    if others:
        blocks.append(Fold("All other paired differences", (comparison_table(others, nouns),)))
    blocks += metric_folds(found, comparisons)
    return Section("study", "Comparison of variants", tuple(blocks))


def image_study_headline(run: Run) -> list[str]:
    """Say which variant scores highest, and whether the difference is clear."""
    sentences = study_headline(whole(run.scores()), comparisons_of(run), nouns_of(run))
    if sentences and not nouns_of(run).knows_patients:
        sentences.append("The patients are not known: intervals are over images and too narrow.")
    return sentences


def _variant_table(run: Run) -> Table:
    columns = run.read_table("variants.csv")
    rows = tuple(zip(*columns.values(), strict=True))
    caption = "The variants and the options in which they differ."
    return Table(caption, tuple(name.capitalize() for name in columns), rows, n_text_columns=len(columns))
