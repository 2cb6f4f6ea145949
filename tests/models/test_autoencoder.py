"""The autoencoder: its layers against plain torch modules, missing genes, and settings that cannot work."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from trilineage.core.errors import ConfigError, DataError
from trilineage.data.expression.rows import ExpressionBatch
from trilineage.models.autoencoder import AutoencoderSettings, ExpressionAutoencoder
from trilineage.models.sparse import SparseBatch

N_CELLS, N_GENES = 60, 90


@pytest.fixture
def batch() -> SparseBatch:
    matrix = sparse.random_array((N_CELLS, N_GENES), density=0.2, format="csr", dtype=np.float32, rng=0)
    matrix.sort_indices()
    indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    library = np.ones(N_CELLS, np.float32)
    rows = ExpressionBatch(indptr, indices, matrix.data, None, library, np.arange(N_CELLS), N_GENES)
    return SparseBatch.from_rows(rows)


def build(**settings) -> ExpressionAutoencoder:
    torch.manual_seed(0)
    return ExpressionAutoencoder(N_GENES, AutoencoderSettings(hidden=(32, 16), n_latent=8, **settings))


def test_encoder_equals_a_chain_of_torch_layers(batch):
    model = build(dropout=0.0)
    wide, narrow, latent = nn.Linear(N_GENES, 32, bias=False), model.encoder_layers[0], model.latent_layer
    wide.weight.data = model.input_weight.data.T
    chain = nn.Sequential(wide, nn.BatchNorm1d(32), nn.ReLU(), narrow, nn.BatchNorm1d(16), nn.ReLU(), latent)
    torch.testing.assert_close(model.encode(batch), chain(batch.dense()), rtol=1e-4, atol=1e-5)


def test_dense_and_sparse_encoding_agree(batch):
    model = build().eval()
    torch.testing.assert_close(model.encode(batch), model.encode_dense(batch.dense()), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        model.encode(batch, backend="torch"), model.encode(batch), rtol=1e-5, atol=1e-6
    )


def test_missing_genes_are_taken_at_their_training_mean(batch):
    model = build().eval()
    mean = torch.rand(N_GENES)
    model.set_gene_mean(mean)
    missing = torch.arange(N_GENES) % 3 == 0
    there = batch.dense().masked_fill(missing, 0.0)
    filled = torch.where(missing, mean, there)
    kept = ~missing[batch.indices.long()]
    cells = torch.repeat_interleave(batch.indptr.diff())[kept]
    indptr = torch.cat(
        [torch.zeros(1, dtype=torch.int64), torch.bincount(cells, minlength=N_CELLS).cumsum(0)]
    )
    lacking = SparseBatch(indptr, batch.indices[kept], batch.values[kept], None, batch.library, N_GENES)
    torch.testing.assert_close(
        model.encode(lacking, missing), model.encode_dense(filled), rtol=1e-5, atol=1e-5
    )


def test_latent_is_linear_and_of_the_size_asked_for(batch):
    model = build()
    latent = model.encode(batch)
    assert latent.shape == (N_CELLS, 8)
    assert (latent < 0).any()
    assert model.decode(latent).shape == (N_CELLS, 32)


def test_reconstruction_of_counts_is_a_composition(batch):
    share = build(loss="nb").reconstruct(torch.randn(5, 8))
    torch.testing.assert_close(share.sum(dim=1), torch.ones(5))
    assert build().reconstruct(torch.randn(5, 8)).min() < 0


def test_output_can_start_from_the_mean():
    mean = torch.rand(N_GENES)
    plain, counts = build(), build(loss="zinb")
    plain.set_gene_mean(mean, start_output=True)
    counts.set_gene_mean(mean, start_output=True)
    torch.testing.assert_close(plain.output_bias.data, mean)
    torch.testing.assert_close(counts.output_bias.softmax(dim=0), mean.expm1() / mean.expm1().sum())


def test_mean_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match="not finite"):
        build().set_gene_mean(torch.full((N_GENES,), float("nan")))


def test_only_likelihoods_have_a_dispersion_and_only_zinb_has_dropout_logits():
    shapes = {
        loss: {name for name, _ in build(loss=loss).named_parameters()}
        for loss in ("squared_error", "nb", "zinb")
    }
    assert shapes["nb"] - shapes["squared_error"] == {"log_theta"}
    assert shapes["zinb"] - shapes["nb"] == {"dropout_weight", "dropout_bias"}


def test_state_survives_a_round_trip(batch):
    model, other = build().eval(), build().eval()
    model.set_gene_mean(torch.rand(N_GENES))
    other.load_state_dict(model.state_dict())
    missing = torch.ones(N_GENES, dtype=torch.bool)
    assert torch.equal(model.encode(batch, missing), other.encode(batch, missing))


@pytest.mark.parametrize("hidden", [(), (0,), (64, -1)])
def test_hidden_widths_that_cannot_work_are_refused(hidden):
    with pytest.raises(ConfigError, match="hidden"):
        AutoencoderSettings(hidden=hidden)
