"""The reconstruction loss of an autoencoder: every loss and backend against plain torch, and a training that learns."""

import pytest
import torch
from torch import nn

from trilineage.core.errors import ConfigError
from trilineage.models.autoencoder import AutoencoderSettings, ExpressionAutoencoder
from trilineage.models.sparse import SparseBatch
from trilineage.training.objectives.counts import count_likelihood
from trilineage.training.objectives.reconstruction import reconstruction_loss


def build(batch: SparseBatch, **settings) -> ExpressionAutoencoder:
    torch.manual_seed(0)
    shape = {"hidden": (24, 12), "n_latent": 6, "dropout": 0.0, **settings}
    return ExpressionAutoencoder(batch.n_genes, AutoencoderSettings(**shape))


def plain_loss(model: ExpressionAutoencoder, batch: SparseBatch) -> torch.Tensor:
    hidden = model.decode(model.encode_dense(batch.dense().double()))
    output = hidden @ model.output_weight.T + model.output_bias
    if model.settings.loss == "squared_error":
        return (output - batch.dense()).square().sum()
    dropout = None if model.dropout_weight is None else hidden @ model.dropout_weight.T + model.dropout_bias
    counts, library = batch.dense(counts=True).double(), batch.library.double()
    return count_likelihood(counts, library, output, dropout, log_theta=model.log_theta)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("loss", ["squared_error", "nb", "zinb"])
def test_loss_and_gradients_equal_plain_torch_in_double_precision(batch, loss, backend):
    model, exact = build(batch, loss=loss), build(batch, loss=loss).double()
    loss_sum, n_cells = reconstruction_loss(model, batch, backend=backend)
    expected = plain_loss(exact, batch)
    (loss_sum / n_cells).backward()
    (expected / n_cells).backward()
    assert n_cells == batch.n_cells
    assert abs(loss_sum.item() / expected.item() - 1) < 1e-6
    for (name, ours), theirs in zip(model.named_parameters(), exact.parameters(), strict=True):
        if name != "latent_layer.bias":  # the batch norm after it takes it away: its gradient is rounding
            assert (ours.grad - theirs.grad).norm() < 1e-5 * theirs.grad.norm(), name


@pytest.mark.parametrize("loss", ["squared_error", "nb", "zinb"])
def test_a_few_steps_lower_the_loss_and_two_runs_agree_to_the_bit(batch, loss):
    histories = []
    for _ in range(2):
        model = build(batch, loss=loss, dropout=0.1)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            loss_sum, n_cells = reconstruction_loss(model, batch)
            (loss_sum / n_cells).backward()
            optimizer.step()
            losses.append(loss_sum.item())
        histories.append(losses)
    assert histories[0] == histories[1]
    assert histories[0][-1] < 0.98 * histories[0][0]


def test_mixed_precision_keeps_the_gene_wide_products_exact(batch):
    model = build(batch)
    expected = reconstruction_loss(model, batch).loss_sum.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_sum, _ = reconstruction_loss(model, batch)
    loss_sum.backward()
    assert loss_sum.item() == pytest.approx(expected, rel=1e-2)
    assert model.input_weight.grad.dtype == torch.float32


def test_only_an_autoencoder_reconstructs(batch):
    with pytest.raises(ConfigError, match="autoencoder"):
        reconstruction_loss(nn.Linear(2, 2), batch)
