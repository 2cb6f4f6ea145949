"""Compiled pass that turns a dense reconstruction into its squared error and gradient without making the data dense."""

import numpy as np
from numba import njit, prange


@njit(cache=True, parallel=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def squares_and_gradient(indptr, indices, values, reconstruction, row_sums):
    """Overwrite `reconstruction` with 2 (reconstruction - x) and write each row's sum of squared differences."""
    n_genes = reconstruction.shape[1]
    for row in prange(reconstruction.shape[0]):
        mine = reconstruction[row]
        for k in range(indptr[row], indptr[row + 1]):
            mine[np.uint32(indices[k])] -= values[k]
        total = 0.0
        for first in range(0, n_genes, 1024):
            piece = np.float32(0)
            for gene in range(first, min(first + 1024, n_genes)):
                difference = mine[gene]
                piece += difference * difference
                mine[gene] = difference + difference
            total += np.float64(piece)
        row_sums[row] = total
