"""A matrix as a file stores it (row-wise, column-wise or dense), handed out as checked blocks of rows."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int, Int64, Integer, Shaped, UInt
from scipy import sparse

from trilineage.core.errors import FormatError, MatrixError
from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.rows_kernels import count_rows, inspect_rows, place_by_row

BLOCK_VALUES = 4_000_000
"""Values read at once when a whole matrix is walked: 32 MB of indices and values."""


@runtime_checkable
class ArrayLike(Protocol):
    """A NumPy array, or one on disk (HDF5, zarr) that gives slices as NumPy arrays."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


@runtime_checkable
class Matrix(Protocol):
    """Samples x genes, in whatever layout."""

    n_rows: int
    n_columns: int

    def read_rows(self, start: int, stop: int) -> RawRows:
        """Return consecutive rows, checked and in order."""
        ...

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Cut the rows into pieces of bounded size."""
        ...

    @property
    def n_stored(self) -> int:
        """Upper bound of the number of non-zero values."""
        ...


class CsrMatrix:
    """A row-wise sparse matrix whose indices and values may lie on disk.

    Raises
    ------
    MatrixError
        If the row starts do not ascend from 0 to the number of values, or the types are no numbers.
    """

    def __init__(self, data: ArrayLike, indices: ArrayLike, indptr: ArrayLike, shape: tuple[int, int]):
        self.n_rows, self.n_columns = shape
        self._data, self._indices = data, indices
        self.indptr = checked_pointers(data, indices, indptr, self.n_rows)

    @property
    def n_stored(self) -> int:
        """Upper bound of the number of non-zero values."""
        return int(self.indptr[-1])

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Cut the rows into pieces of bounded size."""
        start = 0
        while start < self.n_rows:
            stop = int(np.searchsorted(self.indptr, self.indptr[start] + BLOCK_VALUES, side="right")) - 1
            stop = min(max(stop, start + 1), self.n_rows)
            yield start, stop
            start = stop

    def read_rows(self, start: int, stop: int) -> RawRows:
        """Return consecutive rows, checked and in order."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        return checked_rows(
            self.indptr[start : stop + 1] - first,
            np.asarray(self._indices[first:last]),
            np.asarray(self._data[first:last]),
            self.n_columns,
        )


class DenseMatrix:
    """A dense matrix that may lie on disk."""

    def __init__(self, data: ArrayLike):
        _require_numbers(data, "matrix")
        if len(data.shape) != 2:
            raise FormatError("a matrix that does not have two axes", seen=f"shape {data.shape}")
        self.n_rows, self.n_columns = int(data.shape[0]), int(data.shape[1])
        self._data = data

    @property
    def n_stored(self) -> int:
        """Upper bound of the number of non-zero values."""
        return self.n_rows * self.n_columns

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Cut the rows into pieces of bounded size."""
        step = max(1, BLOCK_VALUES // max(1, self.n_columns))
        for start in range(0, self.n_rows, step):
            yield start, min(start + step, self.n_rows)

    def read_rows(self, start: int, stop: int) -> RawRows:
        """Return consecutive rows, checked and in order."""
        block = np.asarray(self._data[start:stop])
        rows, columns = np.nonzero(block)
        indptr = np.zeros(stop - start + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=stop - start), out=indptr[1:])
        return checked_rows(indptr, columns, block[rows, columns], self.n_columns)


