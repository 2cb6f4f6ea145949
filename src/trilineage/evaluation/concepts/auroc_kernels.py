"""Compiled loops over the images in which a latent is active: ranks, areas, and their variances over patients.

A latent is silent in most images. Those zeros are one tie, whose rank is known without visiting them, and the many
patients in whom a latent never speaks add a sum that is known beforehand: the cost is that of the non-zeros. All
targets are handled at once, innermost, so that the processor does several with one instruction. Left un-annotated for
numba; the typed door is `association.py`.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed door keeps the argument lists short)

import numpy as np
from numba import njit, prange


@njit(cache=True, nogil=True)
def _tie_groups(values, order, n_images, starts, ranks):
    """Write where each group of equal values starts and its mid-rank among all images; return groups and zero rank.

    The zeros, none of which is in `values`, stand between the negative and the positive values.
    """
    n = order.size
    n_low = 0
    while n_low < n and values[order[n_low]] < 0:
        n_low += 1
    n_zero = n_images - n
    n_groups, i = 0, 0
    while i < n:
        j = i + 1
        while j < n and values[order[j]] == values[order[i]]:
            j += 1
        before = i if i < n_low else i + n_zero
        starts[n_groups] = i
        ranks[n_groups] = before + 0.5 * (j - i + 1)
        n_groups += 1
        i = j
    starts[n_groups] = n
    return n_groups, n_low, n_low + 0.5 * (n_zero + 1)


@njit(cache=True, nogil=True)
def _meet(patients, images, order, place_of, met, who):
    """Number the patients in the order in which they are met; `met` lists them, `who` says whose each image is."""
    n_met = 0
    for i in range(order.size):
        patient = patients[images[order[i]]]
        if place_of[patient] < 0:
            place_of[patient] = n_met
            met[n_met] = patient
            n_met += 1
        who[i] = place_of[patient]
    for k in range(n_met):
        place_of[met[k]] = -1
    return n_met


@njit(cache=True, nogil=True)
def _rank_spread(starts, ranks, n_groups, rest, middle, n_zero, who, met, n_met, sizes, sum_sizes2, excess):
    """Return the sum of squared centred ranks over images, and over patients of their summed centred ranks.

    `excess` becomes the sum of each met patient's ranks beyond those of silent images.
    """
    excess[:n_met] = 0.0
    squares = n_zero * rest * rest
    for group in range(n_groups):
        away = ranks[group] - middle
        squares += (starts[group + 1] - starts[group]) * away * away
        for i in range(starts[group], starts[group + 1]):
            excess[who[i]] += away - rest
    grouped = rest * rest * sum_sizes2
    for k in range(n_met):
        silent = sizes[met[k]] * rest
        grouped += (excess[k] + silent) ** 2 - silent * silent
    return squares, grouped


@njit(cache=True, nogil=True)
def _add_row(total, row):
    for j in range(total.size):
        total[j] += row[j]


@njit(cache=True, nogil=True)
def _shares(totals, below, here, size, n_below, hit, miss):
    """Write the share of negatives below, and of positives above, images of one tie; its own count half."""
    for j in range(hit.size):
        hit[j] = (n_below - below[j] + 0.5 * (size - here[j])) * totals[9, j]
        miss[j] = 1.0 - (below[j] + 0.5 * here[j]) * totals[8, j]


@njit(cache=True, nogil=True)
def _add_tie(doubled, below, here, size, n_below):
    """Count the pairs of a tie with what is below it, twice, a tied pair once; then put it below."""
    for j in range(doubled.size):
        doubled[j] += here[j] * (2.0 * (n_below - below[j]) + size - here[j])
        below[j] += here[j]


@njit(cache=True, nogil=True)
def _add_image(row, hit, miss, silent_hit, silent_miss, rank, hits, misses, ranks):
    """Add to a patient what one active image has beyond a silent one."""
    for j in range(row.size):
        y = np.float64(row[j])
        hits[j] += y * (hit[j] - silent_hit[j])
        misses[j] += (1.0 - y) * (miss[j] - silent_miss[j])
        ranks[j] += y * rank


@njit(cache=True, nogil=True)
def _walk(images, order, starts, ranks, n_groups, n_low, rank_zero, who, labels, totals, work, terms):
    """Walk up the ranks of one latent; fill the sums of the patients met and leave twice the pairs in `work[5]`."""
    below, here, hit, miss = work[0], work[1], work[2], work[3]
    zero_positive, doubled, silent_hit, silent_miss = work[4], work[5], work[6], work[7]
    n_zero = labels.shape[0] - order.size
    work[:] = 0.0
    for i in range(n_low):
        _add_row(below, labels[images[order[i]]])
    for i in range(order.size):
        _add_row(here, labels[images[order[i]]])
    zero_positive[:] = totals[0] - here
    _shares(totals, below, zero_positive, n_zero, n_low, silent_hit, silent_miss)
    below[:] = 0.0
    n_below, is_past_zero = 0, False
    for group in range(n_groups + 1):
        if not is_past_zero and starts[group] == n_low:
            _add_tie(doubled, below, zero_positive, n_zero, n_below)
            n_below += n_zero
            is_past_zero = True
        if group == n_groups:
            break
        first, last = starts[group], starts[group + 1]
        here[:] = 0.0
        for i in range(first, last):
            _add_row(here, labels[images[order[i]]])
        _shares(totals, below, here, last - first, n_below, hit, miss)
        for i in range(first, last):
            own = terms[who[i]]
            row = labels[images[order[i]]]
            beyond = ranks[group] - rank_zero
            _add_image(row, hit, miss, silent_hit, silent_miss, beyond, own[0], own[1], own[2])
        _add_tie(doubled, below, here, last - first, n_below)
        n_below += last - first


@njit(cache=True, nogil=True)
def _start(totals, doubled, silent_hit, silent_miss, rest, aa, bb, ab, score, out):
    """Write the areas, and begin the sums over patients as if all were silent."""
    for j in range(aa.size):
        m, n = totals[0, j], totals[1, j]
        area = doubled[j] / (2.0 * m * n)
        share = totals[10, j]
        silent_hit[j] -= area
        silent_miss[j] -= area
        aa[j] = silent_hit[j] * silent_hit[j] * totals[2, j]
        bb[j] = silent_miss[j] * silent_miss[j] * totals[3, j]
        ab[j] = silent_hit[j] * silent_miss[j] * totals[4, j]
        mixed = (1 - share) ** 2 * totals[2, j] + share * share * totals[3, j]
        score[j] = rest * rest * (mixed - 2 * share * (1 - share) * totals[4, j])
        out[j, 0] = area


@njit(cache=True, nogil=True)
def _replace(m, n, hits, misses, ranks, excess, rest, hit, miss, totals, aa, bb, ab, score):
    """Put one patient's sums in place of those of a silent patient with the same images."""
    for j in range(aa.size):
        silent_a, silent_b = m[j] * hit[j], n[j] * miss[j]
        a, b = hits[j] + silent_a, misses[j] + silent_b
        share = totals[10, j]
        silent = ((1 - share) * m[j] - share * n[j]) * rest
        own = ranks[j] - share * excess + silent
        aa[j] += a * a - silent_a * silent_a
        bb[j] += b * b - silent_b * silent_b
        ab[j] += a * b - silent_a * silent_b
        score[j] += own * own - silent * silent


