"""Tell the subtype of a patient from a barcode, out of fold, and hold it against every other way to see a patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.core.records import Comparison, Prediction, Score
from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import Weighting
from trilineage.data.cohort import shown
from trilineage.data.stratify import deal_folds
from trilineage.evaluation.barcodes.settings import SUBTYPE_METRICS, SubtypeSettings
from trilineage.evaluation.barcodes.subtype_model import Features, FitPath, SubtypeModel
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.intervals import score_predictions
from trilineage.evaluation.metrics import METRICS, totals_of
from trilineage.evaluation.settings import EvaluationSettings

_LEAST = 1e-12
"""Probability below which a log-loss does not grow any further."""


@dataclass(frozen=True)
class SubtypeFolds:
    """Who is tested when: the same for every competitor."""

    names: Shaped[np.ndarray, " patient"]
    """Patients (str)."""
    labels: Int[np.ndarray, " patient"]
    """Class index of each."""
    classes: tuple[str, ...]
    """Class names, sorted."""
    folds: Int[np.ndarray, "repeat patient"]
    """Fold in which each patient is tested, in each repeat."""


class OutOfFold(NamedTuple):
    """What models that never saw a patient say of it."""

    probabilities: Float[np.ndarray, "repeat patient class"]
    """Probabilities that sum to 1 over class."""
    inverse_penalties: Float[np.ndarray, "repeat fold"] | None = None
    """C chosen in each fold, where there was one to choose; NaN for a fold without patients."""


def subtype_folds(
    names: Shaped[np.ndarray, " patient"],
    labels: Shaped[np.ndarray, " patient"],
    *,
    settings: SubtypeSettings | None = None,
    seed: int = 0,
) -> SubtypeFolds:
    """Deal the patients to folds, several times, so that every class is spread over the folds.

    Raises
    ------
    CohortError
        Fewer than two classes, or a class with one patient: whoever is tested was not trained on.
    """
    settings = settings or SubtypeSettings()
    classes, codes = np.unique(labels, return_inverse=True)
    n_each = np.bincount(codes)
    few = [f"{name}: {n}" for name, n in zip(classes, n_each, strict=True) if n < 2]
    if len(classes) < 2 or few:
        raise CohortError(
            "one patient per class: a subtype cannot be told from the patient" if few else "one class only",
            seen=shown(few or classes),
            allowed="at least 2 classes of at least 2 patients",
            remedy="add patients, join these classes with others or leave them out",
        )
    counts = np.eye(len(classes), dtype=np.int64)[codes]
    folds = [
        deal_folds(counts, settings.n_folds, rng=generator(seed, "subtype folds", repeat))
        for repeat in range(settings.n_repeats)
    ]
    return SubtypeFolds(np.asarray(names).astype(str), codes, tuple(classes.tolist()), np.stack(folds))


def predict_subtypes(
    features: Features,
    folds: SubtypeFolds,
    *,
    weighting: Weighting = "mean",
    settings: SubtypeSettings | None = None,
    seed: int = 0,
) -> OutOfFold:
    """Predict every patient with regressions trained on the others; the penalty is chosen inside the training part.

    Parameters
    ----------
    features
        Numbers of the patients (patient feature), dense or sparse, in the order of `folds`.
    folds
        From `subtype_folds`.
    weighting
        `settings.weighting` for barcodes; `mean` takes other features as they are.
    settings
        Penalties, inner folds and class weights.
    seed
        Decides the inner folds.

    Raises
    ------
    CohortError
        If features and folds are of different patients, or no feature varies.
    MatrixError
        If features are no numbers.
    """
    settings = settings or SubtypeSettings()
    _require_rows(features.shape[0], folds)
    n_repeats, n_patients = folds.folds.shape
    probabilities = np.zeros((n_repeats, n_patients, len(folds.classes)))
    chosen = np.full((n_repeats, settings.n_folds), np.nan)
    for repeat, own in enumerate(folds.folds):
        for fold in np.unique(own):
            train, test = np.flatnonzero(own != fold), np.flatnonzero(own == fold)
            rng = generator(seed, "inner folds", repeat, int(fold))
            model = _fit(features[train], folds.labels[train], folds.classes, weighting, settings, rng)
            probabilities[repeat, test] = model.probabilities(features[test])
            chosen[repeat, fold] = model.inverse_penalty
    return OutOfFold(probabilities, chosen)


def fit_subtypes(
    features: Features,
    folds: SubtypeFolds,
    *,
    weighting: Weighting = "mean",
    settings: SubtypeSettings | None = None,
    seed: int = 0,
    owners: Shaped[np.ndarray, " patient"] | None = None,
) -> SubtypeModel:
    """Fit the model of all patients, for new ones and to say why; its scores are those of `predict_subtypes`.

    Parameters
    ----------
    features, folds, weighting, settings, seed
        As in `predict_subtypes`; of the folds only patients and labels are used.
    owners
        Whom each row belongs to, where several rows are of one patient: they stay in one inner fold.

    Raises
    ------
    CohortError, MatrixError
        As `predict_subtypes`.
    """
    settings = settings or SubtypeSettings()
    _require_rows(features.shape[0], folds)
    rng = generator(seed, "final folds")
    return _fit(features, folds.labels, folds.classes, weighting, settings, rng, owners)


def score_subtypes(
    found: OutOfFold,
    folds: SubtypeFolds,
    *,
    subject: str = "model",
    evaluation: EvaluationSettings | None = None,
    seed: int = 0,
) -> list[Score]:
    """Score predictions with intervals over patients, who bring their predictions of all repeats along.

    Figures are of a single model, not of the repeats averaged; weighted F1, balanced accuracy, macro F1 and AUROC, the
    last of each class against the others too (population `class NAME`).

    Raises
    ------
    CohortError
        If the predictions are not of these folds.
    """
    prediction = _prediction(found, folds)
    options = _options(evaluation, SUBTYPE_METRICS)
    scores = score_predictions(prediction, settings=options, seed=seed, subject=subject)
    scores = [
        replace(score, note="; ".join(filter(None, (score.note, _spread(found, folds, score.metric)))))
        for score in scores
    ]
    alone = _options(evaluation, ("auroc",))
    for label, name in enumerate(folds.classes):
        scores += score_predictions(
            _one_against_rest(prediction, label),
            settings=alone,
            seed=seed,
            subject=subject,
            population=f"class {name}",
        )
    return [replace(score, unit="patient", n_samples=len(folds.names)) for score in scores]


def compare_subtypes(
    found: Mapping[str, OutOfFold],
    folds: SubtypeFolds,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    evaluation: EvaluationSettings | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """Compare competitors on the same folds: paired differences with intervals and p-values over patients.

    Parameters
    ----------
    found
        Predictions by subject; the first is compared with each of the others unless `pairs` says otherwise.
    folds
        Those of all of them.
    pairs
        Which to compare, first minus second; `list(combinations(found, 2))` for all.
    evaluation, seed
        As in `score_subtypes`.

    Raises
    ------
    CohortError
        If predictions are not of these folds.
    """
    names = list(found)
    pairs = [(names[0], other) for other in names[1:]] if pairs is None else pairs
    options = _options(evaluation, SUBTYPE_METRICS)
    comparisons: list[Comparison] = []
    for first, second in pairs:
        one, other = (_prediction(found[name], folds) for name in (first, second))
        comparisons += compare_predictions(one, other, names=(first, second), settings=options, seed=seed)
    return [replace(comparison, unit="patient") for comparison in comparisons]


def all_pairs(found: Mapping[str, OutOfFold]) -> list[tuple[str, str]]:
    """Return every pair of subjects, in the order given."""
    return list(combinations(found, 2))


def _fit(
    features: Features,
    labels: Int[np.ndarray, " patient"],
    classes: tuple[str, ...],
    weighting: Weighting,
    settings: SubtypeSettings,
    rng: np.random.Generator,
    owners: Shaped[np.ndarray, " patient"] | None = None,
) -> SubtypeModel:
    """Choose the penalty by cross-validation inside these patients and fit all of them with it."""
    options: dict[str, Any] = {"weighting": weighting, "is_class_balanced": settings.is_class_balanced}
    penalties = sorted(settings.inverse_penalties)
    losses = np.zeros(len(penalties))
    if len(penalties) > 1:
        inner = _inner_folds(labels, len(classes), owners, settings.n_inner_folds, rng)
        said = np.zeros((len(penalties), len(labels), len(classes)))
        for fold in np.unique(inner):
            train, test = inner != fold, inner == fold
            path = FitPath(features[train], labels[train], classes, **options)
            said[:, test] = path.sweep(features[test], penalties)
        losses = np.array([_balanced_log_loss(labels, own) for own in said])
    return FitPath(features, labels, classes, **options).model(penalties[int(losses.argmin())])


def _inner_folds(
    labels: Int[np.ndarray, " patient"],
    n_classes: int,
    owners: Shaped[np.ndarray, " patient"] | None,
    n_folds: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " patient"]:
    """Deal rows to folds, those of one owner to the same."""
    counts = np.eye(n_classes, dtype=np.int64)[labels]
    if owners is None:
        return deal_folds(counts, n_folds, rng=rng)
    names, codes = np.unique(owners, return_inverse=True)
    of_owners = np.zeros((len(names), n_classes), dtype=np.int64)
    np.add.at(of_owners, codes.reshape(-1), counts)
    folds: np.ndarray = deal_folds(of_owners, n_folds, rng=rng)[codes.reshape(-1)]
    return folds


def _balanced_log_loss(
    labels: Int[np.ndarray, " patient"], probabilities: Float[np.ndarray, "patient class"]
) -> float:
    """Return the mean over classes of the mean -log p of their patients: what a balanced regression minimises."""
    losses = -np.log(np.maximum(np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0], _LEAST))
    counts = np.bincount(labels)
    return float((np.bincount(labels, losses)[counts > 0] / counts[counts > 0]).mean())


def _prediction(found: OutOfFold, folds: SubtypeFolds) -> Prediction:
    """Return one sample per patient and repeat, which belongs to the patient."""
    wanted = (*folds.folds.shape, len(folds.classes))
    p = found.probabilities
    if p.shape != wanted or not np.isfinite(p).all() or (np.abs(p.sum(axis=-1) - 1.0) > 1e-4).any():
        raise CohortError(
            "out-of-fold probabilities that are not of these folds",
            seen=f"shape {p.shape}" + ("" if p.shape != wanted else ", rows that do not sum to 1"),
            allowed=f"(repeat, patient, class) = {wanted}, summing to 1 over class",
            remedy="predict with the folds that all competitors share",
        )
    n_repeats, n_patients = folds.folds.shape
    samples = [f"{name} #{repeat}" for repeat in range(n_repeats) for name in folds.names]
    return Prediction(
        samples=np.array(samples),
        patients=np.tile(folds.names, n_repeats),
        classes=folds.classes,
        probabilities=p.reshape(n_repeats * n_patients, -1).astype(np.float64),
        labels=np.tile(folds.labels, n_repeats),
    )


def _one_against_rest(prediction: Prediction, label: int) -> Prediction:
    own = prediction.probabilities[:, label]
    assert prediction.labels is not None
    return replace(
        prediction,
        classes=("rest", prediction.classes[label]),
        probabilities=np.stack([1.0 - own, own], axis=1),
        labels=(prediction.labels == label).astype(np.int64),
    )


def _spread(found: OutOfFold, folds: SubtypeFolds, metric: str) -> str:
    """Say how far the repeats lie apart."""
    weight = np.ones(len(folds.names))
    values = [float(METRICS[metric](totals_of(folds.labels, p, weight))) for p in found.probabilities]
    if len(values) == 1:
        return ""
    return f"{min(values):.3f} to {max(values):.3f} over {len(values)} repeats"


def _options(evaluation: EvaluationSettings | None, metrics: tuple[str, ...]) -> EvaluationSettings:
    return (evaluation or EvaluationSettings()).model_copy(update={"metrics": metrics})


def _require_rows(n_rows: int, folds: SubtypeFolds) -> None:
    if n_rows != len(folds.names):
        raise CohortError(
            "features and folds of different patients",
            seen=f"{n_rows} rows and {len(folds.names)} patients",
            allowed="one row per patient, in the order of the folds",
            remedy="make the folds from the same table",
        )