def csr_from_columns(
    data: ArrayLike, indices: ArrayLike, indptr: ArrayLike, shape: tuple[int, int]
) -> CsrMatrix:
    """Turn a column-wise sparse matrix into a row-wise one in memory, a block of columns at a time.

    Needs the result (6 to 8 bytes per value) plus one block; the file is read twice.
    """
    n_rows, n_columns = shape
    pointers = checked_pointers(data, indices, indptr, n_columns)
    n_stored = int(pointers[-1])
    counts = np.zeros(n_rows, np.int64)
    for first in range(0, n_stored, BLOCK_VALUES):
        outside = count_rows(np.asarray(indices[first : min(first + BLOCK_VALUES, n_stored)]), counts)
        if outside:
            raise _out_of_range(outside, n_rows)
    starts = np.zeros(n_rows + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    cursor = starts[:-1].copy()
    columns: UInt[np.ndarray, " nnz"] = np.empty(n_stored, _index_type(n_columns))
    values = np.empty(n_stored, np.float32)
    for start, stop in _column_blocks(pointers):
        first, last = int(pointers[start]), int(pointers[stop])
        places = np.empty(last - first, np.int64)
        of_value = np.empty(last - first, columns.dtype)
        local = pointers[start : stop + 1] - first
        place_by_row(local, np.asarray(indices[first:last]), start, cursor, places, of_value)
        columns[places] = of_value
        values[places] = as_float32(np.asarray(data[first:last]))
    return CsrMatrix(values, columns, starts, shape)


def checked_pointers(
    data: ArrayLike, indices: ArrayLike, indptr: ArrayLike, n_rows: int
) -> Int64[np.ndarray, " row_plus_1"]:
    """Return the row starts of a sparse matrix after checking them against its shape and its values.

    Raises
    ------
    MatrixError
        If they do not ascend from 0 to the number of values, or types or lengths do not fit.
    """
    _require_numbers(data, "data")
    for name, array in (("indices", indices), ("indptr", indptr)):
        if array.dtype.kind not in "iu":
            raise MatrixError(f"sparse {name} that are no integers", seen=array.dtype)
    if data.shape != indices.shape or len(data.shape) != 1:
        raise MatrixError(
            "sparse data and indices of different length", seen=f"{data.shape} and {indices.shape}"
        )
    if indptr.shape != (n_rows + 1,):
        raise MatrixError(
            "indptr does not fit the number of rows",
            seen=f"length {indptr.shape}",
            allowed=f"{n_rows + 1}",
        )
    pointers = np.asarray(indptr[:]).astype(np.int64)
    n_stored = int(data.shape[0])
    if pointers[0] != 0 or pointers[-1] != n_stored or (np.diff(pointers) < 0).any():
        raise MatrixError(
            "indptr does not ascend from 0 to the number of values",
            seen=f"first {pointers[0]}, last {pointers[-1]}, {n_stored} values",
            remedy="write the file again; this matrix is damaged",
        )
    return pointers


def checked_rows(
    indptr: Int[np.ndarray, " row_plus_1"],
    indices: Integer[np.ndarray, " nnz"],
    values: Shaped[np.ndarray, " nnz"],
    n_columns: int,
) -> RawRows:
    """Check a block and bring it to one form: int32 ascending columns, float32 values without zeros.

    Raises
    ------
    MatrixError
        For columns out of range and values that are NaN or infinite.
    """
    numbers = as_float32(values)
    outside, not_finite, zero, disorder = inspect_rows(indptr, indices, numbers, n_columns).tolist()
    if outside:
        raise _out_of_range(outside, n_columns)
    if not_finite:
        raise MatrixError(
            "values that are NaN or infinite",
            seen=f"{not_finite:,} of {len(values):,} in a block",
            allowed="finite numbers",
            remedy="mend the matrix, or choose another with layer=...",
        )
    columns = indices.astype(np.int32, copy=False)
    starts = indptr.astype(np.int64, copy=False)
    if zero or disorder:
        return _canonical(starts, columns, numbers, n_columns)
    return RawRows(starts, columns, numbers)


def sample_rows(matrix: Matrix, n_rows: int = 512, n_pieces: int = 16) -> RawRows:
    """Return rows from evenly spread pieces of a matrix: enough to see what state it is in."""
    if matrix.n_rows <= n_rows:
        return join_rows([matrix.read_rows(0, matrix.n_rows)])
    step = n_rows // n_pieces
    starts = np.linspace(0, matrix.n_rows - step, n_pieces).astype(int)
    return join_rows([matrix.read_rows(int(start), int(start) + step) for start in starts])


def join_rows(pieces: list[RawRows]) -> RawRows:
    """Put pieces of rows one below the other."""
    ends = np.cumsum([0, *(len(piece.values) for piece in pieces)])
    indptr = [np.zeros(1, np.int64)]
    indptr += [piece.indptr[1:] + end for piece, end in zip(pieces, ends[:-1], strict=True)]
    indices = [piece.indices for piece in pieces] or [np.empty(0, np.int32)]
    values = [piece.values for piece in pieces] or [np.empty(0, np.float32)]
    return RawRows(np.concatenate(indptr), np.concatenate(indices), np.concatenate(values))


def as_float32(values: Shaped[np.ndarray, "*axes"]) -> Float32[np.ndarray, "*axes"]:
    """Return values as native float32 (too large ones become infinite, which the checks refuse)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def _canonical(
    indptr: Int[np.ndarray, " row_plus_1"],
    indices: Int[np.ndarray, " nnz"],
    values: Shaped[np.ndarray, " nnz"],
    n_columns: int,
) -> RawRows:
    rows = sparse.csr_matrix((values.copy(), indices.copy(), indptr), shape=(len(indptr) - 1, n_columns))
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return RawRows(rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data)


def _column_blocks(pointers: Int64[np.ndarray, " column_plus_1"]) -> Iterator[tuple[int, int]]:
    start, n_columns = 0, len(pointers) - 1
    while start < n_columns:
        stop = int(np.searchsorted(pointers, pointers[start] + BLOCK_VALUES, side="right")) - 1
        stop = min(max(stop, start + 1), n_columns)
        yield start, stop
        start = stop


def _index_type(n_columns: int) -> type:
    return np.uint16 if n_columns <= 65_536 else np.uint32


def _require_numbers(array: ArrayLike, name: str) -> None:
    if array.dtype.kind not in "iufb":
        raise MatrixError(f"a {name} array that holds no numbers", seen=f"type {array.dtype}")


def _out_of_range(n_outside: int, limit: int) -> MatrixError:
    return MatrixError(
        "sparse indices out of range",
        seen=f"{n_outside:,} in a block",
        allowed=f"0 to {limit - 1}",
        remedy="write the file again; this matrix is damaged",
    )
