"""Compiled inner loops of the cell graph: keep the nearest neighbours, multiply a sparse matrix by a dense one.

Every output row belongs to one thread and is filled in a fixed order, so results do not depend on thread timing.
"""

import numpy as np
from numba import njit, prange


@njit(cache=True, parallel=True)
def keep_nearest(similarity, rows, columns, row_groups, column_groups, best_similarity, best_index):
    """Merge a block of similarities into the sorted best lists, in place.

    `similarity[i, j]` belongs to query `rows[i]` and reference cell `columns[j]`; a pair of equal groups is skipped
    (negative groups match nothing). Lists are sorted by falling similarity, ties by rising index.
    """
    n_keep = best_similarity.shape[1]
    for i in prange(similarity.shape[0]):
        row = rows[i]
        group = row_groups[row]
        for j in range(similarity.shape[1]):
            value = similarity[i, j]
            if value < best_similarity[row, n_keep - 1]:
                continue
            column = columns[j]
            if value == best_similarity[row, n_keep - 1] and column > best_index[row, n_keep - 1]:
                continue
            if group >= 0 and group == column_groups[column]:
                continue
            place = n_keep - 1
            while place > 0 and (
                best_similarity[row, place - 1] < value
                or (best_similarity[row, place - 1] == value and best_index[row, place - 1] > column)
            ):
                best_similarity[row, place] = best_similarity[row, place - 1]
                best_index[row, place] = best_index[row, place - 1]
                place -= 1
            best_similarity[row, place] = value
            best_index[row, place] = column


@njit(cache=True, parallel=True)
def multiply_rows(indptr, indices, weights, dense, out):
    """Write the product of a CSR matrix and a dense matrix into `out`."""
    n_columns = dense.shape[1]
    for row in prange(indptr.shape[0] - 1):
        for column in range(n_columns):
            out[row, column] = 0.0
        for position in range(indptr[row], indptr[row + 1]):
            source = indices[position]
            weight = weights[position]
            for column in range(n_columns):
                out[row, column] += weight * dense[source, column]


@njit(cache=True)
def sum_by_list(rows, lists, sums):
    """Add every row to the sum of its list, in row order, in place."""
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            sums[lists[row], column] += rows[row, column]


def empty_best(n_rows, n_keep, threshold):
    """Return empty best lists: similarities just below `threshold` (so that it is itself accepted) and index -1."""
    below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    return np.full((n_rows, n_keep), below, dtype=np.float32), np.full((n_rows, n_keep), -1, dtype=np.int32)
