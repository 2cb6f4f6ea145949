"""Compiled loops over the active latents of images: exact sums, and who may become a reference.

Left un-annotated for numba; the typed doors are `statistics.py` and `references.py`.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed doors keep the argument lists short)

import numpy as np
from numba import njit

STEPS = 2.0**16
"""Sums are kept in units of 2^-16 (`high`) and, for the rest, of 2^-64 (`low`)."""
_FINE = 2.0**48


@njit(cache=True, nogil=True)
def tally(starts, latents, means, classes, thresholds, high, low, class_counts, is_candidate):
    """Add the pairs of images to the sums of their latents; mark those that reach the threshold of their class.

    Integers are added, so the order of the images changes nothing.
    """
    for image in range(starts.size - 1):
        label = classes[image]
        for k in range(starts[image], starts[image + 1]):
            value = np.float64(means[k])
            if not value > 0:
                continue
            latent = latents[k]
            coarse = np.floor(value * STEPS)
            high[latent] += np.int64(coarse)
            low[latent] += np.int64(np.rint((value * STEPS - coarse) * _FINE))
            if low[latent] >= np.int64(1) << 48:
                low[latent] -= np.int64(1) << 48
                high[latent] += 1
            class_counts[latent, label] += 1
            is_candidate[k] = means[k] >= thresholds[latent, label]


@njit(cache=True, nogil=True)
def _count(values, n, value):
    found = 0
    for i in range(n):
        found += values[i] == value
    return found


@njit(cache=True, nogil=True)
def settle_ties(keys, images, order):
    """Sort candidates with equal keys, which `order` has beside each other, by the position of their image."""
    start = 0
    for stop in range(1, order.size + 1):
        if stop < order.size and keys[order[stop]] == keys[order[start]]:
            continue
        if stop - start > 1:
            tied = order[start:stop].copy()
            order[start:stop] = tied[np.argsort(images[tied])]
        start = stop


@njit(cache=True, nogil=True)
def shorten(
    order, starts, scores, patients, classes, max_references, per_patient, per_class, thresholds, stays
):
    """Mark the candidates that may still become references, by their place in `order`; raise the thresholds."""
    n_columns = thresholds.shape[1]
    listed = np.empty((n_columns, max_references), patients.dtype)
    sizes, n_of_class = np.empty(n_columns, np.int64), np.empty(n_columns, np.int64)
    taken = np.empty(2 * max_references, patients.dtype)
    for latent in range(starts.size - 1):
        sizes[:] = 0
        n_of_class[:] = 0
        n_taken = 0
        for place in range(starts[latent], starts[latent + 1]):
            i = order[place]
            patient, label = patients[i], classes[i]
            size = sizes[label]
            if size == max_references or _count(listed[label], size, patient) >= per_patient:
                continue
            stays[place] = True
            listed[label, size] = patient
            sizes[label] = size + 1
            if size + 1 == max_references:
                thresholds[latent, label] = max(thresholds[latent, label], scores[i])
            is_open = label == n_columns - 1 or n_of_class[label] < per_class
            if is_open and _count(taken, n_taken, patient) < per_patient:
                n_of_class[label] += 1
                taken[n_taken] = patient
                n_taken += 1
                if n_taken == 2 * max_references:
                    for column in range(n_columns):
                        thresholds[latent, column] = max(thresholds[latent, column], scores[i])
                    break


@njit(cache=True, nogil=True)
def choose(starts, patients, classes, max_references, per_patient, per_class, n_classes, chosen):
    """Choose the references of each latent among its candidates, the best first."""
    n_of_class = np.empty(n_classes + 1, np.int64)
    taken = np.empty(max_references, patients.dtype)
    for latent in range(starts.size - 1):
        n_of_class[:] = 0
        n_taken = 0
        for i in range(starts[latent], starts[latent + 1]):
            if n_taken == max_references:
                break
            patient, label = patients[i], classes[i]
            is_open = label == n_classes or n_of_class[label] < per_class
            if is_open and _count(taken, n_taken, patient) < per_patient:
                n_of_class[label] += 1
                taken[n_taken] = patient
                chosen[latent, n_taken] = i
                n_taken += 1
