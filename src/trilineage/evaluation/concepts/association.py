"""Which latents find which classes and attributes: the exact AUROC of each pair, tested over patients, with FDR."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int64, Shaped
from scipy.stats import t

from trilineage.core.errors import CohortError, DataError
from trilineage.evaluation.concepts.auroc_kernels import clustered_areas
from trilineage.evaluation.concepts.targets import UNKNOWN, Targets
from trilineage.evaluation.multiple import FdrMethod, adjusted_p_values

Activations = Any
"""scipy.sparse array [image latent] of activations, any format; what is not stored is 0."""

MIN_PATIENTS = 5
"""Patients in whom a latent must be active to be tested: no test can tell fewer from chance. Looks at no label."""


class Finding(NamedTuple):
    """One target that a latent is associated with."""

    target: str
    """Name of the target."""
    auroc: float
    """Area under the ROC curve."""
    q_value: float
    """False discovery rate at which this is a discovery."""
    n_positive: int
    """Images in which the target holds."""


@dataclass(frozen=True)
class AssociationTable:
    """Area, standard error and tests of every latent and target."""

    targets: tuple[str, ...]
    """Names of the targets."""
    auroc: Float64[np.ndarray, "latent target"]
    """Chance that the latent is more active in an image with the target than in one without, ties counting half."""
    standard_error: Float64[np.ndarray, "latent target"]
    """Of the area, over patients (Obuchowski 1997); 0 where fewer than two patients have, or lack, the target."""
    p_value: Float64[np.ndarray, "latent target"]
    """Two-sided, of the area being one half; 1 where nothing was tested."""
    q_value: Float64[np.ndarray, "latent target"]
    """Adjusted over all latents and targets that were tested; 1 where nothing was."""
    is_tested: Bool[np.ndarray, "latent target"]
    """Whether the latent is active in enough patients, and the target known in enough."""
    n_positive: Int64[np.ndarray, " target"]
    """Images in which the target holds."""
    n_negative: Int64[np.ndarray, " target"]
    """Images in which it does not."""
    n_patients: Int64[np.ndarray, " target"]
    """Patients of both."""
    alpha: float = 0.05
    """False discovery rate that `significant` holds."""

    @property
    def significant(self) -> Bool[np.ndarray, "latent target"]:
        """Whether the latent is more active where the target holds, at the false discovery rate `alpha`."""
        return (self.q_value <= self.alpha) & (self.auroc > 0.5)

    def best(self, target: str) -> int:
        """Return the tested latent with the largest area, the first of equals; -1 if none was tested.

        Its area here is that of the luckiest of many: for an honest one see `best_latents`.
        """
        column = self.targets.index(target)
        if not self.is_tested[:, column].any():
            return -1
        return int(np.argmax(np.where(self.is_tested[:, column], self.auroc[:, column], -1.0)))

    def findings(self, latent: int, *, n: int | None = None, min_auroc: float = 0.5) -> list[Finding]:
        """Return the significant targets of a latent, the largest area first."""
        rows = np.flatnonzero(self.significant[latent] & (self.auroc[latent] >= min_auroc))
        order = sorted(rows.tolist(), key=lambda row: (-self.auroc[latent, row], self.q_value[latent, row]))
        return [
            Finding(
                self.targets[row],
                float(self.auroc[latent, row]),
                float(self.q_value[latent, row]),
                int(self.n_positive[row]),
            )
            for row in order[:n]
        ]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return every field as an array, for a file."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the table that `to_arrays` was called on."""
        named: dict[str, Any] = dict(arrays)
        names = tuple(str(name) for name in named.pop("targets"))
        return cls(targets=names, alpha=float(named.pop("alpha")), **named)


