"""Sums of sparse rows by group that grow batch by batch: memory follows the result, not what went in."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from trilineage.core.errors import CohortError

MAX_DENSE = 2**25
"""Sums that are kept in a dense table (268 MB), which is several times faster; more are kept sparse."""


class GroupSums:
    """Sums of the rows of sparse matrices by group, in double precision (exact for counts below 2^53).

    Where a dense table would be large, batches wait in a stack in which each matrix is at least twice as large as the
    one above it, so that a value is added about log2(batches) times and never more than twice the result is held.

    Parameters
    ----------
    n_groups, n_columns
        Shape of the result.
    """

    def __init__(self, n_groups: int, n_columns: int):
        self.shape = (n_groups, n_columns)
        self._table = np.zeros(n_groups * n_columns) if n_groups * n_columns <= MAX_DENSE else None
        self._stack: list[sp.csr_array] = []

    def add(self, rows: sp.csr_array, groups: Int[np.ndarray, " row"]) -> None:
        """Add each row to the sum of its group."""
        values = rows.data.astype(np.float64)
        if self._table is not None:
            starts = np.repeat(groups.astype(np.int64) * self.shape[1], np.diff(rows.indptr))
            np.add.at(self._table, starts + rows.indices, values)
            return
        ends = np.arange(len(groups) + 1)
        shape = (len(groups), self.shape[0])
        one_each = sp.csr_array((np.ones(len(groups)), groups.astype(np.int32), ends), shape=shape)
        self._push(one_each.T.tocsr() @ sp.csr_array((values, rows.indices, rows.indptr), shape=rows.shape))

    def add_sums(self, sums: sp.csr_array) -> None:
        """Add sums of all groups."""
        if self._table is None:
            self._push(sums.copy())
        else:
            self.add(sums, np.arange(self.shape[0]))

    def total(self) -> sp.csr_array:
        """Return the sums so far (group column), float64 with ascending indices."""
        if self._table is not None:
            return sp.csr_array(self._table.reshape(self.shape))
        while len(self._stack) > 1:
            self._merge_top()
        return self._stack[0] if self._stack else sp.csr_array(self.shape, dtype=np.float64)

    def _push(self, sums: sp.csr_array) -> None:
        sums.sort_indices()
        self._stack.append(sums)
        while len(self._stack) > 1 and self._stack[-2].nnz < 2 * self._stack[-1].nnz:
            self._merge_top()

    def _merge_top(self) -> None:
        last = self._stack.pop()
        self._stack[-1] = sp.csr_array(self._stack[-1] + last)


def require_groups(groups: Int[np.ndarray, " image"], n_images: int, n_groups: int) -> None:
    """Refuse images without a patient.

    Raises
    ------
    CohortError
        Another number of images, or a row that is no patient's.
    """
    if len(groups) != n_images or (n_images and (groups.min() < 0 or groups.max() >= n_groups)):
        raise CohortError(
            "images that belong to none of the patients",
            seen=f"{len(groups)} patients for {n_images} images, rows {groups.min(initial=0)} to "
            f"{groups.max(initial=0)}",
            allowed=f"one row of 0 to {n_groups - 1} per image",
            remedy="leave out the images of other patients",
        )
