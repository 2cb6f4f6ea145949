"""Compiled loops over sparse rows: gather, map columns, normalise, sum by group, check; one thread writes a row."""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed wrappers keep the argument lists short)

import numpy as np
from numba import njit, prange

_TABLE = 64
"""Counts below this take their logarithm from a table made once per cell: most counts are 1, 2 or 3."""
_CHUNKS = 32
"""Pieces of a batch that own a dense accumulator each; fixed, so that threads never change a result."""
_ONE = np.uint64(1)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
"""Its 64 shifts differ in the upper six bits, so a single bit times it tells which bit it was."""
_BIT_OF = np.zeros(64, np.int64)
_BIT_OF[[((0x03F79D71B4CB0A89 << bit) & (2**64 - 1)) >> 58 for bit in range(64)]] = np.arange(64)


@njit(cache=True, nogil=True, parallel=True)
def gather(
    indptr, columns, stored, limit, big_at, big_values, positions, out_indptr, out_indices, out_values
):
    """Copy rows of a compact matrix; a stored value equal to `limit` is looked up in the sorted list of large ones."""
    for i in prange(len(positions)):
        start = indptr[positions[i]]
        target = out_indptr[i]
        for k in range(out_indptr[i + 1] - target):
            out_indices[target + k] = columns[start + k]
            value = stored[start + k]
            if value == limit:
                out_values[target + k] = big_values[np.searchsorted(big_at, start + k)]
            else:
                out_values[target + k] = value


@njit(cache=True, nogil=True)
def copy_rows(starts, indices, values, rows, out_indptr, out_indices, out_values):
    """Copy some rows of one block to their places in a batch: block row `k` goes to batch row `rows[k]`.

    A batch has a few rows of each of many blocks, too few to share out among threads.
    """
    for k in range(len(rows)):
        start = starts[k]
        target = out_indptr[rows[k]]
        for j in range(out_indptr[rows[k] + 1] - target):
            out_indices[target + j] = indices[start + j]
            out_values[target + j] = values[start + j]


@njit(cache=True, nogil=True, parallel=True)
def row_sums(indptr, values, out):
    """Sum each row in double precision."""
    for i in prange(len(out)):
        total = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            total += values[j]
        out[i] = total


@njit(cache=True, nogil=True, parallel=True)
def log_counts(indptr, counts, scale, out):
    """Write log1p(scale * count) per value for whole counts, small counts through a table per row."""
    for i in prange(len(indptr) - 1):
        factor = scale[i]
        table = np.empty(_TABLE, np.float32)
        for k in range(_TABLE):
            table[k] = np.log1p(factor * k)
        for j in range(indptr[i], indptr[i + 1]):
            count = counts[j]
            if count < _TABLE:
                out[j] = table[int(count)]
            else:
                out[j] = np.log1p(factor * count)


@njit(cache=True, nogil=True, parallel=True)
def log_scaled(indptr, values, scale, out):
    """Write log1p(scale * value) per value."""
    for i in prange(len(indptr) - 1):
        factor = scale[i]
        for j in range(indptr[i], indptr[i + 1]):
            out[j] = np.log1p(factor * values[j])


@njit(cache=True, nogil=True, parallel=True)
def count_kept(indptr, indices, target, out):
    """Count per row the columns that have a target (one target per column)."""
    for i in prange(len(out)):
        n = 0
        for j in range(indptr[i], indptr[i + 1]):
            if target[indices[j]] >= 0:
                n += 1
        out[i] = n


@njit(cache=True, nogil=True, parallel=True)
def map_in_order(indptr, indices, values, target, out_indptr, out_indices, out_values):
    """Rename columns whose targets ascend and never coincide; the others are dropped."""
    for i in prange(len(indptr) - 1):
        place = out_indptr[i]
        for j in range(indptr[i], indptr[i + 1]):
            column = target[indices[j]]
            if column >= 0:
                out_indices[place] = column
                out_values[place] = values[j]
                place += 1


