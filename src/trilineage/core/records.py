"""Plain result types that cross floors: a score with its interval, a comparison, a set of predictions."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

Unit = Literal["sample", "patient"]


@dataclass(frozen=True)
class Score:
    """One metric of one subject on one part of the data, with its interval over patients."""

    metric: str
    """Name of the metric, as in `trilineage.evaluation.metrics`."""
    value: float
    """Point estimate."""
    low: float | None
    """Lower end of the interval; None where it cannot be computed (say why in `note`)."""
    high: float | None
    """Upper end of the interval."""
    subject: str = "model"
    """What was scored: `model`, `baseline: majority`, `null: permuted patients`, a variant of a study."""
    unit: Unit = "sample"
    """What one observation is: a sample (cell, bulk sample) or a patient (mean probability over the samples)."""
    population: str = "all"
    """Cell population scored."""
    n_samples: int = 0
    """Samples behind the value."""
    n_patients: int = 0
    """Patients behind the interval."""
    level: float = 0.95
    """Nominal coverage of the interval."""
    note: str = ""
    """A warning the reader needs, or nothing."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """A paired difference of one metric between two subjects on the same patients (first minus second)."""

    metric: str
    """Name of the metric."""
    first: str
    """Subject whose score is the minuend."""
    second: str
    """Subject whose score is subtracted."""
    difference: float
    """Point estimate of first minus second."""
    low: float | None
    """Lower end of the interval over patients."""
    high: float | None
    """Upper end of the interval over patients."""
    p_value: float | None = None
    """Two-sided paired permutation p-value over patients."""
    unit: Unit = "sample"
    """What one observation is."""
    population: str = "all"
    """Cell population compared."""
    n_patients: int = 0
    """Patients behind the interval."""
    level: float = 0.95
    """Nominal coverage of the interval."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Prediction:
    """Class probabilities of a set of samples, with who they belong to and, where known, the truth."""

    samples: Shaped[np.ndarray, " sample"]
    """Sample names (str)."""
    patients: Shaped[np.ndarray, " sample"]
    """Patient of each sample (str)."""
    classes: tuple[str, ...]
    """Class names in the order of the probability columns."""
    probabilities: Float[np.ndarray, "sample class"]
    """Probabilities in [0, 1] that sum to 1 over class."""
    labels: Int[np.ndarray, " sample"] | None = None
    """True class index per sample, -1 where unknown; None if no labels were given."""


@dataclass(frozen=True)
class NodePrediction:
    """Probabilities of every node of a taxonomy for a set of samples (images), with the truth where it is known."""

    samples: Shaped[np.ndarray, " sample"]
    """Sample names (str)."""
    patients: Shaped[np.ndarray, " sample"]
    """Patient of each sample (str)."""
    nodes: tuple[str, ...]
    """Node names in the order of the probability columns: that of the taxonomy, the root first."""
    probabilities: Float[np.ndarray, "sample node"]
    """Probabilities in [0, 1]; in a tree the children of a node sum to it and the root is 1."""
    labels: Int[np.ndarray, " sample"] | None = None
    """True node index, which may be an inner node; -1 where unknown; None if no labels were given."""
    sites: Shaped[np.ndarray, " sample"] | None = None
    """Site of each sample (str), where known."""
