"""Blocks of rows from every layout, and matrices that cannot be expression."""

import numpy as np
import pytest
from scipy import sparse

from trilineage.core.errors import FormatError, MatrixError
from trilineage.data.expression import matrices
from trilineage.data.expression.matrices import (
    CsrMatrix,
    DenseMatrix,
    csr_from_columns,
    join_rows,
    sample_rows,
)


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    return sparse.random(50, 31, density=0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(0))


def csr(source: sparse.csr_matrix, **changed) -> CsrMatrix:
    parts = {"data": source.data, "indices": source.indices, "indptr": source.indptr} | changed
    return CsrMatrix(parts["data"], parts["indices"], parts["indptr"], source.shape)


def dense_of(matrix: CsrMatrix | DenseMatrix) -> np.ndarray:
    rows = join_rows([matrix.read_rows(start, stop) for start, stop in matrix.blocks()])
    return sparse.csr_matrix(
        (rows.values, rows.indices, rows.indptr), (matrix.n_rows, matrix.n_columns)
    ).toarray()


@pytest.mark.parametrize("block_values", [1, 40, 10_000])
def test_every_layout_gives_the_same_rows(matrix, monkeypatch, block_values):
    monkeypatch.setattr(matrices, "BLOCK_VALUES", block_values)
    columns = matrix.tocsc()
    by_columns = csr_from_columns(columns.data, columns.indices, columns.indptr, columns.shape)
    for stored in (csr(matrix), by_columns, DenseMatrix(matrix.toarray())):
        np.testing.assert_array_equal(dense_of(stored), matrix.toarray())


def test_disordered_repeated_and_zero_entries_are_brought_in_order():
    stored = CsrMatrix(np.array([1.0, 2.0, 3.0, 0.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4]), (2, 3))
    rows = stored.read_rows(0, 2)
    assert rows.indices.tolist() == [0, 2]
    assert rows.values.tolist() == [2.0, 4.0]
    assert rows.indptr.tolist() == [0, 2, 2]


@pytest.mark.parametrize("column", [31, 10_000, -1])
def test_indices_out_of_range_are_refused(matrix, column):
    indices = matrix.indices.copy()
    indices[17] = column
    with pytest.raises(MatrixError, match="out of range.*allowed: 0 to 30"):
        csr(matrix, indices=indices).read_rows(0, 50)


def test_row_indices_out_of_range_are_refused_in_a_column_wise_matrix(matrix):
    columns = matrix.tocsc()
    columns.indices[3] = 50
    with pytest.raises(MatrixError, match="out of range.*allowed: 0 to 49"):
        csr_from_columns(columns.data, columns.indices, columns.indptr, columns.shape)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(matrix, value):
    data = matrix.data.astype(np.float64)
    data[5] = value
    with pytest.raises(MatrixError, match="NaN or infinite.*1 of"):
        csr(matrix, data=data).read_rows(0, 50)


@pytest.mark.parametrize(("place", "value"), [(0, 1), (10, 10**9), (10, -1), (50, 3)])
def test_row_starts_that_do_not_ascend_to_the_end_are_refused(matrix, place, value):
    indptr = matrix.indptr.copy()
    indptr[place] = value
    with pytest.raises(MatrixError, match="indptr does not ascend"):
        csr(matrix, indptr=indptr)


def test_parts_that_do_not_fit_each_other_are_refused(matrix):
    with pytest.raises(MatrixError, match="different length"):
        csr(matrix, data=matrix.data[:-1])
    with pytest.raises(MatrixError, match="does not fit the number of rows"):
        csr(matrix, indptr=matrix.indptr[:-1])
    with pytest.raises(MatrixError, match="no integers"):
        csr(matrix, indices=matrix.indices.astype(float))


def test_texts_are_no_matrix():
    with pytest.raises(MatrixError, match="holds no numbers"):
        DenseMatrix(np.array([["a", "b"]]))


def test_a_matrix_has_two_axes():
    with pytest.raises(FormatError, match="two axes"):
        DenseMatrix(np.zeros(3))


def test_a_sample_of_a_tall_matrix_reaches_its_end(matrix):
    tall = DenseMatrix(np.arange(1, 4001, dtype=np.float32)[:, None])
    rows = sample_rows(tall, n_rows=64, n_pieces=8)
    assert len(rows.values) == 64
    assert (rows.values[0], rows.values[-1]) == (1, 4000)