@njit(cache=True, nogil=True, parallel=True)
def count_distinct(indptr, indices, target, n_targets, out):
    """Count per row the distinct targets of its columns."""
    n_rows = len(out)
    for chunk in prange(_CHUNKS):
        words = np.zeros(n_targets // 64 + 1, np.uint64)
        for i in range(chunk * n_rows // _CHUNKS, (chunk + 1) * n_rows // _CHUNKS):
            n = 0
            for j in range(indptr[i], indptr[i + 1]):
                column = target[indices[j]]
                if column >= 0:
                    bit = _ONE << np.uint64(column & 63)
                    n += (words[column >> 6] & bit) == 0
                    words[column >> 6] |= bit
            for j in range(indptr[i], indptr[i + 1]):
                column = target[indices[j]]
                if column >= 0:
                    words[column >> 6] = 0
            out[i] = n


@njit(cache=True, nogil=True, parallel=True)
def map_and_sum(indptr, indices, values, target, weight, n_targets, out_indptr, out_indices, out_values):
    """Rename columns, adding up (with weights) those that share a target; columns come out ascending.

    The targets of a row are marked in a bitmap, which gives them back in order without sorting.
    """
    n_rows = len(indptr) - 1
    for chunk in prange(_CHUNKS):
        total = np.zeros(n_targets, np.float64)
        words = np.zeros(n_targets // 64 + 1, np.uint64)
        for i in range(chunk * n_rows // _CHUNKS, (chunk + 1) * n_rows // _CHUNKS):
            for j in range(indptr[i], indptr[i + 1]):
                column = target[indices[j]]
                if column >= 0:
                    words[column >> 6] |= _ONE << np.uint64(column & 63)
                    total[column] += weight[indices[j]] * values[j]
            place = out_indptr[i]
            for k in range(len(words)):
                word = words[k]
                while word != 0:
                    lowest = word & (~word + _ONE)
                    column = k * 64 + _BIT_OF[(lowest * _DE_BRUIJN) >> np.uint64(58)]
                    out_indices[place] = column
                    out_values[place] = total[column]
                    total[column] = 0.0
                    place += 1
                    word ^= lowest
                words[k] = 0


@njit(cache=True, nogil=True)
def add_groups(indptr, indices, values, groups, out):
    """Add each row to the row of its group (groups below 0 are left out)."""
    for i in range(len(groups)):
        if groups[i] >= 0:
            for j in range(indptr[i], indptr[i + 1]):
                out[groups[i], indices[j]] += values[j]


@njit(cache=True, nogil=True)
def inspect_rows(indptr, indices, values, n_columns):
    """Count what is wrong with rows: out of range, not finite, zero, out of order."""
    outside = not_finite = zero = disorder = np.int64(0)
    for i in range(len(indptr) - 1):
        previous = np.int64(-1)
        for j in range(indptr[i], indptr[i + 1]):
            column = np.int64(indices[j])
            value = values[j]
            outside += column < 0 or column >= n_columns
            not_finite += not np.isfinite(value)
            zero += value == 0
            disorder += column <= previous
            previous = column
    return np.array([outside, not_finite, zero, disorder])


@njit(cache=True, nogil=True)
def count_rows(indices, out):
    """Add up how often each row occurs; returns how many lie outside."""
    outside = 0
    for j in range(len(indices)):
        row = np.int64(indices[j])
        if row < 0 or row >= len(out):
            outside += 1
        else:
            out[row] += 1
    return outside


@njit(cache=True, nogil=True)
def place_by_row(indptr, indices, first_column, cursor, out_places, out_columns):
    """Find for each value of some matrix columns its place in a row-wise matrix; the cursor of each row moves on."""
    for column in range(len(indptr) - 1):
        for j in range(indptr[column], indptr[column + 1]):
            row = indices[j]
            out_places[j] = cursor[row]
            out_columns[j] = first_column + column
            cursor[row] += 1
