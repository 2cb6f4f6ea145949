"""Compiled loops that keep the few active latents of a tile of pre-activations and forget the rest.

Every token is handled by one thread in an order fixed by the data, so results are the same for any number of threads.
Left un-annotated for numba; the typed doors are in `encoding.py`.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed doors keep the argument lists short)

import numpy as np
from numba import njit, prange

STRIDE = 32
"""Latents that are compared with the threshold at once; only a stride with a hit is walked one by one."""


@njit(inline="always")
def _swap(values, latents, i, j):
    value, latent = values[i], latents[i]
    values[i], latents[i] = values[j], latents[j]
    values[j], latents[j] = value, latent


@njit(cache=True, nogil=True)
def _keep_largest(values, latents, n, k):
    """Move the k largest of the first n values to the front (Hoare's selection); return the smallest of them."""
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) >> 1
        if values[middle] > values[low]:
            _swap(values, latents, middle, low)
        if values[high] > values[low]:
            _swap(values, latents, high, low)
        if values[high] > values[middle]:
            _swap(values, latents, high, middle)
        pivot = values[middle]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                _swap(values, latents, i, j)
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    smallest = values[0]
    for i in range(1, k):
        smallest = min(smallest, values[i])
    return smallest


@njit(cache=True, parallel=True, nogil=True)
def scan_tile(tile, bias, first, k, sizes, thresholds, values, latents):
    """Add to each token's candidates what in a tile of pre-activations may belong to its k largest positive ones.

    `tile` (token, latent) lacks the bias; `first` is the latent of its first column. `sizes` and `thresholds` say how
    many candidates a token has and what a value must exceed (0 at first); `values` and `latents` hold the candidates.
    """
    n_latents, capacity = tile.shape[1], values.shape[1]
    for token in prange(tile.shape[0]):
        row, mine, places = tile[token], values[token], latents[token]
        n, threshold = sizes[token], thresholds[token]
        for start in range(0, n_latents, STRIDE):
            stop = min(start + STRIDE, n_latents)
            n_hits = np.int32(0)
            for j in range(start, stop):
                n_hits += np.int32(row[j] + bias[j] > threshold)
            if n_hits == 0:
                continue
            if n + STRIDE > capacity:
                threshold = _keep_largest(mine, places, n, k)
                n = k
            for j in range(start, stop):
                value = row[j] + bias[j]
                if value > threshold:
                    mine[n] = value
                    places[n] = first + j
                    n += 1
        sizes[token], thresholds[token] = n, threshold


@njit(cache=True, parallel=True, nogil=True)
def settle(k, sizes, values, latents):
    """Reduce each token's candidates to its k largest."""
    for token in prange(sizes.size):
        if sizes[token] > k:
            _keep_largest(values[token], latents[token], sizes[token], k)
            sizes[token] = k


@njit(cache=True, parallel=True, nogil=True)
def write_rows(indptr, sizes, values, latents, out_values, out_latents):
    """Write each token's candidates, sorted by latent, to its place in compressed rows."""
    for token in prange(sizes.size):
        n = sizes[token]
        order = np.argsort(latents[token, :n])
        start = indptr[token]
        for i in range(n):
            out_values[start + i] = values[token, order[i]]
            out_latents[start + i] = latents[token, order[i]]


@njit(cache=True, nogil=True)
def _write(row, bias, bounds, out_values, out_latents):
    """Write what exceeds its bound, as far as there is room; return how many there are."""
    n, room = 0, out_values.size
    for start in range(0, row.size, STRIDE):
        stop = min(start + STRIDE, row.size)
        n_hits = np.int32(0)
        for j in range(start, stop):
            n_hits += np.int32(row[j] + bias[j] > bounds[j])
        if n_hits == 0:
            continue
        if n + n_hits > room:
            n += int(n_hits)
            continue
        for j in range(start, stop):
            value = row[j] + bias[j]
            if value > bounds[j]:
                out_values[n] = value
                out_latents[n] = j
                n += 1
    return n


@njit(cache=True, parallel=True, nogil=True)
def find_above(block, bias, bounds, counts, values, latents):
    """Count, per token, the pre-activations (`block` plus `bias`) above the bound of their latent; note what fits."""
    for token in prange(block.shape[0]):
        counts[token] = _write(block[token], bias, bounds, values[token], latents[token])


@njit(cache=True, parallel=True, nogil=True)
def write_above(block, bias, bounds, indptr, values, latents, out_values, out_latents):
    """Gather what `find_above` noted in compressed rows; a row that did not fit is walked again."""
    for token in prange(block.shape[0]):
        start, stop = indptr[token], indptr[token + 1]
        n = stop - start
        if n <= values.shape[1]:
            out_values[start:stop] = values[token, :n]
            out_latents[start:stop] = latents[token, :n]
        else:
            _write(block[token], bias, bounds, out_values[start:stop], out_latents[start:stop])
