"""Labels without meaning: the permuted-patient null that every score is held against."""

import numpy as np
from jaxtyping import Shaped

from trilineage.core.seeding import generator


def permute_patient_labels(
    labels: Shaped[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    *,
    seed: int,
    within: Shaped[np.ndarray, " sample"] | None = None,
) -> Shaped[np.ndarray, " sample"]:
    """Give the patients each other's labels at random.

    A patient moves as a whole: all its samples carry the same new label, and each class keeps its number of patients.
    Samples that look alike because they come from one person so stay together, which a permutation of samples would
    destroy (and with it the score that leakage alone can reach). Where a patient carries several labels no patient
    has a label to give; then the labels of the samples are permuted inside each patient.

    Parameters
    ----------
    labels, patients
        Label and patient of each sample.
    seed
        The same seed gives the same permutation.
    within
        Groups that exchange labels only among themselves: the parts of a split, so that training and test part keep
        their numbers of patients per class. A patient in two groups moves in each on its own.
    """
    groups = np.zeros(len(labels), dtype=np.int64) if within is None else within
    rng = generator(seed, "permuted patients")
    permuted = labels.copy()
    has_several = _has_several_labels(labels, patients)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        if has_several:
            permuted[members] = _shuffled_inside(labels[members], patients[members], rng)
        else:
            permuted[members] = _exchanged(labels[members], patients[members], rng)
    return permuted


def _has_several_labels(
    labels: Shaped[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"]
) -> bool:
    _, first, codes = np.unique(patients, return_index=True, return_inverse=True)
    return bool((labels[first][codes] != labels).any())


def _exchanged(
    labels: Shaped[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"], rng: np.random.Generator
) -> Shaped[np.ndarray, " sample"]:
    _, first, codes = np.unique(patients, return_index=True, return_inverse=True)
    return rng.permutation(labels[first])[codes]


def _shuffled_inside(
    labels: Shaped[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"], rng: np.random.Generator
) -> Shaped[np.ndarray, " sample"]:
    _, codes = np.unique(patients, return_inverse=True)
    grouped = np.argsort(codes, kind="stable")
    shuffled = np.lexsort((rng.random(len(labels)), codes))
    permuted = labels.copy()
    permuted[grouped] = labels[shuffled]
    return permuted
