"""Compiled sampling of negative-binomial counts: one uniform number per cell and gene, whatever the threads."""

import numpy as np
from numba import njit, prange

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53
_MAX_COUNT = 65_535
"""Largest value of uint16; the library sizes allowed make larger counts a matter of one cell in billions."""


@njit(inline="always")
def _uniform(key, gene):
    """Uniform number in (0, 1) number `gene` of stream `key`: SplitMix64 (Steele, Lea and Flood 2014)."""
    state = key + (np.uint64(gene) + np.uint64(1)) * _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    state = state ^ (state >> np.uint64(31))
    return (np.float64(np.int64(state >> np.uint64(11))) + 0.5) * _TO_UNIT


@njit(inline="always")
def _negative_binomial(uniform, mean, theta):
    """Smallest k with P(X > k) <= uniform: the inverse of the survival function, by the recursion of the pmf."""
    probability = np.exp(-theta * np.log1p(mean / theta))
    survival = 1.0 - probability
    ratio = mean / (mean + theta)
    count = 0
    while survival > uniform and count < _MAX_COUNT:
        probability *= ratio * (count + theta) / (count + 1)
        survival -= probability
        count += 1
        if probability < 1e-18 and count > mean:
            break
    return count


@njit(parallel=True, cache=True)
def draw_counts(node, maturity, library, keys, own, origin, theta, out):  # noqa: PLR0913  (numba takes arrays)
    """Fill `out` (cell gene, uint16): mean = library * (maturity * own + (1 - maturity) * origin) of the cell's node.

    P(X > 0) <= mean, so a uniform number above the mean is a zero without further work; that is nearly all genes.
    """
    for cell in prange(out.shape[0]):
        kind = node[cell]
        towards = library[cell] * maturity[cell]
        behind = library[cell] - towards
        key = keys[cell]
        for gene in range(out.shape[1]):
            mean = towards * own[kind, gene] + behind * origin[kind, gene]
            uniform = _uniform(key, gene)
            if uniform >= mean:
                out[cell, gene] = 0
            else:
                out[cell, gene] = _negative_binomial(uniform, mean, theta[gene])


@njit(parallel=True, cache=True)
def count_nonzeros(dense, n_nonzero):
    """Fill `n_nonzero` (cell) with the non-zeros of each row."""
    for row in prange(dense.shape[0]):
        found = 0
        for column in range(dense.shape[1]):
            found += dense[row, column] != 0
        n_nonzero[row] = found


@njit(parallel=True, cache=True)
def fill_rows(dense, indptr, indices, values):
    """Write the non-zeros of each row at its place in `indices` and `values`."""
    for row in prange(dense.shape[0]):
        place = indptr[row]
        for column in range(dense.shape[1]):
            value = dense[row, column]
            if value != 0:
                indices[place] = column
                values[place] = value
                place += 1
