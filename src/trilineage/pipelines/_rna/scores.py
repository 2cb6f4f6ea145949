"""Scores of the rna recipe: the model beside its baselines and beside the null, per sample and per patient."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trilineage.core.progress import progress
from trilineage.core.records import Comparison, Prediction, Score, Unit
from trilineage.core.seeding import derive_seed
from trilineage.data.splits import Split
from trilineage.evaluation.baselines import (
    COMPOSITION,
    MAJORITY,
    NULL,
    PCA_LOGISTIC,
    PSEUDOBULK,
    composition,
    majority,
    pca_logistic,
    pseudobulk,
)
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.intervals import pool_predictions, score_predictions
from trilineage.evaluation.null import permute_patient_labels
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.evaluation.task import Task
from trilineage.models.diagnoser import Diagnoser
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.fold import Fold, predict_latent
from trilineage.pipelines._rna.material import Material
from trilineage.training.diagnosis import fit_classifier
from trilineage.training.place import Place

logger = logging.getLogger(__name__)


class Results(NamedTuple):
    """What goes into the Run."""

    scores: list[Score]
    """Model, baselines and null."""
    comparisons: list[Comparison]
    """Model minus each baseline, on the same patients."""


def units(material: Material) -> tuple[Unit, ...]:
    """Return what can be scored: samples, and patients where each has one label and some have several samples."""
    cohort = material.cohort
    is_patient_scored = cohort.patient_labels() is not None and len(cohort.patient_names) < len(cohort)
    return ("sample", "patient") if is_patient_scored else ("sample",)


def score_subjects(
    predictions: dict[str, Prediction], material: Material, config: Config, *, population: str
) -> Results:
    """Score each subject and compare the first (the model) with every other, in each unit.

    Parameters
    ----------
    predictions
        Predictions of the same test samples by subject.
    population
        Name of the population scored.
    """
    settings, seed = config.evaluation, derive_seed(config.seed, "evaluation")
    scores: list[Score] = []
    comparisons: list[Comparison] = []
    (model, first), *others = predictions.items()
    for unit in units(material):
        shared = {"unit": unit, "settings": settings, "seed": seed, "population": population}
        for subject, prediction in predictions.items():
            scores += score_predictions(prediction, subject=subject, **shared)  # type: ignore[arg-type]
        for subject, prediction in others:
            comparisons += compare_predictions(first, prediction, names=(model, subject), **shared)  # type: ignore[arg-type]
    return Results(scores, comparisons)


def baseline_predictions(material: Material, folds: Sequence[Fold], config: Config) -> dict[str, Prediction]:
    """Fit every baseline inside every split and pool its test predictions, in the order of the model's.

    Models of patients (composition, pseudobulk) apply where every patient has one label; composition needs cell types.
    """
    tasks = [Task.of(material.cohort, fold.split) for fold in folds]
    makers = _baselines(material, config, of_patients=all(task.has_patient_labels() for task in tasks))
    found = {}
    with progress("baselines", len(makers) * len(folds), "fits") as bar:
        for name, make in makers.items():
            parts = []
            for task in tasks:
                parts.append(make(task))
                bar.advance(1)
            found[name] = pool_predictions(parts)
    return found


def _baselines(
    material: Material, config: Config, *, of_patients: bool
) -> dict[str, Callable[[Task], Prediction]]:
    expression, rows, settings = material.expression, material.rows, config.evaluation.baselines
    seed = derive_seed(config.seed, "baselines")

    def pseudobulk_of(task: Task) -> Prediction:
        sums = expression.group_sums(task.used_patients, len(task.patient_names), positions=rows[task.used])
        return pseudobulk(task, sums, is_counts=expression.has_counts, settings=settings)

    makers: dict[str, Callable[[Task], Prediction]] = {
        MAJORITY: majority,
        PCA_LOGISTIC: lambda task: pca_logistic(
            task, lambda chosen: expression.to_csr(rows[chosen]), settings=settings, seed=seed
        ),
    }
    if of_patients:
        makers[PSEUDOBULK] = pseudobulk_of
    types = material.cell_types
    if of_patients and types is not None:
        makers[COMPOSITION] = lambda task: composition(
            task, types, cell_patients=material.cohort.patients, settings=settings
        )
    return makers


def null_scores(
    material: Material, folds: Sequence[Fold], config: Config, place: Place, *, population: str
) -> list[Score]:
    """Train the classifier on permuted patient labels, as often as asked, and summarise what it scores.

    The encoder never saw a label, so it stays. The value is the mean over the permutations; low and high are the
    quantiles of the permutations at the level of the intervals (with few permutations: their extremes).
    """
    n_nulls = config.evaluation.n_nulls
    rounds: list[list[Score]] = []
    with progress("null: permuted patients", n_nulls * len(folds), "fits") as bar:
        for number in range(n_nulls):
            predictions = []
            for fold in folds:
                predictions.append(null_prediction(material, fold, config, place, number=number))
                bar.advance(1)
            pooled = pool_predictions(predictions)
            bare = config.evaluation.replace(n_bootstrap=100)
            for unit in units(material):
                rounds.append(
                    score_predictions(pooled, unit=unit, settings=bare, subject=NULL, population=population)
                )
    return summarise_nulls(rounds, config.evaluation)


def null_prediction(
    material: Material, fold: Fold, config: Config, place: Place, *, number: int
) -> Prediction:
    """Predict permuted labels of the test samples with a classifier trained on permuted labels."""
    labels = permuted_labels(material, fold.split, config, number=number)
    diagnoser = null_diagnoser(material, fold, labels, config, place, number=number)
    tested = fold.split.positions("test")
    latent = fold.latent[np.searchsorted(fold.used, tested)]
    return replace(predict_latent(diagnoser, latent, material, tested), labels=labels[tested])


def permuted_labels(material: Material, split: Split, config: Config, *, number: int) -> np.ndarray:
    """Exchange the labels of whole patients inside training and test part of a split."""
    within = np.where(split.parts == "test", "test", np.where(split.parts == "unused", "unused", "learn"))
    permuted: np.ndarray = permute_patient_labels(
        material.cohort.label_codes,
        material.cohort.patients,
        seed=derive_seed(config.seed, "null", number),
        within=within,
    )
    return permuted


def null_diagnoser(
    material: Material, fold: Fold, labels: np.ndarray, config: Config, place: Place, *, number: int
) -> Diagnoser:
    """Fit the classifier of a fold on other labels; nothing is kept on disk."""
    learn = fold.relabelled(material, "train", labels)
    valid = fold.relabelled(material, "valid", labels)
    bare = Place(derive_seed(place.seed, "null", number), place.device)
    classifier, _ = fit_classifier(
        learn,
        valid,
        len(material.cohort.classes),
        settings=config,
        place=bare,
        is_binary=config.task == "binary",
    )
    return Diagnoser(fold.diagnoser.encoder, classifier)


def summarise_nulls(rounds: Sequence[Sequence[Score]], settings: EvaluationSettings) -> list[Score]:
    """Return, per metric and unit, the mean and the quantiles over the permutations."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for scores in rounds:
        for score in scores:
            groups.setdefault((score.metric, score.unit), []).append(score)
    tail = (1 - settings.level) / 2
    summary = []
    for same in groups.values():
        values = np.array([score.value for score in same], dtype=np.float64)
        known = values[~np.isnan(values)]
        low, high = (
            (None, None)
            if len(known) < 2
            else (float(np.quantile(known, tail)), float(np.quantile(known, 1 - tail)))
        )
        note = f"mean and {settings.level:.0%} quantiles of {len(same)} trainings on permuted patient labels"
        value = float(known.mean()) if len(known) else float("nan")
        summary.append(replace(same[0], value=value, low=low, high=high, note=note))
    return summary
