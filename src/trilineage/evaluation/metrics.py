"""Metrics of class probabilities, each a function of sums over samples, so that resampled patients cost nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num

N_CALIBRATION_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017 use 15)."""


@dataclass(frozen=True)
class Totals:
    """Weighted sums over samples that determine every metric; any leading axes (resamples) are carried along."""

    confusion: Float[np.ndarray, "*resample class class"]
    """Weight of the samples of each true class (row) called each class (column)."""
    squared_error: Float[np.ndarray, "*resample"]
    """Sum over samples and classes of (probability - truth)^2."""
    calibration: Float[np.ndarray, "*resample bin 3"]
    """Per bin of the highest probability: weight, weight of correct calls, weighted sum of that probability."""
    positives: tuple[Float[np.ndarray, "*resample _level"], ...] = ()
    """Per class, weight of its samples at each score level, highest score first; empty if no rank metric is wanted."""
    negatives: tuple[Float[np.ndarray, "*resample _level"], ...] = ()
    """Per class, weight of all other samples at each score level."""


def classification_metrics(
    labels: Int[np.ndarray, " sample"],
    probabilities: Float[np.ndarray, "sample class"],
    sample_weight: Num[np.ndarray, " sample"] | None = None,
) -> dict[str, float]:
    """Return every metric by name; NaN where it cannot be computed (`missing_reason` says why).

    Parameters
    ----------
    labels
        True class index, from 0 to n_classes - 1.
    probabilities
        In [0, 1], summing to 1 over class. The class called is the most probable one (the first of equals).
    sample_weight
        Non-negative; None for equal weights.
    """
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    totals = totals_of(labels, probabilities.astype(np.float64), weight)
    return {name: float(metric(totals)) for name, metric in METRICS.items()}


def totals_of(
    labels: Int[np.ndarray, " sample"],
    probabilities: Float[np.ndarray, "sample class"],
    weight: Float[np.ndarray, " sample"],
) -> Totals:
    """Sum what the metrics need over the samples."""
    n_classes = probabilities.shape[1]
    ranks = [_rank_terms(labels == code, probabilities[:, code], weight) for code in range(n_classes)]
    return Totals(
        confusion=confusion_matrix(labels, probabilities.argmax(axis=1), n_classes, weight),
        squared_error=np.asarray(weight @ squared_errors(labels, probabilities)),
        calibration=calibration_terms(labels, probabilities, weight),
        positives=tuple(positive for positive, _ in ranks),
        negatives=tuple(negative for _, negative in ranks),
    )


def confusion_matrix(
    labels: Int[np.ndarray, " sample"],
    predicted: Int[np.ndarray, " sample"],
    n_classes: int,
    weight: Float[np.ndarray, " sample"] | None = None,
) -> Float[np.ndarray, "class class"]:
    """Count the samples of each true class (row) that were called each class (column)."""
    flat = labels * n_classes + predicted
    return np.bincount(flat, weight, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.float64)


def squared_errors(
    labels: Int[np.ndarray, " sample"], probabilities: Float[np.ndarray, "sample class"]
) -> Float[np.ndarray, " sample"]:
    """Return the sum over classes of (probability - truth)^2 of each sample, in [0, 2]."""
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return (probabilities**2).sum(axis=1) - 2.0 * own + 1.0


def calibration_bins(confidence: Float[np.ndarray, " sample"]) -> Int[np.ndarray, " sample"]:
    """Return the bin ((b - 1) / 15, b / 15] of each highest probability; 0 falls in the first."""
    bins = np.ceil(confidence * N_CALIBRATION_BINS).astype(np.int64) - 1
    return np.clip(bins, 0, N_CALIBRATION_BINS - 1)


def calibration_terms(
    labels: Int[np.ndarray, " sample"],
    probabilities: Float[np.ndarray, "sample class"],
    weight: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "bin 3"]:
    """Sum weight, correct calls and highest probability in each calibration bin."""
    confidence = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    bins = calibration_bins(confidence)
    terms = (weight, weight * is_correct, weight * confidence)
    columns = [np.bincount(bins, term, minlength=N_CALIBRATION_BINS) for term in terms]
    return np.stack(columns, axis=1).astype(np.float64)  # an empty bincount counts in integers


def score_levels(scores: Float[np.ndarray, " sample"]) -> Int[np.ndarray, " sample"]:
    """Number the distinct scores from the highest (0) down; equal scores share a number."""
    unique, inverse = np.unique(scores, return_inverse=True)
    return (len(unique) - 1 - inverse).astype(np.int64)


def _rank_terms(
    is_positive: Bool[np.ndarray, " sample"],
    scores: Float[np.ndarray, " sample"],
    weight: Float[np.ndarray, " sample"],
) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Sum the weight of the positives and of the negatives at each score level."""
    levels = score_levels(scores)
    positive = np.bincount(levels, weight * is_positive).astype(np.float64)
    return positive, np.bincount(levels, weight * ~is_positive).astype(np.float64)


def accuracy(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the share of samples called right."""
    return ratio(_diagonal(totals.confusion).sum(axis=-1), totals.confusion.sum(axis=(-2, -1)))


