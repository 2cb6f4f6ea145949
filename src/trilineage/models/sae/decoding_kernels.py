"""Compiled loop that adds decoder rows to tokens; left un-annotated for numba, its typed door is `decoding.py`."""

import numpy as np
from numba import njit, prange

_FAST = {"contract", "reassoc", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST, inline="always")
def add_row(out, row, factor):
    """Add a row times a factor."""
    for j in range(out.size):
        out[j] += factor * row[j]


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_rows(out, rows, places, factors):
    """Add the rows at some places, each times its factor, four at a time: the sum is read and written less often."""
    n = factors.size
    i = 0
    while i + 4 <= n:
        ra, rb, rc, rd = rows[places[i]], rows[places[i + 1]], rows[places[i + 2]], rows[places[i + 3]]
        fa, fb, fc, fd = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        for j in range(out.size):
            out[j] += (fa * ra[j] + fb * rb[j]) + (fc * rc[j] + fd * rd[j])
        i += 4
    while i < n:
        add_row(out, rows[places[i]], np.float32(factors[i]))
        i += 1


@njit(cache=True, parallel=True, nogil=True)
def add_decoder_rows(indptr, latents, values, weight, out):
    """Add to each token the decoder rows of its active latents times their values."""
    for token in prange(out.shape[0]):
        start, stop = indptr[token], indptr[token + 1]
        add_rows(out[token], weight, latents[start:stop], values[start:stop])