@njit(cache=True, nogil=True)
def _variances(totals, n_met, met, positives, negatives, terms, excess, rest, work, out):
    """Write area, Obuchowski's variance and the variance of the score, from the sums of the patients."""
    aa, bb, ab, score = work[0], work[1], work[2], work[3]
    hit, miss = work[6], work[7]
    _start(totals, work[5], hit, miss, rest, aa, bb, ab, score, out)
    for k in range(n_met):
        patient, own = met[k], terms[k]
        m, n = positives[patient], negatives[patient]
        _replace(m, n, own[0], own[1], own[2], excess[k], rest, hit, miss, totals, aa, bb, ab, score)
        own[:] = 0.0
    for j in range(aa.size):
        m, n = totals[0, j], totals[1, j]
        with_positive, with_negative, n_all = totals[5, j], totals[6, j], totals[7, j]
        variance = 0.0
        if with_positive > 1 and with_negative > 1:
            variance = with_positive / (with_positive - 1) * aa[j] / (m * m)
            variance += with_negative / (with_negative - 1) * bb[j] / (n * n)
            variance += 2.0 * n_all / (n_all - 1) * ab[j] / (m * n)
        out[j, 1] = max(variance, 0.0)
        out[j, 2] = max(score[j], 0.0)


@njit(cache=True, nogil=True)
def _totals(positives, negatives):
    """Return sums by target.

    Images with it (0) and without it (1), over patients their squares (2, 3) and product (4), patients with it (5),
    without it (6) and all (7), one over the images of each side (8, 9), share of the images with it (10).
    """
    totals = np.zeros((11, positives.shape[1]))
    for patient in range(positives.shape[0]):
        for j in range(positives.shape[1]):
            m, n = positives[patient, j], negatives[patient, j]
            totals[0, j] += m
            totals[1, j] += n
            totals[2, j] += m * m
            totals[3, j] += n * n
            totals[4, j] += m * n
            totals[5, j] += m > 0
            totals[6, j] += n > 0
            totals[7, j] += 1
    totals[8:10] = 1.0 / totals[:2]
    totals[10] = totals[0] / (totals[0] + totals[1])
    return totals


