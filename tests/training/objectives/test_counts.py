"""Count likelihoods: the torch formula against SciPy, the fused loops against the torch formula in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from trilineage.core.errors import MatrixError
from trilineage.models.sparse import SparseBatch
from trilineage.training.objectives import chunked, counts_kernels
from trilineage.training.objectives.chunked import OutputLayer
from trilineage.training.objectives.counts import count_likelihood, count_loss

WIDTH = 6


def draw_layer(batch: SparseBatch, *, inflated: bool, dtype: torch.dtype = torch.float32) -> OutputLayer:
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch.n_cells, WIDTH), (batch.n_genes, WIDTH), (batch.n_genes,), (batch.n_genes,)]
    shapes += [(batch.n_genes, WIDTH), (batch.n_genes,)] if inflated else []
    tensors = (torch.randn(*shape, generator=generator).to(dtype).requires_grad_() for shape in shapes)
    return OutputLayer(*tensors)


def plain(batch: SparseBatch, layer: OutputLayer) -> torch.Tensor:
    logits = layer.hidden @ layer.weight.T + layer.bias
    dropout = None
    if layer.dropout_weight is not None:
        dropout = layer.hidden @ layer.dropout_weight.T + layer.dropout_bias
    counts = batch.dense(counts=True).to(logits.dtype)
    return count_likelihood(
        counts, batch.library.to(logits.dtype), logits, dropout, log_theta=layer.log_theta
    )


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("inflated", [False, True])
def test_loss_and_gradients_equal_the_torch_formula_in_double_precision(batch, compiled, inflated):
    layer = draw_layer(batch, inflated=inflated)
    exact = draw_layer(batch, inflated=inflated, dtype=torch.float64)
    loss, expected = count_loss(batch, layer, compiled=compiled), plain(batch, exact)
    (loss / 3).backward()
    (expected / 3).backward()
    assert abs(loss.item() / expected.item() - 1) < 1e-6
    for ours, theirs in zip(layer, exact, strict=True):
        if theirs is not None:
            assert (ours.grad - theirs.grad).norm() < 1e-5 * theirs.grad.norm()


def test_nb_is_that_of_scipy():
    rng = np.random.default_rng(0)
    counts, logits = rng.poisson(2.0, (5, 9)), rng.normal(size=(5, 9))
    log_theta, library = rng.normal(size=9), counts.sum(axis=1)
    mean = library[:, None] * special.softmax(logits, axis=1)
    theta = np.exp(log_theta)
    expected = -stats.nbinom.logpmf(counts, theta, theta / (theta + mean)).sum()
    tensors = (torch.from_numpy(array).double() for array in (counts, library, logits))
    loss = count_likelihood(*tensors, log_theta=torch.from_numpy(log_theta))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_zinb_is_a_mixture_of_zeros_and_scipy_nb():
    rng = np.random.default_rng(1)
    counts, logits, dropout = rng.poisson(1.0, (5, 9)), rng.normal(size=(5, 9)), rng.normal(size=(5, 9))
    log_theta, library = rng.normal(size=9), np.full(5, 30.0)
    mean, theta = 30 * special.softmax(logits, axis=1), np.exp(log_theta)
    nb = stats.nbinom.pmf(counts, theta, theta / (theta + mean))
    share = special.expit(dropout)
    expected = -np.log(share * (counts == 0) + (1 - share) * nb).sum()
    tensors = (torch.from_numpy(array).double() for array in (counts, library, logits, dropout))
    loss = count_likelihood(*tensors, log_theta=torch.from_numpy(log_theta))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("inflated", [False, True])
@pytest.mark.parametrize("log_theta", [-12.0, 12.0, 40.0])
def test_extreme_dispersions_and_logits_stay_finite(batch, inflated, log_theta):
    layer = draw_layer(batch, inflated=inflated)
    with torch.no_grad():
        layer.log_theta.fill_(log_theta)
        layer.bias.mul_(40)
    loss = count_loss(batch, layer, compiled=True)
    loss.backward()
    assert torch.isfinite(loss)
    for tensor in layer:
        assert tensor is None or torch.isfinite(tensor.grad).all()
    assert (layer.log_theta.grad == 0).all() == (log_theta == 40.0)


def test_chunks_and_blocks_add_up_to_the_same_loss(batch, monkeypatch):
    layer, other = draw_layer(batch, inflated=True), draw_layer(batch, inflated=True)
    loss = count_loss(batch, layer, compiled=True)
    loss.backward()
    monkeypatch.setattr(chunked, "_CHUNK", 19 * batch.n_genes)
    again = count_loss(batch, other, compiled=True)
    again.backward()
    assert again.item() == pytest.approx(loss.item(), rel=1e-9)
    torch.testing.assert_close(other.log_theta.grad, layer.log_theta.grad, rtol=1e-4, atol=1e-4)


def test_loss_without_gradients_is_the_same(batch):
    layer = draw_layer(batch, inflated=True)
    expected = count_loss(batch, layer, compiled=True).item()
    with torch.no_grad():
        assert count_loss(batch, layer, compiled=True).item() == expected
        assert count_loss(batch, layer, compiled=False).item() == pytest.approx(expected, rel=1e-6)


def test_data_without_raw_counts_are_refused(batch):
    bare = SparseBatch(batch.indptr, batch.indices, batch.values, None, batch.library, batch.n_genes)
    with pytest.raises(MatrixError, match="raw counts"):
        count_loss(bare, draw_layer(batch, inflated=False), compiled=True)


@given(st.floats(1e-6, 1e6))
def test_log_gamma_and_digamma_are_those_of_scipy(x):
    log_gamma, digamma = counts_kernels.log_gamma_and_digamma(x)
    assert log_gamma == pytest.approx(special.gammaln(x), rel=1e-11, abs=1e-11)
    assert digamma == pytest.approx(special.digamma(x), rel=1e-10, abs=1e-10)


@given(st.floats(-80, 80, width=32))
def test_fast_exponential_is_right_to_single_precision(x):
    assert counts_kernels.fast_exp(np.float32(x)) == pytest.approx(np.exp(x), rel=5e-7)


@given(st.floats(1.0000000031710769e-30, 1.0000000150474662e30, width=32))
def test_fast_logarithm_is_right_to_single_precision(x):
    assert counts_kernels.fast_log1p(np.float32(x)) == pytest.approx(np.log1p(x), rel=5e-7)
