"""What several lineages say of a patient, pooled into one opinion: a weighted sum of log-odds against the prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import minimize
from scipy.special import log_softmax

from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.data.cohort import shown
from trilineage.data.stratify import deal_folds
from trilineage.evaluation.resampling import patient_strata, resample_weights

FLOOR = 1e-3
"""Probability below which no lineage is followed: one of them cannot veto a diagnosis on its own."""


@dataclass(frozen=True)
class Evidence:
    """What one lineage says of some patients, in the classes that all lineages share."""

    lineage: str
    """Who says it."""
    patients: Shaped[np.ndarray, " patient"]
    """Patients (str), each once."""
    classes: tuple[str, ...]
    """Class names."""
    probabilities: Float[np.ndarray, "patient class"]
    """Above 0, summing to 1 over class."""
    prior: Float[np.ndarray, " class"]
    """What the lineage says of a patient of whom it knows nothing: the class shares it was trained under."""
    labels: Int[np.ndarray, " patient"] | None = None
    """True class of each, -1 where unknown."""

    def __post_init__(self) -> None:
        names, counts = np.unique(self.patients, return_counts=True)
        if (counts > 1).any():
            raise CohortError(
                f"{self.lineage} speaks of a patient more than once",
                seen=shown(names[counts > 1]),
                allowed="one row per patient",
                remedy="average the samples of each patient first",
            )
        p = self.probabilities
        if len(p) and (not (p > 0).all() or (np.abs(p.sum(axis=1) - 1.0) > 1e-6).any()):
            raise CohortError(
                f"{self.lineage} gives what cannot be pooled",
                seen=f"probabilities from {p.min():.3g} that sum to {p.sum(axis=1).min():.3g} or more",
                allowed="above 0, summing to 1 over class",
                remedy="pass them through `clipped`",
            )


class Aligned(NamedTuple):
    """Evidence of all lineages for the same patients."""

    lineages: tuple[str, ...]
    """Lineages, in the order given."""
    classes: tuple[str, ...]
    """Class names."""
    patients: Shaped[np.ndarray, " patient"]
    """Patients of any lineage (str), sorted."""
    ratios: Float[np.ndarray, "lineage patient class"]
    """log p(class) - log prior(class) of each lineage; 0 where it does not know the patient."""
    has: Bool[np.ndarray, "lineage patient"]
    """Whether a lineage knows a patient."""
    labels: Int[np.ndarray, " patient"]
    """True class, -1 where unknown."""


@dataclass(frozen=True)
class Pool:
    """A logarithmic opinion pool with weights that were fitted."""

    lineages: tuple[str, ...]
    """Lineages, in the order of the weights."""
    classes: tuple[str, ...]
    """Class names."""
    prior: Float[np.ndarray, " class"]
    """Class shares of the training patients, above 0, summing to 1."""
    weights: Float[np.ndarray, " lineage"]
    """At least 0: 1 takes a lineage at its word, 0 does not listen, above 1 finds it too shy."""
    n_patients: int = 0
    """Labelled patients behind the weights."""

    def fuse(self, aligned: Aligned) -> Float[np.ndarray, "patient class"]:
        """Return the pooled probabilities of patients; one whom nobody knows gets the prior.

        Raises
        ------
        CohortError
            The evidence is of other classes or lineages.
        """
        if (aligned.lineages, aligned.classes) != (self.lineages, self.classes):
            raise CohortError(
                "evidence that the pool was not made for",
                seen=f"{', '.join(aligned.lineages)} on {', '.join(aligned.classes)}",
                allowed=f"{', '.join(self.lineages)} on {', '.join(self.classes)}",
                remedy="align it with the same lineages and classes",
            )
        return np.exp(_log_pool(self.weights, np.log(self.prior), aligned.ratios))


def clipped(
    probabilities: Float[np.ndarray, "patient class"], floor: float = FLOOR
) -> Float[np.ndarray, "patient class"]:
    """Raise every probability to at least `floor` and divide by the sum, so that no class is ruled out."""
    raised = np.maximum(probabilities.astype(np.float64), floor)
    return raised / raised.sum(axis=1, keepdims=True)


def spread(
    probabilities: Float[np.ndarray, "patient own"],
    holds: Bool[np.ndarray, "own class"],
    prior: Float[np.ndarray, " class"],
) -> Float[np.ndarray, "patient class"]:
    """Write the probabilities of a lineage over its own classes as probabilities over the shared ones.

    An own class that holds several shared ones (acute leukemia) is divided among them as the prior is: it says
    nothing of which. A shared class that no own class holds keeps its prior, and the own classes share the rest: of
    what a lineage was never shown it says nothing.

    Raises
    ------
    CohortError
        An own class holds no shared one, or two hold the same.
    """
    if (holds.sum(axis=0) > 1).any() or not holds.any(axis=1).all():
        raise CohortError(
            "classes of a lineage that overlap, or are none of the shared ones",
            seen=holds.sum(axis=0).tolist(),
            allowed="each shared class in at most one own class",
            remedy="leave out the class that holds the other",
        )
    inside = holds * prior
    known = float(inside.sum())
    share = inside / inside.sum(axis=1, keepdims=True)
    return known * (probabilities @ share) + np.where(holds.any(axis=0), 0.0, prior)


def align(evidence: Sequence[Evidence]) -> Aligned:
    """Lay the evidence of several lineages side by side.

    Raises
    ------
    CohortError
        Different classes, a lineage twice, or two labels for one patient.
    """
    classes = evidence[0].classes
    lineages = tuple(one.lineage for one in evidence)
    if any(one.classes != classes for one in evidence) or len(set(lineages)) < len(lineages):
        raise CohortError(
            "evidence that cannot be laid side by side",
            seen="; ".join(f"{one.lineage}: {', '.join(one.classes)}" for one in evidence),
            allowed="the same classes from each lineage, each lineage once",
            remedy="spread the classes of each over the shared ones",
        )
    patients = np.unique(np.concatenate([one.patients for one in evidence]))
    ratios = np.zeros((len(evidence), len(patients), len(classes)))
    has = np.zeros((len(evidence), len(patients)), dtype=bool)
    labels = np.full(len(patients), -1, dtype=np.int64)
    for place, one in enumerate(evidence):
        rows = np.searchsorted(patients, one.patients)
        ratios[place, rows] = np.log(one.probabilities) - np.log(one.prior)
        has[place, rows] = True
        if one.labels is not None:
            _enter_labels(labels, rows, one.labels, patients)
    return Aligned(lineages, classes, patients, ratios, has, labels)


def fit_pool(
    aligned: Aligned,
    prior: Float[np.ndarray, " class"],
    *,
    penalty: float = 1.0,
    counts: Float[np.ndarray, " patient"] | None = None,
) -> Pool:
    """Fit the weights of the lineages to labelled patients whom none of the lineages was trained on.

    log p(c) = log prior(c) + sum over lineages m that know the patient of w_m (log p_m(c) - log prior_m(c)) - log Z:
    the logarithmic opinion pool (Genest and Zidek 1986, Statistical Science 1(1), section 3) about a prior that is
    counted once; with every weight 1 the product of experts (Hinton 2002, Neural Computation 14(8), equation 1), right
    where lineages err independently. A lineage that does not know the patient contributes nothing. The weights
    minimise

        - sum over patients of log p(label) + penalty / 2 sum_m (w_m - 1/M)^2,  w_m >= 0,

    which is convex. The penalty holds them at equal shares of one opinion until patients say otherwise; there is no
    further temperature, since the weights are free to sum to anything.

    Parameters
    ----------
    aligned
        Evidence; patients of unknown label (-1) say nothing.
    prior
        Class shares of the training patients.
    penalty
        Strength; about the say of one patient at 1.
    counts
        How often each patient counts, at least 0; None for once.

    Raises
    ------
    CohortError
        No patient has a label.
    """
    known = aligned.labels >= 0
    if not known.any():
        raise CohortError(
            "no labelled patient to weigh the lineages on",
            seen=f"{len(known)} patients",
            allowed="validation patients with a label",
            remedy="set split.valid_fraction above 0, or name validation patients in the split column",
        )
    ratios, labels = aligned.ratios[:, known], aligned.labels[known]
    often = np.ones(len(labels)) if counts is None else counts[known]
    rows, log_prior = np.arange(len(labels)), np.log(prior)
    said = ratios[:, rows, labels]
    start = np.full(len(aligned.lineages), 1.0 / len(aligned.lineages))

    def loss(weights: Float[np.ndarray, " lineage"]) -> tuple[float, Float[np.ndarray, " lineage"]]:
        log_p = _log_pool(weights, log_prior, ratios)
        expected = (ratios * np.exp(log_p)).sum(axis=2)
        value = -float(often @ log_p[rows, labels]) + 0.5 * penalty * float(((weights - start) ** 2).sum())
        return value, (expected - said) @ often + penalty * (weights - start)

    bounds = [(0.0, None)] * len(start)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-9})
    return Pool(aligned.lineages, aligned.classes, prior, found.x, int(known.sum()))


def cross_fit(
    aligned: Aligned, prior: Float[np.ndarray, " class"], *, penalty: float, n_folds: int, seed: int
) -> Float[np.ndarray, "patient class"]:
    """Fuse each patient by weights fitted on the others, so that what is calibrated on them sees honest opinions.

    Patients of unknown label are fused by the weights of all.

    Raises
    ------
    CohortError
        As `fit_pool`.
    """
    fused = fit_pool(aligned, prior, penalty=penalty).fuse(aligned)
    known = np.flatnonzero(aligned.labels >= 0)
    n_folds = min(n_folds, len(known))
    if n_folds < 2:
        return fused
    counts = np.eye(len(aligned.classes), dtype=np.int64)[aligned.labels[known]]
    folds = deal_folds(counts, n_folds, rng=generator(seed, "fusion folds"))
    for fold in np.unique(folds):
        often = np.ones(len(aligned.labels))
        often[known[folds == fold]] = 0.0
        own = fit_pool(aligned, prior, penalty=penalty, counts=often)
        fused[known[folds == fold]] = own.fuse(aligned)[known[folds == fold]]
    return fused


def weight_intervals(
    aligned: Aligned,
    prior: Float[np.ndarray, " class"],
    *,
    penalty: float,
    level: float = 0.95,
    n_resamples: int = 200,
    seed: int = 0,
) -> Float[np.ndarray, "lineage 2"]:
    """Return percentile intervals of the weights over the patients, who are resampled inside their class."""
    known = np.flatnonzero(aligned.labels >= 0)
    strata = patient_strata(np.eye(len(aligned.classes), dtype=np.int64)[aligned.labels[known]])
    often = np.ones((n_resamples, len(aligned.labels)))
    often[:, known] = resample_weights(strata, n_resamples, rng=generator(seed, "weights"))
    drawn = np.stack([fit_pool(aligned, prior, penalty=penalty, counts=own).weights for own in often])
    tails = (100 * (1 - level) / 2, 100 * (1 + level) / 2)
    return np.percentile(drawn, tails, axis=0).T


def divergence(
    probabilities: Float[np.ndarray, "lineage class"],
) -> float:
    """Return how far opinions of one patient lie apart, in [0, 1]: 0 the same, 1 each sure of another class.

    The Jensen-Shannon divergence of equal weights, divided by the log of their number; 0 for a single opinion.
    """
    if len(probabilities) < 2:
        return 0.0
    mean = probabilities.mean(axis=0)
    terms = np.where(
        probabilities > 0, probabilities * (np.log(np.maximum(probabilities, 1e-300)) - np.log(mean)), 0
    )
    return float(np.clip(terms.sum(axis=1).mean() / np.log(len(probabilities)), 0.0, 1.0))


def _log_pool(
    weights: Float[np.ndarray, " lineage"],
    log_prior: Float[np.ndarray, " class"],
    ratios: Float[np.ndarray, "lineage patient class"],
) -> Float[np.ndarray, "patient class"]:
    return log_softmax(log_prior + np.tensordot(weights, ratios, axes=1), axis=1)


def _enter_labels(
    labels: Int[np.ndarray, " patient"],
    rows: Int[np.ndarray, " row"],
    new: Int[np.ndarray, " row"],
    patients: Shaped[np.ndarray, " patient"],
) -> None:
    """Enter the labels that a lineage knows; two lineages may not know different ones."""
    both = (labels[rows] >= 0) & (new >= 0) & (labels[rows] != new)
    if both.any():
        raise CohortError(
            "patients with another label in another lineage",
            seen=shown(patients[rows[both]]),
            allowed="one label per patient",
            remedy="correct the tables of the lineages",
        )
    labels[rows] = np.where(new >= 0, new, labels[rows])