def balanced_accuracy(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the mean recall of the classes that occur in the truth."""
    return mean_of_known(ratio(_diagonal(totals.confusion), totals.confusion.sum(axis=-1)))


def macro_f1(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the mean F1 of the classes that occur in the truth or among the calls."""
    return mean_of_known(_f1(totals.confusion))


def weighted_f1(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the mean F1 of the classes weighted by their samples."""
    support = totals.confusion.sum(axis=-1)
    return ratio((np.nan_to_num(_f1(totals.confusion)) * support).sum(axis=-1), support.sum(axis=-1))


def mcc(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the multi-class Matthews correlation (Gorodkin 2004); 0 if every call is the same class.

    NaN where the truth holds one class only.
    """
    truth, called = totals.confusion.sum(axis=-1), totals.confusion.sum(axis=-2)
    total = truth.sum(axis=-1)
    covariance = _diagonal(totals.confusion).sum(axis=-1) * total - (truth * called).sum(axis=-1)
    of_truth = total**2 - (truth**2).sum(axis=-1)
    of_calls = total**2 - (called**2).sum(axis=-1)
    tiny = 1e-12 * total**2
    value = np.where(of_calls > tiny, ratio(covariance, np.sqrt(np.maximum(of_truth * of_calls, 0.0))), 0.0)
    return np.where(of_truth > tiny, value, np.nan)


def auroc(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the area under the ROC curve, one class against the rest, mean over classes; ties count half.

    Classes without positives or without negatives are left out. With two classes whose scores sum to 1 this is the
    usual binary area.
    """
    areas = []
    for positive, negative in zip(totals.positives, totals.negatives, strict=True):
        n_negative = negative.sum(axis=-1)
        below = n_negative[..., None] - np.cumsum(negative, axis=-1) + negative / 2.0
        areas.append(ratio((positive * below).sum(axis=-1), positive.sum(axis=-1) * n_negative))
    return mean_of_known(np.stack(areas, axis=-1))


def auprc(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the average precision, one class against the rest, mean over classes.

    Average precision is the sum over score levels of (recall gained at the level) x (precision down to the level);
    classes without positives or without negatives are left out.
    """
    areas = []
    for positive, negative in zip(totals.positives, totals.negatives, strict=True):
        hits = np.cumsum(positive, axis=-1)
        precision = np.nan_to_num(ratio(hits, hits + np.cumsum(negative, axis=-1)))
        area = ratio((positive * precision).sum(axis=-1), positive.sum(axis=-1))
        areas.append(np.where(negative.sum(axis=-1) > 0, area, np.nan))
    return mean_of_known(np.stack(areas, axis=-1))


def brier(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the Brier score, mean over samples of the sum over classes of (probability - truth)^2, in [0, 2].

    This is Brier's (1950) original form; the binary score of one class only is half of it.
    """
    return ratio(totals.squared_error, totals.confusion.sum(axis=(-2, -1)))


def ece(totals: Totals) -> Float[np.ndarray, "*resample"]:
    """Return the expected calibration error of the called class (Guo et al. 2017, eq. 3), 15 equal-width bins.

    Mean over samples of |share right - mean highest probability| of the sample's bin.
    """
    gaps = np.abs(totals.calibration[..., 1] - totals.calibration[..., 2]).sum(axis=-1)
    return ratio(gaps, totals.calibration[..., 0].sum(axis=-1))


METRICS: dict[str, Callable[[Totals], Float[np.ndarray, "*resample"]]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "mcc": mcc,
    "auroc": auroc,
    "auprc": auprc,
    "brier": brier,
    "ece": ece,
}
"""Every metric by name."""

RANK_METRICS = ("auroc", "auprc")
"""Metrics that need the order of the scores."""

RANGES = dict.fromkeys(METRICS, (0.0, 1.0)) | {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0)}
"""Lowest and highest possible value of each metric."""

LOWER_IS_BETTER = ("brier", "ece")
"""Metrics whose best value is 0; the best of all others is 1."""


def missing_reason(name: str, labels: Int[np.ndarray, " sample"]) -> str:
    """Say why a metric of these labels is NaN."""
    if len(labels) == 0:
        return "not computable: no labelled sample"
    if name in (*RANK_METRICS, "mcc") and len(np.unique(labels)) < 2:
        return "not computable: one class only in the truth"
    return "not computable"


def absent_note(labels: Int[np.ndarray, " sample"], classes: Sequence[str]) -> str:
    """Name the classes without a sample; they are left out of means over classes."""
    present = set(np.unique(labels).tolist())
    absent = [name for code, name in enumerate(classes) if code not in present]
    return f"no sample of: {', '.join(absent)}" if absent else ""


def _diagonal(matrix: Float[np.ndarray, "*resample class class"]) -> Float[np.ndarray, "*resample class"]:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _f1(confusion: Float[np.ndarray, "*resample class class"]) -> Float[np.ndarray, "*resample class"]:
    return ratio(2.0 * _diagonal(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))


def ratio(
    above: Float[np.ndarray, "*shape"] | np.float64, below: Float[np.ndarray, "*shape"] | np.float64
) -> Float[np.ndarray, "*shape"]:
    """Divide; NaN where the divisor is 0."""
    divisor = np.asarray(below, dtype=np.float64)
    return np.divide(above, divisor, out=np.full(divisor.shape, np.nan), where=divisor > 0)


def mean_of_known(values: Float[np.ndarray, "*resample class"]) -> Float[np.ndarray, "*resample"]:
    """Take the mean over the last axis without NaN; NaN where nothing is left."""
    is_known = ~np.isnan(values)
    total = np.where(is_known, values, 0.0).sum(axis=-1)
    return ratio(total, is_known.sum(axis=-1).astype(np.float64))
