"""How unlike training a patient is as a whole: its mean profile, its distance from the nearest class of patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.evaluation.patient_novelty import novelty_rows

N_FOLDS = 5
"""Parts in which training patients are left out to learn how far one of them usually lies."""
MOST_PATIENTS = 500
"""Training patients that are looked at; of more, so many are taken evenly from all classes."""
_SMALLEST = 1e-9
"""Least variance of any direction, as a share of the mean variance."""


class Profiles(NamedTuple):
    """Some patients, sorted by name, each as the mean of its samples."""

    patients: Shaped[np.ndarray, " patient"]
    """Their names (str)."""
    n_samples: Int[np.ndarray, " patient"]
    """Samples behind each."""
    mean: Float[np.ndarray, "patient feature"]
    """Mean of the samples."""
    noise: Float[np.ndarray, " patient"]
    """Sampling variance of a feature of the mean, averaged over the features: of one sample, that of the others; 0
    where no patient has two samples."""


@dataclass(frozen=True)
class ProfileNovelty:
    """What distances of patients are measured from: class means, and how patients of one class differ."""

    centres: Float[np.ndarray, "class feature"]
    """Mean profile of the training patients of each class."""
    axes: Float[np.ndarray, "feature rank"]
    """Orthonormal directions in which training patients of one class differ."""
    variances: Float[np.ndarray, " rank"]
    """Shrunk variance along each of them."""
    floor: float
    """Variance along every other direction."""
    noise: float
    """Sampling variance per feature of a training patient's profile, on average; it is part of all the others."""

    def distance(
        self,
        profiles: Float[np.ndarray, "patient feature"],
        noise: Float[np.ndarray, " patient"] | None = None,
    ) -> Float[np.ndarray, " patient"]:
        """Return the distance of each patient from the nearest class, about 1 for one like those of training.

        Parameters
        ----------
        profiles
            Mean of the samples of each patient.
        noise
            Sampling variance per feature of each profile (`Profiles`). What it has beyond that of the training
            patients is expected in every direction, so that few samples make nobody unlike training; None: the same.
        """
        beyond = np.zeros(len(profiles)) if noise is None else np.maximum(noise - self.noise, 0.0)
        squared, projected = np.full(len(profiles), np.inf), profiles @ self.axes
        for centre in self.centres:
            along = (projected - centre @ self.axes) ** 2
            rest = np.maximum(((profiles - centre) ** 2).sum(axis=1) - along.sum(axis=1), 0.0)
            found = (along / (self.variances + beyond[:, None])).sum(axis=1) + rest / (self.floor + beyond)
            squared = np.minimum(squared, found)
        return np.sqrt(squared / profiles.shape[1])


def fit_profile_novelty(
    profiles: Float[np.ndarray, "patient feature"],
    labels: Int[np.ndarray, " patient"],
    noise: Float[np.ndarray, " patient"] | None = None,
) -> ProfileNovelty:
    """Learn from training patients where their classes lie and how patients of one class differ.

    The distance is Mahalanobis' to the nearest class mean (Lee et al. 2018, eq. 2, with patients for samples) under the
    covariance within classes, shrunk towards a multiple of the identity (Ledoit and Wolf 2004, which allows more
    features than patients). What tells patients apart anyway (batch, composition) weighs little so, and a change in any
    direction that no training patient has shown weighs much: along those the distance is the squared prediction
    error, or Q statistic (Jackson and Mudholkar 1979). The mean of a patient's samples is measured, since a change that
    all of them share is lost in what tells single samples apart.

    Parameters
    ----------
    profiles
        Mean of the samples of each training patient, such as its log expression over all genes.
    labels
        Class of each (`patient_classes`); where no class has two patients, or all are alike, the distance is Euclidean.
    noise
        Sampling variance per feature of each profile; None: not known.

    Raises
    ------
    CohortError
        No patient, or profiles that are not finite.

    Examples
    --------
    >>> found = fit_profile_novelty(np.array([[-1.0], [1.0]]), np.array([0, 0]))
    >>> found.distance(np.array([[0.0], [2.0], [-4.0]])).round(3).tolist()
    [0.0, 2.0, 4.0]
    """
    if len(profiles) == 0 or not np.isfinite(profiles).all():
        raise CohortError(
            "profiles that cannot say what is usual",
            seen=f"{len(profiles)} patients, {int((~np.isfinite(profiles)).sum())} numbers that are not finite",
            allowed="finite profiles of at least one patient",
            remedy="give training patients",
        )
    if len(profiles) > MOST_PATIENTS:
        by_class = np.argsort(labels, kind="stable")
        kept = by_class[np.linspace(0, len(labels) - 1, MOST_PATIENTS).astype(np.int64)]
        profiles, labels, noise = profiles[kept], labels[kept], None if noise is None else noise[kept]
    codes = np.unique(labels, return_inverse=True)[1]
    mean_noise = 0.0 if noise is None else float(noise.mean())
    found = _learned(profiles, codes, mean_noise)
    usual = _left_out(profiles, codes)
    return replace(found, variances=usual * found.variances, floor=usual * found.floor)


def _learned(
    profiles: Float[np.ndarray, "patient feature"], codes: Int[np.ndarray, " patient"], noise: float
) -> ProfileNovelty:
    centres = {code: profiles[codes == code].mean(axis=0) for code in np.unique(codes).tolist()}
    residuals = profiles - np.stack([centres[code] for code in codes.tolist()])
    return ProfileNovelty(np.stack(list(centres.values())), *_shrunk_directions(residuals), noise)


