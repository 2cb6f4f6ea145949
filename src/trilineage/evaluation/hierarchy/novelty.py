"""Unlike anything seen: how far an image lies from the training features, as a percentile of patients held out."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from pydantic import Field
from sklearn.covariance import ledoit_wolf_shrinkage

from trilineage.core.config import Settings
from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.evaluation.calibration import patient_weights

ROWS_AT_ONCE = 1024
"""Samples whose distances are held at the same time."""


class NoveltySettings(Settings):
    """How far from training is measured."""

    method: Literal["mahalanobis", "neighbours"] = "mahalanobis"
    """Distance to the nearest class mean under one shrunk covariance, or to the k-th nearest training image."""
    n_neighbours: int = Field(default=10, ge=1)
    """The k of `neighbours`."""
    max_reference: int = Field(default=20_000, ge=10)
    """Training images kept at most, drawn evenly over the patients."""
    n_folds: int = Field(default=5, ge=2)
    """Parts in which training patients are left out to learn what is usual, where no others are given."""


class NoveltyScores(NamedTuple):
    """How unlike training each sample is."""

    distance: Float[np.ndarray, " sample"]
    """Distance; its unit depends on the method."""
    percentile: Float[np.ndarray, " sample"]
    """Share (0 to 100) of held-out images, each patient weighing the same, that lie nearer to training."""


@dataclass(frozen=True)
class Novelty:
    """What is kept of the training features: arrays only, so that a Run can store them."""

    method: str
    """`mahalanobis` or `neighbours`."""
    n_neighbours: int
    """The k of `neighbours`."""
    centres: Float[np.ndarray, "centre feature"]
    """Class means (whitened), or training features of length 1."""
    whitening: Float[np.ndarray, "feature rank"]
    """Matrix that makes the shrunk covariance the identity; empty for `neighbours`."""
    usual: Float[np.ndarray, " held_out"]
    """Distances of the held-out images, ascending."""
    usual_share: Float[np.ndarray, " held_out"]
    """Share of held-out images, patients weighing the same, up to each of them."""

    def score(self, features: Float[np.ndarray, "sample feature"]) -> NoveltyScores:
        """Measure new images."""
        distance = _distances(self, features)
        place = np.searchsorted(self.usual, distance, side="left")
        shares = np.concatenate([np.zeros(1), self.usual_share])
        return NoveltyScores(distance, 100.0 * shares[place])


def fit_novelty(
    features: Float[np.ndarray, "sample feature"],
    patients: Shaped[np.ndarray, " sample"],
    *,
    labels: Int[np.ndarray, " sample"] | None = None,
    held_out: tuple[Float[np.ndarray, "other feature"], Shaped[np.ndarray, " other"]] | None = None,
    settings: NoveltySettings | None = None,
    seed: int = 0,
) -> Novelty:
    """Keep what is needed of the training features, and learn how far patients of the same kind usually lie.

    `mahalanobis`: distance to the nearest class mean under the covariance within classes (Lee et al. 2018, eq. 2),
    shrunk towards a multiple of the identity (Ledoit and Wolf 2004). `neighbours`: distance to the k-th nearest
    training image, features scaled to length 1 (Sun et al. 2022).

    Training images lie nearer to themselves than new ones do: what is usual is learned from held-out patients or,
    without any, from the training patients, part after part left out.

    Parameters
    ----------
    features, patients
        Training features of the backbone and the patient of each.
    labels
        Class or node of each training sample, -1 where unknown; None for one mean of all.
    held_out
        Features and patients of a validation part.
    settings
        Method and sizes.
    seed
        Chooses the training images that are kept, and the parts.

    Raises
    ------
    CohortError
        Fewer than two patients and none held out, or features that are not finite.
    """
    settings = settings or NoveltySettings()
    _require_usable(features, patients, held_out is None)
    labels = np.zeros(len(features), dtype=np.int64) if labels is None else labels
    kept = _drawn_evenly(patients, settings.max_reference, seed)
    reference = _reference(features[kept], labels[kept], settings)
    if held_out is None:
        distances = _left_out_distances(features[kept], labels[kept], patients[kept], settings, seed)
        who = patients[kept]
    else:
        distances, who = _distances(reference, held_out[0]), held_out[1]
    order = np.argsort(distances, kind="stable")
    weight = patient_weights(who)[order]
    return Novelty(
        reference.method,
        reference.n_neighbours,
        reference.centres,
        reference.whitening,
        usual=distances[order],
        usual_share=np.cumsum(weight) / weight.sum(),
    )


def _require_usable(
    features: Float[np.ndarray, "sample feature"], patients: Shaped[np.ndarray, " sample"], needs_two: bool
) -> None:
    n_patients = len(np.unique(patients))
    if n_patients < (2 if needs_two else 1) or not np.isfinite(features).all():
        raise CohortError(
            "features that cannot say what is usual",
            seen=f"{n_patients} patients, {int((~np.isfinite(features)).sum())} numbers that are not finite",
            allowed="finite features of at least two patients, or of one and a held-out part",
            remedy="give more patients",
        )


def _drawn_evenly(
    patients: Shaped[np.ndarray, " sample"], n_most: int, seed: int
) -> Int[np.ndarray, " kept"]:
    """Take images of each patient in turn until there are enough."""
    if len(patients) <= n_most:
        return np.arange(len(patients))
    _, codes = np.unique(patients, return_inverse=True)
    order = np.lexsort((generator(seed, "novelty").random(len(codes)), codes))
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])[:-1]
    turn = np.arange(len(codes)) - starts[codes[order]]
    return np.sort(order[np.argsort(turn, kind="stable")[:n_most]])


def _reference(
    features: Float[np.ndarray, "sample feature"],
    labels: Int[np.ndarray, " sample"],
    settings: NoveltySettings,
) -> Novelty:
    """Return what distances are measured from; what is usual is not known yet."""
    nothing = np.zeros(0)
    values = features.astype(np.float64)
    if settings.method == "neighbours":
        k = min(settings.n_neighbours, len(values))
        return Novelty(
            "neighbours", k, _unit_length(values), np.zeros((values.shape[1], 0)), nothing, nothing
        )
    classes, codes = np.unique(labels, return_inverse=True)
    means = np.stack([values[codes == code].mean(axis=0) for code in range(len(classes))])
    whitening = _whitening(values - means[codes])
    return Novelty("mahalanobis", settings.n_neighbours, means @ whitening, whitening, nothing, nothing)


def _whitening(residuals: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, "feature rank"]:
    """Return the inverse square root of the shrunk covariance."""
    n_samples, n_features = residuals.shape
    covariance = residuals.T @ residuals / n_samples
    shrinkage = ledoit_wolf_shrinkage(residuals, assume_centered=True) if n_features > 1 else 0.0
    mean_variance = max(float(np.trace(covariance)) / n_features, 1e-12)
    covariance = (1.0 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(n_features)
    variances, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(np.maximum(variances, 1e-9 * mean_variance))


def _unit_length(values: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, "sample feature"]:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1.0)


def _distances(
    reference: Novelty, features: Float[np.ndarray, "sample feature"]
) -> Float[np.ndarray, " sample"]:
    is_neighbours = reference.method == "neighbours"
    values = features.astype(np.float64)
    values = _unit_length(values) if is_neighbours else values @ reference.whitening
    place = reference.n_neighbours - 1 if is_neighbours else 0
    found = np.empty(len(values))
    centre_lengths = (reference.centres**2).sum(axis=1)
    for start in range(0, len(values), ROWS_AT_ONCE):
        rows = values[start : start + ROWS_AT_ONCE]
        squared = (rows**2).sum(axis=1)[:, None] - 2.0 * rows @ reference.centres.T + centre_lengths
        nearest = np.partition(squared, place, axis=1)[:, place]
        found[start : start + ROWS_AT_ONCE] = np.sqrt(np.maximum(nearest, 0.0))
    return found


def _left_out_distances(
    features: Float[np.ndarray, "sample feature"],
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    settings: NoveltySettings,
    seed: int,
) -> Float[np.ndarray, " sample"]:
    """Measure each part of the patients from the others."""
    names, codes = np.unique(patients, return_inverse=True)
    n_folds = min(settings.n_folds, len(names))
    fold = generator(seed, "novelty", "folds").permutation(len(names)) % n_folds
    distances = np.empty(len(features))
    for number in range(n_folds):
        is_out = (fold == number)[codes]
        reference = _reference(features[~is_out], labels[~is_out], settings)
        distances[is_out] = _distances(reference, features[is_out])
    return distances
