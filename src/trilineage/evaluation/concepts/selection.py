"""The best latent of each target, chosen on some images and scored on others: what a dictionary honestly reaches."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int64, Shaped
from scipy.special import expit, logit
from scipy.stats import t

from trilineage.core.errors import DataError
from trilineage.core.records import Score
from trilineage.evaluation.concepts.association import (
    MIN_PATIENTS,
    Activations,
    checked_activations,
    checked_targets,
    measure,
    measured,
    patient_codes,
)
from trilineage.evaluation.concepts.targets import UNKNOWN, Targets
from trilineage.evaluation.resampling import perfect_lower_bound


@dataclass(frozen=True)
class ScoredImages:
    """Some images with what is known of them."""

    scores: Activations
    """Activations, sparse [image latent]."""
    targets: Targets
    """What holds in each image; see `targets`."""
    patients: Shaped[np.ndarray, " _"] | None = None
    """Patient of each image (str); None takes every image as a patient of its own."""


class BestLatent(NamedTuple):
    """The latent that finds a target best."""

    target: str
    """Name of the target."""
    latent: int
    """Latent chosen on the training images; -1 if none was active in enough patients."""
    train_auroc: float
    """Its area there: that of the luckiest of many. NaN if there is none."""
    score: Score
    """Its area on the test images, with an interval over patients."""


def best_latents(
    train: ScoredImages, test: ScoredImages, *, min_patients: int = MIN_PATIENTS, level: float = 0.95
) -> list[BestLatent]:
    """Choose the latent with the largest area for each target on the training images; score it on the test images.

    The training images alone decide, so the area on the test images is not that of the luckiest of tens of thousands
    of latents, and dictionaries of different size (neurons, components, random) are compared fairly. The interval is
    Obuchowski's on the logit scale.

    Parameters
    ----------
    train, test
        Images that choose, and images that score: of other patients.
    min_patients
        Training patients in whom a latent must be active to be chosen.
    level
        Nominal coverage of the intervals.

    Raises
    ------
    DataError
        The two have different latents, or activations, targets and patients that do not belong together.
    CohortError
        A target is the same in all training images.
    """
    matrix, tested = checked_activations(train.scores), checked_activations(test.scores)
    if matrix.shape[1] != tested.shape[1]:
        raise DataError(
            "latents cannot be chosen on the codes of another autoencoder",
            seen=f"{matrix.shape[1]} latents on the training images and {tested.shape[1]} on the test images",
            allowed="the codes of one autoencoder",
            remedy="encode both with the same weights",
        )
    given = checked_targets(train.targets, matrix.shape[0])
    codes = patient_codes(train.patients, matrix.shape[0])
    columns = sp.csc_array(tested)
    found: dict[int, BestLatent] = {}
    names = tuple(train.targets)
    for rows, part in measured(matrix, given, codes):
        area = np.where((part.n_active >= min_patients)[:, None], part.auroc, -1.0)
        for place, row in enumerate(rows):
            latent = int(np.argmax(area[:, place]))
            highest = float(area[latent, place])
            if highest < 0:
                score = _no_score("no latent is active in enough training patients", level)
                found[row] = BestLatent(names[row], -1, float("nan"), score)
            else:
                score = held_out_score(columns, latent, test, names[row], level=level)
                found[row] = BestLatent(names[row], latent, highest, score)
    return [found[row] for row in range(len(names))]


def held_out_score(
    matrix: Activations, latent: int, images: ScoredImages, target: str, *, level: float = 0.95
) -> Score:
    """Score one latent on one target of images that did not choose it."""
    truth = np.asarray(images.targets.get(target, np.full(matrix.shape[0], UNKNOWN)))
    if not (truth == 1).any() or not (truth == 0).any():
        return _no_score("not computable: the target is the same in all test images", level, latent)
    codes = patient_codes(images.patients, matrix.shape[0])
    part = measure(sp.csr_array(matrix[:, [latent]]), checked_targets({target: truth}, len(truth)), codes)
    area, error = float(part.auroc[0, 0]), float(part.standard_error[0, 0])
    low, high, note = area_interval(area, error, part.n_sides[0], level)
    if images.patients is None:
        note = "; ".join(filter(None, (note, "patients unknown: interval over images")))
    return Score(
        metric="auroc",
        value=area,
        low=low,
        high=high,
        subject=f"latent {latent}",
        n_samples=int((truth != UNKNOWN).sum()),
        n_patients=part.n_patients,
        level=level,
        note=note,
    )


def area_interval(
    area: float, standard_error: float, n_sides: Int64[np.ndarray, "2"], level: float
) -> tuple[float | None, float | None, str]:
    """Return the interval of an area on the logit scale, which keeps it inside 0 and 1, and a note.

    The t quantile has one degree of freedom less than the rarer side has patients. A perfect area has no spread: its
    lower end is that of a proportion of as many patients, all right.

    Parameters
    ----------
    area, standard_error
        As in `AssociationTable`.
    n_sides
        Patients with the target and patients without it.
    level
        Nominal coverage.
    """
    fewest = int(n_sides.min())
    if fewest < 2:
        return None, None, f"no interval: {fewest} patient on one side"
    if area in (0.0, 1.0):
        bound = perfect_lower_bound(fewest, level)
        note = "no pair is wrong: end of the interval from the exact binomial over patients of the rarer side"
        return (bound, 1.0, note) if area else (0.0, 1.0 - bound, note)
    if standard_error == 0:
        return None, None, "no interval: the latent is the same in every patient"
    reach = t.ppf(0.5 + level / 2.0, fewest - 1) * standard_error / (area * (1.0 - area))
    ends: Float64[np.ndarray, "2"] = expit(logit(area) + np.array([-reach, reach]))
    return float(ends[0]), float(ends[1]), ""


def _no_score(note: str, level: float, latent: int = -1) -> Score:
    given: Any = {"low": None, "high": None, "level": level, "note": note}
    return Score(metric="auroc", value=float("nan"), subject=f"latent {latent}", **given)
