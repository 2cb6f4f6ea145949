"""The autoencoder: genes to a latent and back, its two gene-wide layers open to exact fast paths."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError, DataError
from trilineage.models.layers import BatchNorm1d, RowDropout
from trilineage.models.sparse import Backend, SparseBatch, sparse_matmul


class AutoencoderSettings(Settings):
    """Shape and loss of the autoencoder."""

    hidden: tuple[int, ...] = (256,)
    """Widths between the genes and the latent; the decoder has the same in reverse. At least one."""
    n_latent: int = Field(default=256, ge=1)
    """Size of the latent."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of hidden activations set to 0 in training; the latent itself is never dropped."""
    loss: Literal["squared_error", "nb", "zinb"] = "squared_error"
    """`squared_error` on the normalised (log1p) values; `nb` or `zinb`: negative log-likelihood of raw counts."""
    decoder: Literal["auto", "gram", "dense"] = "auto"
    """How squared error is computed (the numbers are the same): `auto` takes the Gram form where it is faster."""

    @model_validator(mode="after")
    def _require_widths(self) -> "AutoencoderSettings":
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                "the autoencoder needs at least one hidden width",
                seen=f"hidden = {self.hidden}",
                allowed="one or more whole numbers of at least 1",
                remedy="set autoencoder.hidden=256, or several as in autoencoder.hidden=1024,512",
            )
        return self


class ExpressionAutoencoder(nn.Module):
    """Genes -> hidden widths -> latent -> hidden widths -> genes, with BatchNorm, ReLU and dropout at hidden widths.

    The two gene-wide weights are stored (gene, hidden): a gene is a row, so the loops over non-zeros read and write
    whole rows, and no transposed copy is ever made. There is no module for the output layer: losses take
    `output_weight` and `output_bias` and never hold the whole (cell, gene) reconstruction.

    Parameters
    ----------
    n_genes
        Genes of the model.
    settings
        Widths, dropout and loss.
    """

    gene_mean: Tensor
    """Mean normalised value of each gene in training; stands in for genes that a new data set lacks."""

    def __init__(self, n_genes: int, settings: AutoencoderSettings):
        super().__init__()
        self.n_genes = n_genes
        self.settings = settings
        first, last = settings.hidden[0], settings.hidden[0]
        self.input_weight = _uniform(n_genes, first, fan_in=n_genes)
        self.input_head = _activation(first, settings.dropout)
        self.encoder_layers = _hidden_layers(settings.hidden, settings.dropout)
        # No bias: the decoder's batch norm would cancel it, and Adam would turn its rounding noise into steps.
        self.latent_layer = nn.Linear(settings.hidden[-1], settings.n_latent, bias=False)
        self.decoder_layers = _hidden_layers(
            (settings.n_latent, *reversed(settings.hidden)), settings.dropout
        )
        self.output_weight = _uniform(n_genes, last, fan_in=last)
        self.output_bias = nn.Parameter(torch.zeros(n_genes))
        is_counts = settings.loss in ("nb", "zinb")
        self.log_theta = nn.Parameter(torch.zeros(n_genes)) if is_counts else None
        is_inflated = settings.loss == "zinb"
        self.dropout_weight = _uniform(n_genes, last, fan_in=last) if is_inflated else None
        self.dropout_bias = nn.Parameter(torch.zeros(n_genes)) if is_inflated else None
        self.register_buffer("gene_mean", torch.zeros(n_genes))

    def forward(self, batch: SparseBatch) -> Float[Tensor, "cell hidden"]:
        """Return the last hidden layer of the decoder, from which a loss makes the reconstruction."""
        return self.decode(self.encode(batch))

    def encode(
        self, batch: SparseBatch, missing: Bool[Tensor, " gene"] | None = None, *, backend: Backend = "auto"
    ) -> Float[Tensor, "cell latent"]:
        """Return the latent of each cell.

        Parameters
        ----------
        batch
            Cells over the genes of the model.
        missing
            Genes that the data lack: they are taken at their training mean instead of 0.
        backend
            Who computes the first layer.
        """
        pre_activation = sparse_matmul(batch, self.input_weight, backend=backend)
        if missing is not None:
            pre_activation = pre_activation + torch.where(missing, self.gene_mean, 0.0) @ self.input_weight
        return self._finish_encoding(pre_activation)

    def encode_dense(self, values: Float[Tensor, "cell gene"]) -> Float[Tensor, "cell latent"]:
        """Return the latent of normalised values given with their zeros; differentiable, for attributions."""
        return self._finish_encoding(values @ self.input_weight)

    def decode(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell hidden"]:
        """Return the last hidden layer of the decoder."""
        hidden: Tensor = self.decoder_layers(latent)
        return hidden

    def reconstruct(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell gene"]:
        """Return normalised values (squared error) or (nb, zinb) expected shares of the counts, sum 1."""
        output = torch.addmm(self.output_bias, self.decode(latent), self.output_weight.T)
        return output if self.log_theta is None else output.softmax(dim=1)

    @torch.no_grad()
    def set_gene_mean(self, mean: Float[Tensor, " gene"], *, start_output: bool = False) -> None:
        """Remember the training mean of each normalised gene.

        Parameters
        ----------
        mean
            Mean per gene over the training cells, on the scale of `ExpressionBatch.values`.
        start_output
            Also let the reconstruction start from it (before training): the output bias becomes the mean for squared
            error, and the log share of `expm1(mean)` for counts.

        Raises
        ------
        DataError
            If a mean is not finite.
        """
        if not torch.isfinite(mean).all():
            raise DataError("the training mean of a gene is not finite", remedy="check the matrix for NaN")
        self.gene_mean.copy_(mean)
        if start_output:
            share = torch.expm1(mean.clamp(0, 80)).clamp_min(1e-6)
            self.output_bias.copy_(mean if self.log_theta is None else (share / share.sum()).log())

    def _finish_encoding(self, pre_activation: Float[Tensor, "cell hidden"]) -> Float[Tensor, "cell latent"]:
        latent: Tensor = self.latent_layer(self.encoder_layers(self.input_head(pre_activation)))
        return latent


def _uniform(n_genes: int, width: int, *, fan_in: int) -> nn.Parameter:
    """Draw a (gene, hidden) weight as `nn.Linear` does: uniform within one over the square root of its fan-in."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(n_genes, width).uniform_(-bound, bound))


def _hidden_layers(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Chain Linear, BatchNorm, ReLU and dropout over the widths; BatchNorm's shift makes a bias needless."""
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(widths):
        layers += [nn.Linear(d_in, d_out, bias=False), _activation(d_out, dropout)]
    return nn.Sequential(*layers)


def _activation(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(BatchNorm1d(width), nn.ReLU(), RowDropout(dropout))
