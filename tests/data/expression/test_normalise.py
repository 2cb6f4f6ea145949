"""Every state ends on one scale."""

import numpy as np
import pytest
from scipy import sparse

from trilineage.data.expression.columns import ColumnMap
from trilineage.data.expression.matrices import checked_rows
from trilineage.data.expression.normalise import linear_rows, normalised
from trilineage.data.expression.state import MatrixState

COUNTS = np.random.default_rng(0).poisson(2.0, size=(30, 40)).astype(np.float64) + np.eye(30, 40)
PER_10K = 1e4 * COUNTS / COUNTS.sum(axis=1, keepdims=True)


def values(
    dense: np.ndarray, state: MatrixState, *, n_genes: int = 40, kept: slice = slice(None), **options
) -> np.ndarray:
    matrix = sparse.csr_matrix(dense.astype(np.float32))
    rows = checked_rows(matrix.indptr, matrix.indices, matrix.data, 40)
    target = np.full(40, -1, np.int32)
    target[kept] = np.arange(len(target[kept]), dtype=np.int32)
    columns = ColumnMap.build(target, 40, average=False)
    linear = linear_rows(rows, state, columns, **({"total_over_genes": False} | options))
    out = normalised(linear, state, 1e4)
    return sparse.csr_matrix((out, linear.rows.indices, linear.rows.indptr), (len(dense), 40)).toarray()


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        (COUNTS, MatrixState("counts", ())),
        (PER_10K * 100, MatrixState("cpm", (), 1e6)),
        (COUNTS * 3.3, MatrixState("cpm", ())),
        (np.log1p(PER_10K), MatrixState("log1p", (), 1e4)),
        (np.log10(1 + PER_10K * 100), MatrixState("log10", (), 1e6)),
        (np.log2(1 + PER_10K * 100), MatrixState("log2", (), 1e6)),
    ],
)
def test_every_state_of_the_same_samples_gives_the_same_values(stored, state):
    np.testing.assert_allclose(values(stored, state), np.log1p(PER_10K), rtol=2e-5, atol=2e-5)


def test_scaled_values_stay_as_they_are():
    scores = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    np.testing.assert_array_equal(values(scores, MatrixState("scaled", ())), scores)


def test_intensities_are_the_logarithm_above_the_floor():
    dense = np.zeros((1, 40))
    dense[0, :5] = [-50, 100, 200, 16_000, 60_000]
    out = values(dense, MatrixState("intensities", ()))[0, :6]
    np.testing.assert_allclose(out, [0, 0, 1, np.log2(160), np.log2(160), 0], rtol=1e-6)


def test_chosen_genes_are_divided_by_the_total_of_all():
    out = values(COUNTS, MatrixState("counts", ()), kept=slice(0, 10))
    np.testing.assert_allclose(out[:, :10], np.log1p(PER_10K[:, :10]), rtol=1e-5)


def test_aligned_genes_are_divided_by_their_own_total_over_its_expected_share():
    out = values(
        COUNTS, MatrixState("counts", ()), kept=slice(0, 10), total_over_genes=True, expected_share=0.25
    )
    part = COUNTS[:, :10]
    total = np.maximum(part.sum(axis=1, keepdims=True), 1) / 0.25
    np.testing.assert_allclose(out[:, :10], np.log1p(1e4 * part / total), rtol=1e-5)
