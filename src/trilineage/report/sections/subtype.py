"""How well patients are told apart by their concepts, beside every other way to see a patient."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.core.records import Prediction, Score
from trilineage.report.blocks import Block, Cell, Figure, Fold, Notice, Section, Table, Text
from trilineage.report.concept_results import OUT_OF_FOLD, out_of_fold
from trilineage.report.drawing import draw
from trilineage.report.findings import score_notices
from trilineage.report.matrix import paint_counts
from trilineage.report.numbers import capital, counted, percent, sentence
from trilineage.report.origins import linked
from trilineage.report.scoreboard import (
    SCORES_NAME,
    boards,
    comparison_table,
    lead_metric,
    score_cell,
    score_table,
    subject_name,
)
from trilineage.report.sections.predictions import dots_figure, patient_table
from trilineage.report.sections.scores import score_figure

MAIN_METRICS = ("balanced_accuracy", "weighted_f1", "macro_f1", "auroc")
CLASS = "class "
"""How the population of the scores of one class against the others begins."""

_ABOUT = "patients.json"


def subtype_section(run: Run) -> Section | None:
    """Show the scores of the classifier of patients; if there is none, why."""
    note = run.read_json(_ABOUT)["note"] if run.has(_ABOUT) else ""
    scores = whole(run)
    if not scores:
        return Section("scores", "Patients told apart", (Notice(sentence(note)),)) if note else None
    blocks: list[Block] = [
        Text(
            "Patients were classified by their barcodes, the mean number of active tokens of each latent, by models "
            "that never saw them: repeated folds over patients, the same for every other way to see a patient. The "
            "scores are of single models, not of the repeats averaged."
        )
    ]
    notices = score_notices(scores, run.comparisons())
    blocks += [notice for notice in notices if notice.level != "note"]
    blocks.append(
        score_figure("scores", scores, title="Barcodes beside their competitors", chance=_chance(run, scores))
    )
    blocks += [score_table(board, MAIN_METRICS) for board in boards(scores)]
    blocks += _comparisons(run, scores)
    blocks += _class_tables(run)
    if run.has(OUT_OF_FOLD):
        blocks += linked(_patient_blocks(out_of_fold(run)), OUT_OF_FOLD)
    remarks = tuple(notice for notice in notices if notice.level == "note")
    if remarks:
        blocks.append(Fold("Remarks on single scores", remarks))
    return Section("scores", "Patients told apart", tuple(blocks))


def whole(run: Run) -> list[Score]:
    """Return the scores over all classes."""
    return [score for score in run.scores() if not score.population.startswith(CLASS)]


def _chance(run: Run, scores: Sequence[Score]) -> float | None:
    if lead_metric(scores) != "balanced_accuracy" or not run.has(OUT_OF_FOLD):
        return None
    return 1.0 / len(run.read_arrays(OUT_OF_FOLD)["classes"])


def _comparisons(run: Run, scores: Sequence[Score]) -> list[Block]:
    """Return the paired differences of the leading metric, and all of them in a fold."""
    comparisons = [row for row in run.comparisons() if not row.population.startswith(CLASS)]
    if not comparisons:
        return []
    leading = [row for row in comparisons if row.metric == lead_metric(scores)] or comparisons
    blocks: list[Block] = [comparison_table(leading)]
    if len(comparisons) > len(leading):
        blocks.append(Fold("All paired differences", (comparison_table(comparisons),)))
    return blocks


def _class_tables(run: Run) -> list[Block]:
    """Lay out the AUROC of each class against the others, a column per subject."""
    scores = [
        score for score in run.scores() if score.population.startswith(CLASS) and score.metric == "auroc"
    ]
    if not scores:
        return []
    found = {(score.population, score.subject): score for score in scores}
    subjects = list(dict.fromkeys(score.subject for score in scores))
    rows: list[tuple[Cell, ...]] = [
        (name.removeprefix(CLASS), *(score_cell(found.get((name, subject))) for subject in subjects))
        for name in dict.fromkeys(score.population for score in scores)
    ]
    caption = (
        f"AUROC of each class against all others on {counted(scores[0].n_patients, 'patient')}; under it the "
        f"{percent(scores[0].level)} interval over patients."
    )
    headings = ("Barcode" if subject == "model" else capital(subject_name(subject)) for subject in subjects)
    return [Table(caption, ("Class", *headings), tuple(rows), sources=(SCORES_NAME,))]


def _patient_blocks(prediction: Prediction) -> list[Block]:
    """Show who is taken for whom."""
    return [
        _confusion(prediction),
        dots_figure(prediction),
        Fold("Every patient", (patient_table(prediction),)),
    ]


def _confusion(prediction: Prediction) -> Figure:
    assert prediction.labels is not None
    classes, n_classes = prediction.classes, len(prediction.classes)
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (prediction.labels, prediction.probabilities.argmax(axis=1)), 1)

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        paint_counts(axes, counts, classes, classes)
        axes.set(title="Rows: true, columns: called", aspect="equal")

    right = "; ".join(
        f"{name} {int(counts[i, i])} of {int(counts[i].sum())}" for i, name in enumerate(classes)
    )
    return draw(
        "confusion",
        paint,
        title="Confusion of patients",
        description=f"Called right: {right}.",
        caption="Numbers are patients, shades shares of the row; the class with the largest mean probability over the "
        "repeats is called.",
        height_in=1.5 + 0.42 * n_classes,
        width_in=min(8.4, 2.2 + 0.55 * n_classes),
    )
