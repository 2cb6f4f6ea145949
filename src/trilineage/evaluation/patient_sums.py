"""Per-patient sums from which the metrics of any reweighting of the patients follow by one matrix product."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Shaped

from trilineage.core.records import Prediction
from trilineage.evaluation.metrics import (
    METRICS,
    N_CALIBRATION_BINS,
    RANK_METRICS,
    Totals,
    calibration_bins,
    score_levels,
    squared_errors,
)

MAX_LEVELS = 4096
"""Score levels that resamples tell apart: exact up to here, joined beyond (area error below 1 / MAX_LEVELS)."""

MAX_DENSE = 2**22
"""Entries of a patient-by-level table that is kept dense."""

RESAMPLES_AT_ONCE = 64
"""Resamples whose rank sums are held at the same time; keeps them in the processor's cache."""


@dataclass(frozen=True)
class PatientSums:
    """What each patient adds to the `Totals` of a metric."""

    patients: Shaped[np.ndarray, " patient"]
    """Names, sorted (str)."""
    class_counts: Int[np.ndarray, "patient class"]
    """Samples of each patient in each true class."""
    confusion: Float[np.ndarray, "patient class class"]
    """Samples of each true class (row) called each class (column)."""
    squared_error: Float[np.ndarray, " patient"]
    """Summed squared error of the probabilities."""
    calibration: Float[np.ndarray, "patient bin 3"]
    """Samples, correct calls and summed highest probability in each calibration bin."""
    positives: tuple[np.ndarray | sp.csr_array, ...]
    """Per class, samples of the class at each score level (patient x level); empty without rank metrics."""
    negatives: tuple[np.ndarray | sp.csr_array, ...]
    """Per class, all other samples at each score level."""

    def totals(self, weights: Float[np.ndarray, "resample patient"]) -> Totals:
        """Return the sums over patients under each row of weights."""
        n_classes = self.confusion.shape[1]
        return Totals(
            confusion=weighted_sums(weights, self.confusion).reshape(-1, n_classes, n_classes),
            squared_error=weights @ self.squared_error,
            calibration=weighted_sums(weights, self.calibration).reshape(-1, N_CALIBRATION_BINS, 3),
            positives=tuple(weighted_sums(weights, counts) for counts in self.positives),
            negatives=tuple(weighted_sums(weights, counts) for counts in self.negatives),
        )


def patient_sums(predictions: Sequence[Prediction], metrics: Sequence[str]) -> tuple[PatientSums, ...]:
    """Sum over the samples of each patient, for predictions of the same samples.

    Score levels are joint: the same level means the same score in each prediction, so that swapping two models
    patient by patient keeps ranks comparable. Every sample must be labelled.
    """
    n_classes = len(predictions[0].classes)
    levels: list[list[Int[np.ndarray, " sample"]]] = [[] for _ in predictions]
    if set(metrics) & set(RANK_METRICS):
        for code in range(n_classes):
            for own, level in zip(levels, _joint_levels(predictions, code), strict=True):
                own.append(level)
    return tuple(_sums_of(prediction, own) for prediction, own in zip(predictions, levels, strict=True))


def reweighted_metrics(
    terms: Sequence[tuple[PatientSums, Float[np.ndarray, "resample patient"]]], metrics: Sequence[str]
) -> dict[str, Float[np.ndarray, " resample"]]:
    """Return the metrics of each resample; the sums of several terms (two models, swapped by patient) are added."""
    n_resamples = len(terms[0][1])
    values = {name: np.full(n_resamples, np.nan) for name in metrics}
    for rows in chunks(n_resamples):
        totals = _added([sums.totals(weights[rows]) for sums, weights in terms])
        for name in metrics:
            values[name][rows] = METRICS[name](totals)
    return values


def limit_levels(
    levels: Int[np.ndarray, " sample"], is_positive: Shaped[np.ndarray, " sample"]
) -> Int[np.ndarray, " sample"]:
    """Join neighbouring score levels until at most `MAX_LEVELS` are left.

    A level has the mass (share of the positives + share of the negatives) / 2; levels are joined where the mass above
    them falls into the same of MAX_LEVELS equal steps. A joined level so holds at most 2 / MAX_LEVELS of one side
    beyond its last member, and counting its pairs as ties moves the AUROC by at most 1 / MAX_LEVELS.
    """
    n_levels = int(levels.max(initial=-1)) + 1
    if n_levels <= MAX_LEVELS:
        return levels
    positive = np.bincount(levels, is_positive, minlength=n_levels)
    negative = np.bincount(levels, ~is_positive, minlength=n_levels)
    mass = positive / max(positive.sum(), 1) + negative / max(negative.sum(), 1)
    above = (np.cumsum(mass) - mass) / mass.sum()
    joined = np.minimum((above * MAX_LEVELS).astype(np.int64), MAX_LEVELS - 1)
    return joined[levels]


