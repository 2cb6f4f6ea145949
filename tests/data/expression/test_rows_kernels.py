"""Compiled loops against SciPy and NumPy."""

import numpy as np
import pytest
from scipy import sparse

from trilineage.data.expression import rows_kernels as kernels


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    return sparse.random(70, 300, density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(1))


def test_row_sums_match_scipy(matrix):
    out = np.empty(70)
    kernels.row_sums(matrix.indptr, matrix.data, out)
    np.testing.assert_allclose(out, matrix.astype(np.float64).sum(axis=1).A1)


def test_logarithms_of_counts_match_numpy_in_and_above_the_table():
    counts = np.array([0, 1, 2, 63, 64, 65, 1e6, 3e7], np.float32)
    out = np.empty(8, np.float32)
    kernels.log_counts(np.array([0, 8]), counts, np.array([3.7]), out)
    np.testing.assert_allclose(out, np.log1p(3.7 * counts.astype(np.float64)), rtol=1e-7)


def test_mapping_out_of_order_matches_a_matrix_product(matrix):
    target = np.random.default_rng(2).integers(-1, 130, 300).astype(np.int32)
    weight = np.random.default_rng(3).random(300)
    lengths = np.empty(70, np.int64)
    kernels.count_distinct(matrix.indptr, matrix.indices, target, 130, lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    source = (matrix.indptr, matrix.indices, matrix.data, target, weight, 130)
    kernels.map_and_sum(*source, indptr, indices, values)
    kept = np.flatnonzero(target >= 0)
    product = matrix @ sparse.csr_matrix((weight[kept], (kept, target[kept])), shape=(300, 130))
    mapped = sparse.csr_matrix((values, indices, indptr), shape=(70, 130))
    assert mapped.has_sorted_indices
    np.testing.assert_allclose(mapped.toarray(), product.toarray(), rtol=1e-6)


def test_the_bit_table_knows_every_bit():
    words = np.uint64(1) << np.arange(64, dtype=np.uint64)
    found = kernels._BIT_OF[((words * kernels._DE_BRUIJN) >> np.uint64(58)).astype(int)]
    assert found.tolist() == list(range(64))


def test_inspection_counts_each_kind_of_damage():
    indices = np.array([0, 9, 3, 2, 1], np.int32)
    values = np.array([1, 2, np.nan, np.inf, 0], np.float32)
    found = kernels.inspect_rows(np.array([0, 2, 5]), indices, values, 5)
    assert found.tolist() == [1, 2, 1, 2]


def test_groups_below_zero_are_left_out():
    out = np.zeros((2, 3))
    indptr, indices = np.array([0, 1, 2, 3]), np.array([0, 1, 2], np.int32)
    kernels.add_groups(indptr, indices, np.array([1, 2, 4], np.float32), np.array([1, -1, 1]), out)
    assert out.tolist() == [[0, 0, 0], [1, 0, 4]]
