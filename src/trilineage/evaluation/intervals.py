"""Scores of predictions with intervals over patients."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction, Score, Unit
from trilineage.core.seeding import generator
from trilineage.evaluation.metrics import (
    LOWER_IS_BETTER,
    RANGES,
    absent_note,
    classification_metrics,
    missing_reason,
)
from trilineage.evaluation.patient_sums import PatientSums, patient_sums, reweighted_metrics
from trilineage.evaluation.resampling import (
    Scale,
    Strata,
    interval_weights,
    patient_strata,
    ranked_patients,
    read_interval,
)
from trilineage.evaluation.settings import EvaluationSettings


def score_predictions(
    prediction: Prediction,
    *,
    unit: Unit = "sample",
    settings: EvaluationSettings | None = None,
    seed: int = 0,
    subject: str = "model",
    population: str = "all",
) -> list[Score]:
    """Score predictions and put an interval over patients around every metric.

    Patients are resampled inside their class and bring all their samples with them. Metrics are those of the samples
    or, with unit `patient`, of the mean probability of each patient. The intervals are basic ones on the logit scale
    (`logit_interval`), or BCa where resamples reach an end of the metric's range; both with t quantiles. With few
    errors the lower end of the AUROC is held to an exact bound (`read_interval`). Where an interval cannot be computed
    its ends are None and the note says why.

    Parameters
    ----------
    prediction
        Probabilities and true labels; samples with label -1 are left out and counted in the note.
    unit
        What one observation is.
    settings
        Metrics, level and number of resamples.
    seed
        The same seed gives the same intervals, and the same resamples to every subject on the same patients.
    subject, population
        Copied into the scores.

    Raises
    ------
    CohortError
        No sample has a label, or unit `patient` where patients carry several labels.
    """
    settings = settings or EvaluationSettings()
    scored, note = labelled(prediction)
    n_samples = len(scored.samples)
    scored = aggregate_patients(scored) if unit == "patient" else scored
    assert scored.labels is not None
    (sums,) = patient_sums([scored], settings.metrics)
    strata = patient_strata(sums.class_counts)
    values = classification_metrics(scored.labels, scored.probabilities)
    intervals = _intervals(values, sums, strata, settings, seed)
    shared = "; ".join(filter(None, (note, absent_note(scored.labels, scored.classes), strata.note)))
    scores = []
    for metric in settings.metrics:
        low, high, own = intervals[metric]
        reason = missing_reason(metric, scored.labels) if np.isnan(values[metric]) else own
        scores.append(
            Score(
                metric=metric,
                value=values[metric],
                low=low,
                high=high,
                subject=subject,
                unit=unit,
                population=population,
                n_samples=n_samples,
                n_patients=len(sums.patients),
                level=settings.level,
                note="; ".join(filter(None, (reason, shared))),
            )
        )
    return scores


def aggregate_patients(prediction: Prediction) -> Prediction:
    """Average the probabilities of each patient; the result has one sample per patient, sorted by name.

    Raises
    ------
    CohortError
        A patient carries several labels.
    """
    patients, first, codes = np.unique(prediction.patients, return_index=True, return_inverse=True)
    counts = np.bincount(codes)
    columns = [np.bincount(codes, column) / counts for column in prediction.probabilities.T]
    labels = prediction.labels
    if labels is not None:
        several = np.unique(codes[labels != labels[first][codes]])
        if len(several):
            raise CohortError(
                "patients with several labels have no score of their own",
                seen=", ".join(map(str, patients[several][:8])),
                allowed="one label per patient",
                remedy="score samples instead",
            )
        labels = labels[first]
    return Prediction(patients, patients, prediction.classes, np.stack(columns, axis=1), labels)


def pool_predictions(predictions: Sequence[Prediction]) -> Prediction:
    """Join the predictions of several folds into one, in the order given.

    Raises
    ------
    CohortError
        The classes differ, or only some of the predictions have labels.
    """
    first = predictions[0]
    has_labels = [prediction.labels is not None for prediction in predictions]
    if any(prediction.classes != first.classes for prediction in predictions) or len(set(has_labels)) > 1:
        raise CohortError(
            "predictions that cannot be pooled",
            seen="different classes, or labels in some only",
            allowed="the same classes in the same order",
            remedy="predict with models of the same classes",
        )
    labels = [prediction.labels for prediction in predictions if prediction.labels is not None]
    return Prediction(
        samples=np.concatenate([prediction.samples for prediction in predictions]),
        patients=np.concatenate([prediction.patients for prediction in predictions]),
        classes=first.classes,
        probabilities=np.concatenate([prediction.probabilities for prediction in predictions]),
        labels=np.concatenate(labels) if labels else None,
    )


def labelled(prediction: Prediction) -> tuple[Prediction, str]:
    """Return the samples whose label is known, and a note on how many are left out.

    Raises
    ------
    CohortError
        There is none.
    """
    labels = prediction.labels
    is_known = np.zeros(len(prediction.samples), dtype=bool) if labels is None else labels >= 0
    if not is_known.any() or labels is None:
        raise CohortError(
            "no sample has a label to score against",
            seen=f"{len(is_known)} samples",
            allowed="at least one labelled sample",
            remedy="name the label column",
        )
    if is_known.all():
        return prediction, ""
    known = replace(
        prediction,
        samples=prediction.samples[is_known],
        patients=prediction.patients[is_known],
        probabilities=prediction.probabilities[is_known],
        labels=labels[is_known],
    )
    return known, f"{int((~is_known).sum())} samples without label left out"


def _intervals(
    values: dict[str, float], sums: PatientSums, strata: Strata, settings: EvaluationSettings, seed: int
) -> dict[str, tuple[float | None, float | None, str]]:
    """Return low, high and a note for each metric."""
    if strata.degrees_of_freedom < 1:
        reason = f"no interval: {len(sums.patients)} patient"
        return dict.fromkeys(settings.metrics, (None, None, reason))
    n_patients = len(sums.patients)
    rng = generator(seed, "bootstrap", n_patients)
    every = interval_weights(strata, settings.n_bootstrap, rng=rng)
    drawn = reweighted_metrics([(sums, every)], settings.metrics)
    return {
        name: read_interval(
            values[name],
            drawn[name],
            strata=strata,
            level=settings.level,
            scale=_scale(name),
            n_ranked=ranked_patients(sums.class_counts) if name == "auroc" else None,
        )
        for name in settings.metrics
    }


def _scale(metric: str) -> Scale:
    return Scale(RANGES[metric], metric in LOWER_IS_BETTER, is_biased_upwards=metric == "ece")