def _joint_levels(predictions: Sequence[Prediction], code: int) -> list[Int[np.ndarray, " sample"]]:
    scores = np.concatenate([prediction.probabilities[:, code] for prediction in predictions])
    is_positive = np.concatenate([prediction.labels == code for prediction in predictions])
    levels = limit_levels(score_levels(scores), is_positive)
    return np.split(levels, len(predictions))


def _sums_of(prediction: Prediction, levels: Sequence[Int[np.ndarray, " sample"]]) -> PatientSums:
    labels, probabilities = prediction.labels, prediction.probabilities.astype(np.float64)
    assert labels is not None
    n_classes = len(prediction.classes)
    patients, codes = np.unique(prediction.patients, return_inverse=True)
    confidence, called = probabilities.max(axis=1), probabilities.argmax(axis=1)
    bins = codes * N_CALIBRATION_BINS + calibration_bins(confidence)
    shape = (len(patients), N_CALIBRATION_BINS)
    terms = (None, (called == labels).astype(np.float64), confidence)
    cells = (codes * n_classes + labels) * n_classes + called
    confusion = np.bincount(cells, minlength=len(patients) * n_classes**2).astype(np.float64)
    confusion = confusion.reshape(len(patients), n_classes, n_classes)
    ranks = [rank_counts(codes, level, labels == code, len(patients)) for code, level in enumerate(levels)]
    return PatientSums(
        patients=patients,
        class_counts=confusion.sum(axis=2).astype(np.int64),
        confusion=confusion,
        squared_error=np.bincount(codes, squared_errors(labels, probabilities)),
        calibration=np.stack([_table(bins, term, shape) for term in terms], axis=-1),
        positives=tuple(positive for positive, _ in ranks),
        negatives=tuple(negative for _, negative in ranks),
    )


def _table(
    flat: Int[np.ndarray, " sample"], weight: Float[np.ndarray, " sample"] | None, shape: tuple[int, int]
) -> Float[np.ndarray, "patient column"]:
    return np.bincount(flat, weight, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def rank_counts(
    codes: Int[np.ndarray, " sample"],
    levels: Int[np.ndarray, " sample"],
    is_positive: Shaped[np.ndarray, " sample"],
    n_patients: int,
) -> tuple[np.ndarray | sp.csr_array, np.ndarray | sp.csr_array]:
    """Count the positives and the negatives of each patient at each score level."""
    shape = (n_patients, int(levels.max(initial=0)) + 1)
    sides = []
    for is_side in (is_positive, ~is_positive):
        if shape[0] * shape[1] <= MAX_DENSE:
            sides.append(_table(codes[is_side] * shape[1] + levels[is_side], None, shape))
        else:
            ones = np.ones(int(is_side.sum()))
            sides.append(sp.coo_array((ones, (codes[is_side], levels[is_side])), shape=shape).tocsr())
    return sides[0], sides[1]


def weighted_sums(
    weights: Float[np.ndarray, "resample patient"], table: np.ndarray | sp.csr_array
) -> Float[np.ndarray, "resample column"]:
    """Return the sums over patients under each row of weights, the other axes of the table made one."""
    if isinstance(table, np.ndarray):
        return weights @ table.reshape(len(table), -1)
    return np.ascontiguousarray((table.T @ weights.T).T)


def _added(totals: Sequence[Totals]) -> Totals:
    """Add Totals field by field; levels of the shorter rank tables are padded with zeros."""
    if len(totals) == 1:
        return totals[0]
    return Totals(
        confusion=np.sum([term.confusion for term in totals], axis=0),
        squared_error=np.sum([term.squared_error for term in totals], axis=0),
        calibration=np.sum([term.calibration for term in totals], axis=0),
        positives=tuple(padded_sum(tables) for tables in zip(*(t.positives for t in totals), strict=True)),
        negatives=tuple(padded_sum(tables) for tables in zip(*(t.negatives for t in totals), strict=True)),
    )


def padded_sum(
    tables: Sequence[Float[np.ndarray, "resample _level"]],
) -> Float[np.ndarray, "resample level"]:
    """Add tables of different width, the narrower ones padded with zeros."""
    total = np.zeros((len(tables[0]), max(table.shape[1] for table in tables)))
    for table in tables:
        total[:, : table.shape[1]] += table
    return total


def chunks(n_resamples: int) -> Iterator[slice]:
    """Cut the resamples into pieces whose sums stay in the cache."""
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        yield slice(start, min(start + RESAMPLES_AT_ONCE, n_resamples))
