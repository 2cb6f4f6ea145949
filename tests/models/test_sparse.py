"""Sparse minibatches: products and gradients against dense torch, whatever the backend and the number of threads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from trilineage.core.errors import ConfigError, MatrixError
from trilineage.data.expression.rows import ExpressionBatch
from trilineage.models.sparse import SparseBatch, choose_backend, sparse_matmul

BACKENDS = ["numba", "torch"]


def draw_rows(n_cells: int, n_genes: int, *, density: float = 0.1, seed: int = 0) -> ExpressionBatch:
    matrix = sparse.random_array(
        (n_cells, n_genes), density=density, format="csr", dtype=np.float32, rng=seed
    )
    matrix.sort_indices()
    counts = np.ceil(10 * matrix.data).astype(np.float32)
    library = np.add.reduceat(np.append(counts, 0), matrix.indptr[:-1]).astype(np.float32)
    indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    return ExpressionBatch(indptr, indices, matrix.data, counts, library, np.arange(n_cells), n_genes)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("n_cells", "n_genes", "width"), [(1, 5, 1), (7, 13, 5), (300, 1000, 256), (65, 700, 331)]
)
def test_product_and_gradients_equal_those_of_a_dense_product(backend, n_cells, n_genes, width):
    batch = SparseBatch.from_rows(draw_rows(n_cells, n_genes))
    values = batch.values.clone().requires_grad_()
    batch = SparseBatch(batch.indptr, batch.indices, values, batch.counts, batch.library, n_genes)
    weight, slope = draw(n_genes, width).requires_grad_(), draw(n_cells, width, seed=1)
    sparse_matmul(batch, weight, backend=backend).backward(slope)
    exact_values = values.detach().double().requires_grad_()
    exact_weight = weight.detach().double().requires_grad_()
    dense = torch.zeros(n_cells, n_genes, dtype=torch.float64)
    cells = torch.repeat_interleave(batch.indptr.diff())
    dense = dense.index_put((cells, batch.indices.long()), exact_values)
    product = dense @ exact_weight
    product.backward(slope.double())
    torch.testing.assert_close(
        sparse_matmul(batch, weight, backend=backend).double(), product, rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(weight.grad.double(), exact_weight.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(values.grad.double(), exact_values.grad, rtol=1e-5, atol=2e-5)


@given(st.integers(1, 30), st.integers(1, 300), st.integers(1, 80), st.floats(0, 1), st.integers(0, 99))
def test_compiled_product_is_the_dense_product_for_any_shape(n_cells, n_genes, width, density, seed):
    batch = SparseBatch.from_rows(draw_rows(n_cells, n_genes, density=density, seed=seed))
    weight = draw(n_genes, width, seed=seed)
    product = sparse_matmul(batch, weight, backend="numba")
    torch.testing.assert_close(product, batch.dense() @ weight, rtol=1e-5, atol=1e-4)


def test_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    rows = draw_rows(200, 900)
    weight, slope = draw(900, 100), draw(200, 100, seed=1)
    results = []
    for n_parts in (1, 3, 7):
        monkeypatch.setattr("trilineage.models.sparse.use_torch_threads", lambda n_parts=n_parts: n_parts)
        leaf = weight.clone().requires_grad_()
        product = sparse_matmul(SparseBatch.from_rows(rows), leaf, backend="numba")
        product.backward(slope)
        results.append((product.detach(), leaf.grad))
    for product, gradient in results[1:]:
        assert torch.equal(product, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_columns_are_the_transposed_matrix():
    rows = draw_rows(50, 70)
    columns = SparseBatch.from_rows(rows).columns
    transposed = rows.to_csr().T.tocsr()
    transposed.sort_indices()
    np.testing.assert_array_equal(columns.indptr, transposed.indptr)
    np.testing.assert_array_equal(columns.cells, transposed.indices)
    np.testing.assert_array_equal(columns.values, transposed.data)
    np.testing.assert_allclose(columns.sums, rows.to_csr().toarray().sum(axis=0), rtol=1e-6)


def test_slice_of_cells_behaves_as_the_batch_of_those_cells():
    batch = SparseBatch.from_rows(draw_rows(40, 60))
    part, weight = batch.cells(11, 29), draw(60, 9)
    assert part.n_cells == 18
    assert torch.equal(part.dense(), batch.dense()[11:29])
    assert torch.equal(part.dense(counts=True), batch.dense(counts=True)[11:29])
    for backend in BACKENDS:
        torch.testing.assert_close(
            sparse_matmul(part, weight, backend=backend), batch.dense()[11:29] @ weight
        )
    np.testing.assert_array_equal(part.columns.cells, batch.cells(11, 29).columns.cells)


def test_dense_values_pass_gradients_to_the_non_zeros():
    batch = SparseBatch.from_rows(draw_rows(6, 8, density=0.4))
    values = batch.values.clone().requires_grad_()
    slope = draw(6, 8)
    SparseBatch(batch.indptr, batch.indices, values, None, batch.library, 8).dense().backward(slope)
    assert torch.equal(values.grad, slope[torch.repeat_interleave(batch.indptr.diff()), batch.indices.long()])


def test_hand_computed_product():
    rows = ExpressionBatch(
        indptr=np.array([0, 2, 2, 3]),
        indices=np.array([0, 2, 1], np.int32),
        values=np.array([1, 2, 3], np.float32),
        counts=None,
        library=np.ones(3, np.float32),
        positions=np.arange(3),
        n_genes=3,
    )
    weight = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    product = sparse_matmul(SparseBatch.from_rows(rows), weight)
    assert product.tolist() == [[7.0, 70.0], [0.0, 0.0], [6.0, 60.0]]


@pytest.mark.parametrize("indices", [[2, 1], [1, 1], [0, 4], [-1, 2]])
def test_rows_that_the_loops_could_not_trust_are_refused(indices):
    rows = draw_rows(1, 4, density=0.5)._replace(indices=np.array(indices, np.int32))
    with pytest.raises(MatrixError, match="ascend"):
        SparseBatch.from_rows(rows)


def test_counts_that_are_absent_cannot_be_made_dense():
    batch = SparseBatch.from_rows(draw_rows(3, 4)._replace(counts=None))
    with pytest.raises(MatrixError, match="raw counts"):
        batch.dense(counts=True)


def test_backend_follows_the_device():
    assert choose_backend("auto", torch.device("cpu")) == "numba"
    assert choose_backend("auto", torch.device("cuda")) == "torch"
    with pytest.raises(ConfigError, match="CPU only"):
        choose_backend("numba", torch.device("cuda"))