def _left_out(profiles: Float[np.ndarray, "patient feature"], codes: Int[np.ndarray, " patient"]) -> float:
    """Return the mean squared distance of training patients from others: those they were fitted with lie too near."""
    order = np.argsort(codes, kind="stable")
    turn = np.empty(len(codes), dtype=np.int64)
    turn[order] = np.arange(len(codes)) - np.searchsorted(codes[order], codes[order])
    found: list[float] = []
    for number in range(N_FOLDS):
        is_out = turn % N_FOLDS == number
        is_out &= np.isin(codes, codes[~is_out])
        if is_out.any():
            others = _learned(profiles[~is_out], codes[~is_out], 0.0)
            found += (others.distance(profiles[is_out]) ** 2).tolist() if len(others.variances) else []
    return (float(np.mean(found)) or 1.0) if found else 1.0


def mean_profiles(
    values: Float[np.ndarray, "sample feature"], patients: Shaped[np.ndarray, " sample"]
) -> Profiles:
    """Average the samples of each patient.

    Examples
    --------
    >>> found = mean_profiles(np.array([[0.0], [2.0], [5.0]]), np.array(["a", "a", "b"]))
    >>> found.mean.tolist(), found.noise.tolist()
    ([[1.0], [5.0]], [1.0, 2.0])
    """
    names, codes = np.unique(patients, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(codes))[:-1]) if len(names) else []
    means = [part.mean(axis=0, dtype=np.float64) for part in parts]
    squares = [float((part.astype(np.float64) ** 2).mean()) for part in parts]
    return profiles_of(names, np.bincount(codes, minlength=len(names)), means, squares, values.shape[1])


def patient_classes(
    labels: Int[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"]
) -> Int[np.ndarray, " patient"]:
    """Return the class of each patient, sorted by name; 0 for all where samples of one patient differ in theirs.

    Examples
    --------
    >>> patient_classes(np.array([2, 1, 2]), np.array(["b", "a", "b"])).tolist()
    [1, 2]
    >>> patient_classes(np.array([2, 1, 0]), np.array(["b", "a", "b"])).tolist()
    [0, 0]
    """
    _, first, codes = np.unique(patients, return_index=True, return_inverse=True)
    classes = labels[first].astype(np.int64)
    return classes if (classes[codes] == labels).all() else np.zeros(len(first), dtype=np.int64)


def profile_rows(
    split: str, learned: Profiles, classes: Int[np.ndarray, " patient"], held_out: Mapping[str, Profiles]
) -> dict[str, list[object]]:
    """Return the validation and test patients of a split as columns of a table (`patient_novelty.novelty_rows`).

    Parameters
    ----------
    split
        Name of the split.
    learned, classes
        Training patients and the class of each.
    held_out
        Validation and test patients, as `valid` and `test`.
    """
    novelty = fit_profile_novelty(learned.mean, classes, learned.noise)
    parts = [held_out["valid"], held_out["test"]]
    valid, test = ((novelty.distance(own.mean, own.noise), own.patients) for own in parts)
    return {
        **novelty_rows(split, valid, test),
        "n_samples": [count for own in parts for count in own.n_samples.tolist()],
    }


def profiles_of(
    names: Shaped[np.ndarray, " patient"],
    n_samples: Int[np.ndarray, " patient"],
    means: Sequence[Float[np.ndarray, " feature"]],
    squares: Sequence[float],
    n_features: int,
) -> Profiles:
    """Put together what was read patient by patient.

    Parameters
    ----------
    names, n_samples
        Patients, sorted, and the samples of each.
    means
        Mean of the samples of each.
    squares
        Mean of all squared values of each patient's samples.
    n_features
        Width of the means, where there is nobody.
    """
    mean = np.array(means, dtype=np.float64).reshape(len(names), n_features)
    spread = np.maximum(np.array(squares, dtype=np.float64) - (mean**2).mean(axis=1), 0.0)
    has_two = n_samples > 1
    variance = np.where(has_two, spread * n_samples / np.maximum(n_samples - 1, 1), 0.0)
    variance[~has_two] = variance[has_two].mean() if has_two.any() else 0.0
    return Profiles(names, n_samples, mean, variance / n_samples)


def _shrunk_directions(
    residuals: Float[np.ndarray, "patient feature"],
) -> tuple[Float[np.ndarray, "feature rank"], Float[np.ndarray, " rank"], float]:
    """Return directions, shrunk variances along them, and that of all others, from products between patients only."""
    n_patients, n_features = residuals.shape
    products = residuals @ residuals.T
    mean_variance = float(np.trace(products)) / (n_patients * n_features)
    if mean_variance == 0.0:
        return np.zeros((n_features, 0)), np.zeros(0), 1.0
    shrinkage = ledoit_wolf(products, n_features)
    values, vectors = np.linalg.eigh(products)
    kept = values > _SMALLEST * values[-1]
    axes = residuals.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    floor = max(shrinkage, _SMALLEST) * mean_variance
    return axes, np.maximum((1.0 - shrinkage) * values[kept] / n_patients, 0.0) + floor, floor


def ledoit_wolf(products: Float[np.ndarray, "patient patient"], n_features: int) -> float:
    """Return the shrinkage, from 0 to 1, of a covariance towards its mean variance (Ledoit and Wolf 2004, eq. 14).

    Parameters
    ----------
    products
        Inner products of the centred samples: all that is needed, however many the features.
    n_features
        Their number.
    """
    n_patients = len(products)
    mean_variance = np.trace(products) / (n_patients * n_features)
    squared = float((products**2).sum()) / n_patients**2
    apart = squared / n_features - mean_variance**2
    spread = (float((np.diag(products) ** 2).sum()) / n_patients - squared) / (n_patients * n_features)
    return float(np.clip(spread / apart, 0.0, 1.0)) if apart > 0 and spread > 0 else 0.0
