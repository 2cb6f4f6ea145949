"""A whole matrix in memory in about three bytes per value: uint16 gene, uint8 count with a list of large counts."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt

from trilineage.core.errors import MatrixError
from trilineage.data.expression.matrices import Matrix
from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.rows_kernels import gather

_LARGE_SHARE = 0.02
"""More counts than this share at or above 255 (bulk data) are kept as uint16 instead of in the list."""


class CompactRows:
    """Sparse rows in their smallest exact form; the genes of a row ascend.

    The columns are uint16 (uint32 above 65,536 genes). Whole non-negative values are kept as uint8, or as uint16
    where more than 2 % reach 255; a stored maximum (255 or 65,535) means "look in the list of large values".
    Everything else is float32.
    """

    def __init__(
        self,
        indptr: Int64[np.ndarray, " row_plus_1"],
        columns: UInt[np.ndarray, " nnz"],
        stored: Shaped[np.ndarray, " nnz"],
        large: tuple[Int64[np.ndarray, " large"], Float32[np.ndarray, " large"]],
        n_columns: int,
    ):
        self.indptr, self.columns, self.stored, self.n_columns = indptr, columns, stored, n_columns
        self.large_at, self.large_values = large
        self.n_rows = len(indptr) - 1
        self._limit = stored.dtype.type(np.nan if stored.dtype.kind == "f" else np.iinfo(stored.dtype).max)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        arrays = (self.indptr, self.columns, self.stored, self.large_at, self.large_values)
        return sum(array.nbytes for array in arrays)

    def gather(self, positions: Int64[np.ndarray, " cell"]) -> RawRows:
        """Return rows in the order asked for, as the file had them."""
        lengths = self.indptr[positions + 1] - self.indptr[positions]
        indptr = np.zeros(len(positions) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        indices = np.empty(indptr[-1], np.int32)
        values = np.empty(indptr[-1], np.float32)
        large = (self.large_at, self.large_values)
        gather(
            self.indptr, self.columns, self.stored, self._limit, *large, positions, indptr, indices, values
        )
        return RawRows(indptr, indices, values)

    def order(
        self, positions: Int64[np.ndarray, " cell"], rng: np.random.Generator
    ) -> Int64[np.ndarray, " cell"]:
        """Return the positions in random order."""
        return rng.permutation(positions)

    def close(self) -> None:
        """Do nothing: no file is open."""


def compact_rows(
    matrix: Matrix, *, whole: bool, check: Callable[[RawRows], None] = lambda rows: None
) -> CompactRows:
    """Read a matrix once, block by block, into the compact form.

    Parameters
    ----------
    matrix
        Where the rows come from.
    whole
        Whether the values are counts (then kept in one or two bytes).
    check
        Called with every block; raises if the values contradict the state of the matrix.
    """
    n_stored = matrix.n_stored
    indptr = np.zeros(matrix.n_rows + 1, np.int64)
    columns = _Growing(np.dtype(np.uint16 if matrix.n_columns <= 65_536 else np.uint32), n_stored, matrix)
    stored = _Growing(np.dtype(np.uint8 if whole else np.float32), n_stored, matrix)
    large_at, large_values = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for start, stop in matrix.blocks():
        rows = matrix.read_rows(start, stop)
        indptr[start + 1 : stop + 1] = indptr[start] + rows.indptr[1:]
        check(rows)
        columns.append(rows.indices)
        if whole:
            large = np.flatnonzero(rows.values >= 255)
            large_at.append(large + indptr[start])
            large_values.append(rows.values[large])
            stored.append(np.minimum(rows.values, np.float32(255)))
        else:
            stored.append(rows.values)
    large_lists = (np.concatenate(large_at), np.concatenate(large_values))
    compact = CompactRows(indptr, columns.done(), stored.done(), large_lists, matrix.n_columns)
    return _with_wider_counts(compact) if len(large_lists[0]) > _LARGE_SHARE * max(1, indptr[-1]) else compact


def require_counts(values: Float32[np.ndarray, " nnz"]) -> None:
    """Refuse values that cannot be counts.

    Raises
    ------
    MatrixError
        With the number of negative and of fractional values.
    """
    negative = int((values < 0).sum())
    fractional = int((values != np.floor(values)).sum())
    if negative or fractional:
        raise MatrixError(
            "negative values among the counts" if negative else "fractional values among the counts",
            seen=f"{negative or fractional:,} in a block of {len(values):,}",
            allowed="whole numbers of 0 or more",
            remedy="mend the matrix, choose another with layer=..., or state what it is with state=...",
        )


def _with_wider_counts(compact: CompactRows) -> CompactRows:
    stored = compact.stored.astype(np.uint16)
    fits = compact.large_values < 65_535
    stored[compact.large_at] = np.where(fits, compact.large_values, 65_535).astype(np.uint16)
    large = (compact.large_at[~fits], compact.large_values[~fits])
    return CompactRows(compact.indptr, compact.columns, stored, large, compact.n_columns)


class _Growing:
    """An array filled from the front: allocated once for sparse files, in pieces where the size is unknown."""

    def __init__(self, dtype: np.dtype, n_stored: int, matrix: Matrix):
        self._dtype, self._n = dtype, 0
        self._is_dense = n_stored == matrix.n_rows * matrix.n_columns
        self._pieces: list[np.ndarray] = []
        self._whole = np.empty(0 if self._is_dense else n_stored, dtype)

    def append(self, values: Shaped[np.ndarray, " added"]) -> None:
        if self._is_dense:
            self._pieces.append(values.astype(self._dtype))
        else:
            self._whole[self._n : self._n + len(values)] = values
        self._n += len(values)

    def done(self) -> Shaped[np.ndarray, " nnz"]:
        if self._is_dense:
            return np.concatenate(self._pieces) if self._pieces else self._whole
        return self._whole[: self._n]
