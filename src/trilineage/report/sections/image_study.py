"""Which variant is better on images: every variant on the same images, and their paired differences."""

from collections.abc import Sequence
from dataclasses import replace

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Block, Fold, Section, Table, Text
from trilineage.report.findings import lead_board, study_headline
from trilineage.report.image_findings import comparisons_of, whole
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import compared
from trilineage.report.scoreboard import boards, comparison_table, lead_metric, role_of
from trilineage.report.sections.image_scores import lead_figure, main_blocks, metric_folds


def image_study_section(run: Run) -> Section | None:
    """Show the variants of a comparison beside each other."""
    nouns, short = nouns_of(run), short_names(run)
    scores = [
        replace(score, subject=short.get(score.subject, score.subject)) for score in whole(run.scores())
    ]
    comparisons = _short_comparisons(run, short)
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
    short = short_names(run)
    scores = [
        replace(score, subject=short.get(score.subject, score.subject)) for score in whole(run.scores())
    ]
    sentences = study_headline(scores, [], nouns_of(run))
    if sentences:
        sentences += runner_up_sentence(scores, _short_comparisons(run, short), nouns_of(run))
    if sentences and not nouns_of(run).knows_patients:
        sentences.append("The patients are not known: intervals are over images and too narrow.")
    return sentences


def runner_up_sentence(scores: Sequence[Score], comparisons: Sequence[Comparison], nouns: Nouns) -> list[str]:
    """Say whether the best variant is clearly better than the next one."""
    board = lead_board(scores, nouns)
    assert board is not None
    metric = lead_metric(board.scores)
    known = [s for s in board.of(metric) if role_of(s.subject) == "model" and s.value == s.value]
    best, second, *_ = [*sorted(known, key=lambda score: -score.value), None]
    for row in comparisons:
        if second is None or (row.metric, row.unit, row.population) != (metric, board.unit, board.population):
            continue
        if {row.first, row.second} == {best.subject, second.subject}:
            found = row if row.first == best.subject else _turned(row)
            is_clear = found.low is not None and found.low > 0
            clear = "a clear difference" if is_clear else "no clear difference"
            return [
                f"The paired difference from the next best, {second.subject}, is {compared(found, 2)}: {clear}."
            ]
    return []


def _turned(row: Comparison) -> Comparison:
    """Return the comparison the other way round."""
    low, high = (None if end is None else -end for end in (row.high, row.low))
    return replace(row, first=row.second, second=row.first, difference=-row.difference, low=low, high=high)


def short_names(run: Run) -> dict[str, str]:
    """Return the variants by the values in which they differ, without the names of the options."""
    if not run.has("variants.csv"):
        return {}
    columns = run.read_table("variants.csv")
    values = [column for name, column in columns.items() if name not in ("variant", "run")]
    short = [", ".join(row) for row in zip(*values, strict=True)]
    return dict(zip(columns["variant"], short, strict=True)) if len(set(short)) == len(short) else {}


def _short_comparisons(run: Run, short: dict[str, str]) -> list[Comparison]:
    return [
        replace(row, first=short.get(row.first, row.first), second=short.get(row.second, row.second))
        for row in comparisons_of(run)
    ]


def _variant_table(run: Run) -> Table:
    columns = run.read_table("variants.csv")
    rows = tuple(zip(*columns.values(), strict=True))
    caption = "The variants and the options in which they differ."
    headings = tuple(name if "." in name else name.capitalize() for name in columns)
    return Table(caption, headings, rows, n_text_columns=len(columns), sources=("variants.csv",))
