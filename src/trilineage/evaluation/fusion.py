"""What several lineages say of the same patients, put into the classes that they share and laid side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.data.cohort import shown

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