def associate(
    scores: Activations,
    targets: Targets,
    patients: Shaped[np.ndarray, " _"] | None,
    *,
    alpha: float = 0.05,
    method: FdrMethod = "benjamini-hochberg",
    min_patients: int = MIN_PATIENTS,
) -> AssociationTable:
    """Test every latent against every target.

    Areas are exact, ties and the zeros of silent images included, at the cost of the non-zeros only. Standard errors
    are those of Obuchowski (1997) for clustered data, which are DeLong's where each patient has one image.

    The p-value is the larger of two, of a rank-sum score: U = sum over images of (label - its mean) x (rank - its
    mean), against t with patients - 2 degrees of freedom. One takes each patient's part of U as one observation (a
    one-sample t test), which no lucky few patients can make small. The other takes the permutation variance of U, with
    labels that correlate inside a patient as they do in the data (`label_correlation`); it holds where a rare latent
    misses a rare target, and with one image per patient it is the test of Mann and Whitney. Together they err on the
    careful side. Obuchowski's own variance is 0 for a perfect split of a few patients, which says nothing about chance.

    Parameters
    ----------
    scores
        Activations by image and latent, 0 where silent: `ImageCodes.matrix("mean")` or any other.
    targets
        See `targets.attribute_targets` and `class_targets`.
    patients
        Patient of each image; None takes every image as a patient of its own, which is too sure of itself wherever
        patients have several images.
    alpha, method
        False discovery rate over all tests, and how it is held.
    min_patients
        Patients in whom a latent must be active to be tested.

    Raises
    ------
    DataError
        Scores, targets and patients of different lengths, or scores that are not finite.
    CohortError
        No targets, or one that holds in every image or in none.
    """
    matrix = checked_activations(scores)
    names = tuple(targets)
    given = checked_targets(targets, matrix.shape[0])
    codes = patient_codes(patients, matrix.shape[0])
    shape = (matrix.shape[1], len(names))
    figures = np.zeros((*shape, 2))
    p_values, is_tested = np.ones(shape), np.zeros(shape, dtype=bool)
    n_patients = np.zeros(len(names), dtype=np.int64)
    for columns, part in measured(matrix, given, codes):
        figures[:, columns, 0], figures[:, columns, 1] = part.auroc, part.standard_error
        n_patients[columns] = part.n_patients
        is_tested[:, columns] = (part.n_active >= min_patients)[:, None] & part.is_testable
        p_values[:, columns] = np.where(is_tested[:, columns], part.p_value, 1.0)
    q_values = np.ones(shape)
    q_values[is_tested] = adjusted_p_values(p_values[is_tested], method)
    return AssociationTable(
        targets=names,
        auroc=figures[..., 0],
        standard_error=figures[..., 1],
        p_value=p_values,
        q_value=q_values,
        is_tested=is_tested,
        n_positive=(given == 1).sum(axis=1).astype(np.int64),
        n_negative=(given == 0).sum(axis=1).astype(np.int64),
        n_patients=n_patients,
        alpha=alpha,
    )


class Measured(NamedTuple):
    """Figures of all latents and of targets that are known in the same images."""

    auroc: Float64[np.ndarray, "latent target"]
    """Exact area."""
    standard_error: Float64[np.ndarray, "latent target"]
    """Obuchowski's."""
    p_value: Float64[np.ndarray, "latent target"]
    """Two-sided; see `associate`."""
    n_active: Int64[np.ndarray, " latent"]
    """Patients in whom the latent is active."""
    n_patients: int
    """Patients of the images."""
    n_sides: Int64[np.ndarray, "target 2"]
    """Patients with the target, and patients with an image without it."""

    @property
    def is_testable(self) -> Bool[np.ndarray, " target"]:
        """Whether at least two patients have the target, two have an image without it, and there are three."""
        return (self.n_sides.min(axis=1) >= 2) & (self.n_patients >= 3)


def measured(
    matrix: Activations,
    targets: Shaped[np.ndarray, "target image"],
    codes: Int64[np.ndarray, " image"],
) -> Iterator[tuple[list[int], Measured]]:
    """Measure all latents against all targets; those known in the same images, whose ranks are the same, at once."""
    groups: dict[bytes, list[int]] = {}
    for row, target in enumerate(targets):
        groups.setdefault(np.packbits(target != UNKNOWN).tobytes(), []).append(row)
    for rows in groups.values():
        yield rows, measure(matrix, targets[rows], codes)


def measure(
    matrix: Activations,
    targets: Shaped[np.ndarray, "target image"],
    codes: Int64[np.ndarray, " image"],
) -> Measured:
    """Measure all latents against targets (1, 0, or -1 in the same images for all), patients given by number."""
    is_known = targets[0] != UNKNOWN
    columns = sp.csc_array(matrix[is_known] if not is_known.all() else matrix)
    columns.sum_duplicates()
    columns.eliminate_zeros()
    labels = np.ascontiguousarray(targets[:, is_known].T == 1, dtype=np.uint8)
    _, own = np.unique(codes[is_known], return_inverse=True)
    n_patients, n_latents = int(own.max()) + 1, columns.shape[1]
    sides = np.stack(
        [_by_patient(side, own, n_patients) for side in (labels == 1, labels == 0)]
    )  # side patient target
    figures, spreads = np.zeros((n_latents, labels.shape[1], 3)), np.zeros((n_latents, 2))
    n_active = np.zeros(n_latents, dtype=np.int64)
    arrays = (columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data)
    groups = (own.astype(np.int32), labels, *sides.astype(np.float64))
    clustered_areas(*arrays, *groups, numba.get_num_threads(), figures, spreads, n_active)
    return Measured(
        auroc=figures[..., 0],
        standard_error=np.sqrt(figures[..., 1]),
        p_value=_p_values(figures[..., 0], figures[..., 2], spreads, sides),
        n_active=n_active,
        n_patients=n_patients,
        n_sides=(sides > 0).sum(axis=1).T.astype(np.int64),
    )