@njit(cache=True, parallel=True, nogil=True)
def clustered_areas(
    indptr, images, values, patients, labels, positives, negatives, n_parts, figures, spreads, n_active
):
    """Fill area, Obuchowski variance and score variance of every latent and target, and the spread of the ranks.

    Parameters
    ----------
    indptr, images, values
        Non-zeros by latent (CSC).
    patients
        Patient of each image, from 0; each has an image.
    labels
        uint8 [image target]: 1 where the target holds.
    positives, negatives
        float64 [patient target]: images of each patient with the target, and without.
    n_parts
        Parts of the latents, each with scratch memory of its own.
    figures
        float64 [latent target 3], filled.
    spreads
        float64 [latent 2], filled: sum of squared centred ranks, and over patients of their sums.
    n_active
        int64 [latent], filled: patients in whom the latent is active.
    """
    n_latents, n_images = indptr.size - 1, patients.size
    n_patients, n_targets = positives.shape
    totals = _totals(positives, negatives)
    sizes = np.empty(n_patients)
    for patient in range(n_patients):
        sizes[patient] = positives[patient, 0] + negatives[patient, 0]
    sum_sizes2 = (sizes * sizes).sum()
    most = 0
    for latent in range(n_latents):
        most = max(most, indptr[latent + 1] - indptr[latent])
    n_most = min(most, n_patients)
    middle = 0.5 * (n_images + 1)
    for part in prange(n_parts):
        terms, work = np.zeros((n_most, 3, n_targets)), np.empty((8, n_targets))
        place_of, met = np.full(n_patients, -1, np.int64), np.empty(n_most, np.int64)
        who, excess = np.empty(most, np.int64), np.empty(n_most)
        starts, ranks = np.empty(most + 1, np.int64), np.empty(most)
        for latent in range(part, n_latents, n_parts):
            mine = images[indptr[latent] : indptr[latent + 1]]
            amounts = values[indptr[latent] : indptr[latent + 1]]
            order = np.argsort(amounts, kind="mergesort")
            n_groups, n_low, rank_zero = _tie_groups(amounts, order, n_images, starts, ranks)
            rest = rank_zero - middle
            n_met = _meet(patients, mine, order, place_of, met, who)
            n_zero = n_images - order.size
            spreads[latent] = _rank_spread(
                starts, ranks, n_groups, rest, middle, n_zero, who, met, n_met, sizes, sum_sizes2, excess
            )
            n_active[latent] = n_met
            _walk(mine, order, starts, ranks, n_groups, n_low, rank_zero, who, labels, totals, work, terms)
            _variances(totals, n_met, met, positives, negatives, terms, excess, rest, work, figures[latent])
