"""What frozen features tell: a linear probe and the nearest neighbours, both blind to the test images.

References
----------
Alain and Bengio 2016, arXiv 1610.01644 (linear probes). Wu et al. 2018, arXiv 1805.01978, section 3.4 (weighted votes
of the nearest neighbours by cosine).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from pydantic import Field

from trilineage.core.config import Settings
from trilineage.core.records import Prediction
from trilineage.evaluation.logistic import fit_logistic
from trilineage.evaluation.metrics import classification_metrics
from trilineage.evaluation.settings import BaselineSettings

LINEAR = "linear probe"
NEIGHBOURS = "nearest neighbours"
_AT_ONCE = 1024
"""Test images whose similarities are held at the same time."""


class ProbeSettings(Settings):
    """How frozen features are read."""

    penalties: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    """Inverse penalties C of the linear probe (features are standardised); the best on validation images is kept."""
    is_class_balanced: bool = True
    """Whether each class has the same total weight in the linear probe."""
    n_neighbours: int = Field(default=20, ge=1)
    """Training images that vote."""
    temperature: float = Field(default=0.07, gt=0, allow_inf_nan=False)
    """A vote weighs exp(cosine / temperature)."""
    max_train: int = Field(default=4000, ge=10)
    """Training images of the linear probe at most, as many of each class as there are; all of them vote."""


class Probed(NamedTuple):
    """Probabilities of the same test images by both readings."""

    linear: Float[np.ndarray, "test class"]
    """Of the linear probe."""
    neighbours: Float[np.ndarray, "test class"]
    """Of the nearest neighbours."""
    penalty: float
    """C that was chosen."""


class Known(NamedTuple):
    """Features of images whose class is known."""

    features: Float[np.ndarray, "image d"]
    """One row per image."""
    labels: Int[np.ndarray, " image"]
    """Class index, from 0."""


def probe(
    train: Known,
    valid: Known,
    test: Float[np.ndarray, "test d"],
    n_classes: int,
    *,
    settings: ProbeSettings,
    rng: np.random.Generator,
) -> Probed:
    """Read test features with what training and validation images teach.

    Parameters
    ----------
    train
        Both readings learn from these; standardisation too is theirs.
    valid
        Chooses the penalty by balanced accuracy; where there are none, the middle one is taken.
    rng
        Draws the training images where there are more than `max_train`.
    """
    rows = _evenly(train.labels, settings.max_train, rng)
    fitted = [
        fit_logistic(
            train.features[rows].astype(np.float64),
            train.labels[rows],
            n_classes,
            settings=BaselineSettings(inverse_penalty=c, is_class_balanced=settings.is_class_balanced),
        )
        for c in _tried(settings.penalties, has_valid=len(valid.labels) > 0)
    ]
    gains = [_balanced_accuracy(model.probabilities(valid.features), valid.labels) for model in fitted]
    best = int(np.argmax(gains)) if len(fitted) > 1 else 0
    penalties = _tried(settings.penalties, has_valid=len(valid.labels) > 0)
    return Probed(
        fitted[best].probabilities(test.astype(np.float64)),
        neighbour_votes(train, test, n_classes, settings=settings),
        penalties[best],
    )


def neighbour_votes(
    train: Known, test: Float[np.ndarray, "test d"], n_classes: int, *, settings: ProbeSettings
) -> Float[np.ndarray, "test class"]:
    """Return the share of the votes for each class: the nearest training images by cosine, nearer ones weighing more.

    Examples
    --------
    >>> train = Known(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([0, 0, 1]))
    >>> settings = ProbeSettings(n_neighbours=1)
    >>> neighbour_votes(train, np.array([[0.0, 2.0]]), 2, settings=settings).tolist()
    [[0.0, 1.0]]
    """
    k = min(settings.n_neighbours, len(train.labels))
    known, votes = _unit_rows(train.features), np.zeros((len(test), n_classes))
    for start in range(0, len(test), _AT_ONCE):
        cosine = _unit_rows(test[start : start + _AT_ONCE]) @ known.T
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(cosine, nearest, axis=1)
        weight = np.exp((near - near.max(axis=1, keepdims=True)) / settings.temperature)
        rows = np.arange(len(near))[:, None] + start
        np.add.at(votes, (rows, train.labels[nearest]), weight)
    return votes / votes.sum(axis=1, keepdims=True)


def prediction_of(
    probabilities: Float[np.ndarray, "image class"],
    labels: Int[np.ndarray, " image"],
    classes: Sequence[str],
    samples: Shaped[np.ndarray, " image"],
    patients: Shaped[np.ndarray, " image"],
) -> Prediction:
    """Return probabilities as a prediction that can be scored."""
    return Prediction(samples, patients, tuple(classes), probabilities, labels)


def _tried(penalties: tuple[float, ...], *, has_valid: bool) -> tuple[float, ...]:
    return penalties if has_valid else (penalties[len(penalties) // 2],)


def _balanced_accuracy(
    probabilities: Float[np.ndarray, "image class"], labels: Int[np.ndarray, " image"]
) -> float:
    return classification_metrics(labels, probabilities)["balanced_accuracy"] if len(labels) else 0.0


def _unit_rows(features: Float[np.ndarray, "image d"]) -> Float[np.ndarray, "image d"]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, 1e-12)


def _evenly(
    labels: Int[np.ndarray, " image"], most: int, rng: np.random.Generator
) -> Int[np.ndarray, " chosen"]:
    """Return at most so many positions: the first of every class in random order, then the second, and so on."""
    if len(labels) <= most:
        return np.arange(len(labels))
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ordered = labels[by_class]
    turn = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return np.sort(by_class[np.argsort(turn, kind="stable")[:most]])
