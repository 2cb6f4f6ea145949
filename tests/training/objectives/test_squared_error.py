"""Squared error in its Gram and dense forms against the plain formula in double precision."""

import pytest
import torch

from trilineage.models.sparse import SparseBatch
from trilineage.training.objectives import chunked
from trilineage.training.objectives import squared_error as module
from trilineage.training.objectives.chunked import OutputLayer
from trilineage.training.objectives.squared_error import prefers_gram, squared_error

FORMS = [("gram", True), ("gram", False), ("dense", True), ("dense", False)]


def draw_layer(batch: SparseBatch, width: int, dtype: torch.dtype = torch.float32) -> OutputLayer:
    generator = torch.Generator().manual_seed(1)
    shapes = (batch.n_cells, width), (batch.n_genes, width), (batch.n_genes,)
    tensors = (torch.randn(*shape, generator=generator) / 3 for shape in shapes)
    return OutputLayer(*(tensor.to(dtype).requires_grad_() for tensor in tensors))


def plain(batch: SparseBatch, layer: OutputLayer) -> torch.Tensor:
    return (layer.hidden @ layer.weight.T + layer.bias - batch.dense().to(layer.bias.dtype)).square().sum()


@pytest.mark.parametrize(("form", "compiled"), FORMS)
@pytest.mark.parametrize("width", [5, 48])
def test_loss_and_gradients_equal_the_plain_formula(batch, form, compiled, width):
    layer, exact = draw_layer(batch, width), draw_layer(batch, width, torch.float64)
    loss, expected = squared_error(batch, layer, compiled=compiled, form=form), plain(batch, exact)
    (loss / 7).backward()
    (expected / 7).backward()
    assert abs(loss.item() / expected.item() - 1) < 1e-6
    for ours, theirs in zip(layer[:3], exact[:3], strict=True):
        assert (ours.grad - theirs.grad).norm() < 1e-5 * theirs.grad.norm()


@pytest.mark.parametrize(("form", "compiled"), FORMS)
def test_a_slice_of_a_batch_has_its_own_loss(batch, form, compiled):
    part = batch.cells(20, 60)
    loss = squared_error(part, draw_layer(part, 6), compiled=compiled, form=form)
    assert loss.item() == pytest.approx(plain(part, draw_layer(part, 6, torch.float64)).item(), rel=1e-6)


def test_chunks_of_cells_add_up(batch, monkeypatch):
    whole = squared_error(batch, draw_layer(batch, 6), compiled=True, form="dense")
    monkeypatch.setattr(chunked, "_CHUNK", 17 * batch.n_genes)
    layer, exact = draw_layer(batch, 6), draw_layer(batch, 6, torch.float64)
    loss = squared_error(batch, layer, compiled=True, form="dense")
    loss.backward()
    plain(batch, exact).backward()
    assert loss.item() == pytest.approx(whole.item(), rel=1e-9)
    assert (layer.weight.grad - exact.weight.grad).norm() < 1e-5 * exact.weight.grad.norm()


def test_a_nearly_perfect_reconstruction_is_not_lost_to_cancellation(batch):
    identity = torch.eye(batch.n_genes)
    noise = 1e-3 * torch.randn(batch.dense().shape, generator=torch.Generator().manual_seed(0))
    layer = OutputLayer(batch.dense() + noise, identity, torch.zeros(batch.n_genes))
    expected = (layer.hidden.double() - batch.dense().double()).square().sum()
    loss = squared_error(batch, layer, compiled=True, form="gram")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_nothing_is_computed_for_gradients_when_none_is_wanted(batch):
    with torch.no_grad():
        for form in ("gram", "dense"):
            loss = squared_error(batch, draw_layer(batch, 6), compiled=True, form=form)
            assert not loss.requires_grad


def test_gram_is_preferred_for_batches_wider_than_the_layer(batch):
    assert prefers_gram(batch, 20)
    assert not prefers_gram(batch, 400)


def test_auto_takes_the_dense_form_without_compiled_loops(batch, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(module, "_gram_terms", refuse)
    assert squared_error(batch, draw_layer(batch, 6), compiled=False).item() > 0
    with pytest.raises(AssertionError):
        squared_error(batch, draw_layer(batch, 6), compiled=True)
