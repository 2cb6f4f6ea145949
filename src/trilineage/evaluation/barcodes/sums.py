"""Sums of sparse rows by group that grow batch by batch: memory follows the result, not what went in."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from trilineage.core.errors import CohortError


class GroupSums:
    """Sums of the rows of sparse matrices by group, in double precision (exact for counts below 2^53).

    Batches wait in a stack in which each matrix is at least twice as large as the one above it, so that a value is
    added about log2(batches) times and never more than twice the result is held.

    Parameters
    ----------
    n_groups, n_columns
        Shape of the result.
    """

    def __init__(self, n_groups: int, n_columns: int):
        self.shape = (n_groups, n_columns)
        self._stack: list[sp.csr_array] = []

    def add(self, rows: sp.csr_array, groups: Int[np.ndarray, " row"]) -> None:
        """Add each row to the sum of its group."""
        ends = np.arange(len(groups) + 1)
        one_each = sp.csr_array(
            (np.ones(len(groups)), groups.astype(np.int32), ends), shape=(len(groups), self.shape[0])
        )
        self.push(sp.csr_array(one_each.T.tocsr() @ rows.astype(np.float64)))

    def push(self, sums: sp.csr_array) -> None:
        """Add sums of groups."""
        sums.sort_indices()
        self._stack.append(sums)
        while len(self._stack) > 1 and self._stack[-2].nnz < 2 * self._stack[-1].nnz:
            self._merge_top()

    def total(self) -> sp.csr_array:
        """Return the sums so far (group column), float64 with ascending indices."""
        while len(self._stack) > 1:
            self._merge_top()
        return self._stack[0] if self._stack else sp.csr_array(self.shape, dtype=np.float64)

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
