"""How unlike training a patient is: the mean distance of its samples, as a percentile of the validation patients."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped


class PatientNovelty(NamedTuple):
    """Distances of some patients, sorted by name."""

    patients: Shaped[np.ndarray, " patient"]
    """Their names (str)."""
    n_samples: Int[np.ndarray, " patient"]
    """Samples behind each."""
    distance: Float[np.ndarray, " patient"]
    """Mean distance of the samples from training; its unit is that of the distances given."""
    percentile: Float[np.ndarray, " patient"]
    """Share (0 to 100) of the validation patients that lie nearer to training; NaN where there are none."""


def patient_novelty(
    distances: Float[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    usual: Float[np.ndarray, " usual_patient"],
) -> PatientNovelty:
    """Place patients among the validation patients by how far their samples lie from training.

    Parameters
    ----------
    distances
        Distance of each sample (`Novelty.score`).
    patients
        Patient of each sample.
    usual
        Mean distances of the validation patients, in any order.

    Examples
    --------
    >>> found = patient_novelty(np.array([1.0, 3.0, 9.0]), np.array(["a", "a", "b"]), np.array([1.0, 4.0]))
    >>> found.distance.tolist(), found.percentile.tolist()
    ([2.0, 9.0], [50.0, 100.0])
    """
    names, mean, counts = mean_distances(distances, patients)
    nearer = np.searchsorted(np.sort(usual), mean, side="left")
    percentile = 100.0 * nearer / len(usual) if len(usual) else np.full(len(mean), np.nan)
    return PatientNovelty(names, counts, mean, percentile)


def mean_distances(
    distances: Float[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"]
) -> tuple[Shaped[np.ndarray, " patient"], Float[np.ndarray, " patient"], Int[np.ndarray, " patient"]]:
    """Return the names of the patients, the mean distance of their samples, and the number of these."""
    names, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    return names, np.bincount(codes, distances, minlength=len(names)) / counts, counts


def novelty_rows(
    split: str,
    valid: tuple[Float[np.ndarray, " sample"], Shaped[np.ndarray, " sample"]],
    test: tuple[Float[np.ndarray, " other"], Shaped[np.ndarray, " other"]],
) -> dict[str, list[object]]:
    """Return the validation and test patients of a split as columns of a table.

    Parameters
    ----------
    split
        Name of the split.
    valid, test
        Distances and patients of the samples of each part.
    """
    usual = mean_distances(*valid)[1]
    columns: dict[str, list[object]] = {
        name: [] for name in ("patient", "part", "split", "n_samples", "distance", "percentile")
    }
    for part, (distances, patients) in (("valid", valid), ("test", test)):
        found = patient_novelty(distances, patients, usual)
        columns["patient"] += found.patients.tolist()
        columns["part"] += [part] * len(found.patients)
        columns["split"] += [split] * len(found.patients)
        columns["n_samples"] += found.n_samples.tolist()
        columns["distance"] += found.distance.tolist()
        columns["percentile"] += found.percentile.tolist()
    return columns


def joined_rows(parts: list[dict[str, list[object]]]) -> dict[str, list[object]]:
    """Return the tables of several splits as one."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}