def label_correlation(sides: Int64[np.ndarray, "patient 2"]) -> float:
    """Return how labels of images correlate inside a patient: the ANOVA estimate (Donner 1986), 0 at least.

    0 if the patients are mixed like the whole, 1 if each has one label only. With one image each it is 1 or means
    nothing.

    Parameters
    ----------
    sides
        Images of each patient with the label and without it.
    """
    sizes = sides.sum(axis=1).astype(np.float64)
    total, n_patients = sizes.sum(), len(sizes)
    shares, share = sides[:, 0] / sizes, sides[:, 0].sum() / total
    between = float(sizes @ np.square(shares - share)) / max(n_patients - 1, 1)
    within = float(sizes @ (shares * (1.0 - shares))) / max(total - n_patients, 1.0)
    usual_size = (total - float(sizes @ sizes) / total) / max(n_patients - 1, 1)
    denominator = between + (usual_size - 1.0) * within
    return float(np.clip((between - within) / denominator, 0.0, 1.0)) if denominator > 0 else 0.0


def _p_values(
    auroc: Float64[np.ndarray, "latent target"],
    score_variance: Float64[np.ndarray, "latent target"],
    spreads: Float64[np.ndarray, "latent 2"],
    sides: Int64[np.ndarray, "2 patient target"],
) -> Float64[np.ndarray, "latent target"]:
    """Hold the rank-sum score against the larger of its two null variances."""
    m, n = sides.sum(axis=1).astype(np.float64)
    total, n_patients = float(m[0] + n[0]), sides.shape[1]
    if n_patients < 3:
        return np.ones(auroc.shape)
    widened = n_patients / (n_patients - 1.0)
    correlation = np.array([label_correlation(target) for target in sides.transpose(2, 1, 0)])
    alone, together = spreads[:, :1] * (total / max(total - 1.0, 1.0)), spreads[:, 1:] * widened
    permuted = (m * n / total**2) * ((1.0 - correlation) * alone + correlation * together)
    score = np.square((auroc - 0.5) * (m * n))
    over_patients = _ratio((n_patients - 1.0) * score, np.maximum(n_patients * score_variance - score, 0.0))
    deviate = np.sqrt(np.minimum(over_patients, _ratio(score, permuted)))
    return np.minimum(2.0 * t.sf(deviate, n_patients - 2), 1.0)


def _ratio(
    above: Float64[np.ndarray, "latent target"], below: Float64[np.ndarray, "latent target"]
) -> Float64[np.ndarray, "latent target"]:
    """Divide; 0 over 0 is 0, for a latent that is the same everywhere, and all else over 0 is infinite."""
    infinite = np.where(above > 0, np.inf, 0.0)
    return np.divide(above, below, out=infinite, where=below > 0)


# ---- what comes in --------------------------------------------------------------------------------------------------


def checked_activations(scores: Activations) -> Activations:
    """Return activations as a CSR array, or refuse what is no matrix of finite numbers."""
    matrix = sp.csr_array(scores)
    if matrix.ndim != 2 or 0 in matrix.shape or not np.isfinite(matrix.data).all():
        raise DataError(
            "activations cannot be tested",
            seen=f"shape {matrix.shape}, {int((~np.isfinite(matrix.data)).sum())} values that are no finite number",
            allowed="finite numbers, at least one image and one latent",
            remedy="encode the images again",
        )
    return matrix


def checked_targets(targets: Targets, n_images: int) -> Shaped[np.ndarray, "target image"]:
    """Return the targets as int8 rows of 1, 0 and -1, or refuse those that cannot be tested."""
    if not targets:
        raise CohortError(
            "there are no targets", allowed="at least one", remedy="name a class or an attribute"
        )
    rows = np.zeros((len(targets), n_images), dtype=np.int8)
    for row, (name, given) in enumerate(targets.items()):
        target = np.asarray(given)
        if target.shape != (n_images,) or not np.isin(target, (UNKNOWN, 0, 1)).all():
            raise DataError(
                f"the target {name} does not fit the images",
                seen=f"shape {target.shape}, values {np.unique(target)[:5].tolist()}",
                allowed=f"{n_images} values of 0, 1 and -1",
                remedy="take the targets from the images that were encoded, in the same order",
            )
        rows[row] = target
        if not (target == 1).any() or not (target == 0).any():
            raise CohortError(
                f"the target {name} is the same in all images",
                seen=f"{int((target == 1).sum())} images with it, {int((target == 0).sum())} without",
                allowed="both",
                remedy="leave it out",
            )
    return rows


def patient_codes(
    patients: Shaped[np.ndarray, " _"] | Sequence[str] | None, n_images: int
) -> Int64[np.ndarray, " image"]:
    """Number the patients; without any every image is its own."""
    if patients is None:
        return np.arange(n_images)
    if len(patients) != n_images:
        raise DataError(
            "patients and images do not belong together",
            seen=f"{len(patients)} patients for {n_images} images",
            allowed="the patient of each image",
            remedy="take the patients from the images that were encoded, in the same order",
        )
    return np.unique(np.asarray(patients), return_inverse=True)[1].astype(np.int64)


def _by_patient(
    holds: Bool[np.ndarray, "image target"], own: Int64[np.ndarray, " image"], n_patients: int
) -> Int64[np.ndarray, "patient target"]:
    """Count the images of each patient in which a target holds."""
    columns = [np.bincount(own, column, minlength=n_patients) for column in holds.T]
    return np.stack(columns, axis=1).astype(np.int64)
