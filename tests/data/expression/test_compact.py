"""The compact form: exact for every kind of value, and small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from trilineage.core.errors import MatrixError
from trilineage.data.expression.compact import compact_rows, require_counts
from trilineage.data.expression.matrices import CsrMatrix, DenseMatrix


def of(dense: np.ndarray) -> CsrMatrix:
    source = sparse.csr_matrix(dense)
    return CsrMatrix(source.data, source.indices, source.indptr, source.shape)


def dense_rows(compact, positions: np.ndarray) -> np.ndarray:
    rows = compact.gather(positions)
    return sparse.csr_matrix(
        (rows.values, rows.indices, rows.indptr), (len(positions), compact.n_columns)
    ).toarray()


@given(
    st.lists(
        st.sampled_from([0, 0, 0, 1, 2, 254, 255, 256, 65_534, 65_535, 65_536, 2**24]),
        min_size=24,
        max_size=24,
    ),
    st.lists(st.integers(0, 5), max_size=9),
)
def test_counts_come_back_exactly_in_any_order(values, positions):
    dense = np.array(values, dtype=np.float64).reshape(6, 4)
    compact = compact_rows(of(dense), whole=True)
    chosen = np.array(positions, dtype=np.int64)
    np.testing.assert_array_equal(dense_rows(compact, chosen), dense[chosen])


def test_other_values_come_back_exactly():
    dense = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    compact = compact_rows(DenseMatrix(dense), whole=False)
    np.testing.assert_array_equal(dense_rows(compact, np.arange(20)[::-1].copy()), dense[::-1])


def test_single_cell_counts_take_three_bytes_each():
    dense = np.random.default_rng(0).poisson(0.1, size=(400, 3000))
    dense[:, 0] = 400  # one gene above 255 in every cell
    compact = compact_rows(of(dense), whole=True)
    n_values = int((dense > 0).sum())
    assert compact.stored.dtype == np.uint8
    assert compact.nbytes <= 3 * n_values + 12 * 400 + 8 * 401
    np.testing.assert_array_equal(dense_rows(compact, np.arange(400)), dense)


def test_the_full_size_cohort_fits_in_two_gigabytes():
    n_values, n_cells = int(0.07 * 199_000 * 29_150), 199_000
    large = 0.004 * n_values  # share of counts of 255 and more; 0.1 % is usual
    assert 3 * n_values + 12 * large + 8 * n_cells <= 2e9


def test_bulk_counts_are_kept_in_two_bytes():
    dense = np.random.default_rng(0).integers(200, 3000, size=(5, 40))
    compact = compact_rows(of(dense), whole=True)
    assert compact.stored.dtype == np.uint16
    assert len(compact.large_at) == 0


def test_wide_matrices_take_wider_columns():
    dense = sparse.csr_matrix((np.ones(2), ([0, 1], [3, 70_000])), shape=(2, 70_001))
    compact = compact_rows(CsrMatrix(dense.data, dense.indices, dense.indptr, dense.shape), whole=True)
    assert compact.columns.dtype == np.uint32
    assert compact.gather(np.array([1])).indices.tolist() == [70_000]


@pytest.mark.parametrize(("value", "word"), [(-1.0, "negative"), (1.5, "fractional")])
def test_values_that_are_no_counts_are_refused(value, word):
    with pytest.raises(MatrixError, match=f"{word} values among the counts"):
        require_counts(np.array([1, value], np.float32))
