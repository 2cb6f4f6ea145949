"""Gradients of an autoencoder's weights, filled by active pairs: one row per latent, nothing per token and latent."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn import functional as F

from trilineage.models.sae.codes import ByLatent, SparseCodes
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sparse import Backend, choose_backend, empty, use_torch_threads
from trilineage.training.objectives.sae import gradient_kernels

_PAIR_CHUNK = 2**14
"""Pairs whose rows the torch path gathers at a time (50 MB at width 768)."""


class Prefixes(NamedTuple):
    """Nested reconstructions: the first `ends[g]` latents make reconstruction g, whose error weighs `weights[g]`."""

    ends: tuple[int, ...]
    """Rising; the last is the number of latents."""
    weights: tuple[float, ...]
    """One per prefix."""

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First latent and end of what each prefix has beyond the one before."""
        return list(zip((0, *self.ends), self.ends, strict=False))


class Slope(NamedTuple):
    """What the loss asks of activations themselves."""

    penalty: float = 0.0
    """Slope of the loss in the sum of activations (L1)."""
    thresholds: Float[Tensor, " latent"] | None = None
    """Thresholds of a JumpReLU."""
    bandwidth: float = 1.0
    """Window around a threshold."""
    per_active: float = 0.0
    """Slope of the loss in the number of active latents (JumpReLU)."""


class Targets(NamedTuple):
    """What tokens are to be reconstructed."""

    tokens: Float32[Tensor, "token width"]
    """Targets."""
    start: Float32[Tensor, " width"]
    """What each reconstruction begins with."""
    factors: Float32[Tensor, " token"]
    """What the squared error of each token is multiplied by."""


class Errors(NamedTuple):
    """Squared errors of nested reconstructions."""

    gradients: Float32[Tensor, "prefix token width"]
    """For each prefix, the sum of the gradients at its reconstruction and all larger ones."""
    loss: float
    """Sum over prefixes and tokens."""


@torch.no_grad()
def nested_errors(
    codes: SparseCodes,
    weight: Float[Tensor, "latent width"],
    targets: Targets,
    prefixes: Prefixes,
    *,
    backend: Backend = "auto",
) -> Errors:
    """Return the squared errors of the nested reconstructions that codes make, and their gradients."""
    if choose_backend(backend, weight.device) == "torch":
        parts = [_partial(codes, weight, *span) for span in prefixes.spans]
        return errors_of_parts(parts, targets, prefixes)
    n_tokens, width = targets.tokens.shape
    gradients = empty(len(prefixes.ends) * n_tokens, width).view(len(prefixes.ends), n_tokens, width)
    losses = np.empty(n_tokens)
    use_torch_threads()
    gradient_kernels.nested_errors(
        codes.indptr.numpy(),
        codes.latents.numpy(),
        codes.values.numpy(),
        weight.numpy(),
        targets.start.numpy(),
        targets.tokens.numpy(),
        targets.factors.numpy(),
        np.array(prefixes.ends),
        np.array(prefixes.weights, np.float32),
        gradients.numpy(),
        losses,
    )
    return Errors(gradients, float(losses.sum()))


def errors_of_parts(
    parts: list[Float[Tensor, "token width"]], targets: Targets, prefixes: Prefixes
) -> Errors:
    """Return the same from what each prefix adds to the reconstruction."""
    sums, loss = targets.start.expand_as(targets.tokens), 0.0
    gradients = []
    for part, prefix_weight in zip(parts, prefixes.weights, strict=True):
        sums = sums + part
        difference = sums - targets.tokens
        scale = (targets.factors * prefix_weight)[:, None]
        loss += float((difference.double().square().sum(dim=1, keepdim=True) * scale).sum())
        gradients.append(2 * scale * difference)
    for prefix in range(len(parts) - 2, -1, -1):
        gradients[prefix] += gradients[prefix + 1]
    return Errors(torch.stack(gradients), loss)


def _partial(
    codes: SparseCodes, weight: Float[Tensor, "latent width"], first: int, end: int
) -> Float[Tensor, "token width"]:
    """Return what the latents from `first` to `end` add to each token."""
    if not codes.n_active:
        return weight.new_zeros(codes.n_tokens, weight.shape[1])
    is_in = (codes.latents >= first) & (codes.latents < end)
    return F.embedding_bag(
        codes.latents.long(),
        weight,
        codes.indptr,
        mode="sum",
        per_sample_weights=codes.values * is_in,
        include_last_offset=True,
    )


@dataclass
class Gradients:
    """Gradients under construction; contributions are added in the order in which they come."""

    encoder: Float32[Tensor, "latent width"]
    """Of the encoder weight."""
    decoder: Float32[Tensor, "latent width"]
    """Of the decoder weight, the part along each row removed if rows are held at norm 1."""
    biases: Float32[Tensor, "2 latent"]
    """Of the encoder bias and of the thresholds."""
    decoder_bias: Float64[Tensor, " width"]
    """Of the decoder bias where it is added; what reaches it through the encoder is added at the end."""
    weight: Float[Tensor, "latent width"]
    """The decoder weight."""
    is_projected: bool
    """Whether rows are held at norm 1."""
    is_empty: bool = True
    """Whether nothing was written yet: the memory is not even zero."""

    @classmethod
    def of(cls, model: SparseAutoencoder) -> "Gradients":
        """Return gradients in which nothing is written."""
        weight = model.decoder_weight.detach()
        n_latents, width = weight.shape
        on_cpu = weight.device.type == "cpu"
        encoder, decoder = (empty(n_latents, width) if on_cpu else torch.empty_like(weight) for _ in range(2))
        biases = weight.new_empty(2, n_latents)
        decoder_bias = weight.new_zeros(width, dtype=torch.float64)
        return cls(encoder, decoder, biases, decoder_bias, weight, model.settings.unit_norm)

    def cleared(self) -> None:
        """Make everything that was not written yet 0."""
        if self.is_empty:
            for tensor in (self.encoder, self.decoder, self.biases):
                tensor.zero_()
            self.is_empty = False

    def add_pairs(
        self,
        pairs: ByLatent,
        errors: Float32[Tensor, "prefix token width"],
        inputs: Float32[Tensor, "token width"],
        *,
        spans: list[tuple[int, int]],
        slope: Slope,
        backend: Backend = "auto",
    ) -> None:
        """Add what active pairs contribute, each span of latents with the errors of its prefix."""
        if choose_backend(backend, self.weight.device) == "torch":
            self.cleared()
            for (first, end), error in zip(spans, errors, strict=True):
                self._add_by_torch(_within(pairs, first, end), error, inputs, first, slope)
            return
        use_torch_threads()
        thresholds = np.empty(0, np.float32) if slope.thresholds is None else slope.thresholds.numpy()
        jump = (thresholds, np.float32(slope.bandwidth), np.float32(slope.per_active))
        for (first, end), error in zip(spans, errors, strict=True):
            gradient_kernels.gradient_rows(
                pairs.starts[first : end + 1].numpy(),
                pairs.tokens.numpy(),
                pairs.values.numpy(),
                first,
                error.numpy(),
                inputs.numpy(),
                self.weight.numpy(),
                jump,
                np.float32(slope.penalty),
                self.is_empty,
                self.is_projected,
                (self.encoder.numpy(), self.decoder.numpy()),
                self.biases.numpy(),
            )
        self.is_empty = False

    def _add_by_torch(self, pairs: ByLatent, error: Tensor, inputs: Tensor, first: int, slope: Slope) -> None:
        """Add the pairs of one span, their starts beginning with 0."""
        if not len(pairs.values):
            return
        rows = slice(first, first + len(pairs.starts) - 1)
        latents = torch.repeat_interleave(
            torch.arange(rows.start, rows.stop, device=error.device), pairs.counts
        )
        slopes, heights = self._slopes(latents, pairs, error) + slope.penalty, pairs.values
        if slope.thresholds is not None:
            theta = slope.thresholds[latents]
            is_near = (heights - theta).abs() < slope.bandwidth / 2
            moves = -(theta.double() * slopes + slope.per_active) / slope.bandwidth * is_near
            self.biases[1].index_add_(0, latents, moves.float())
            is_active = heights > theta
            slopes, heights = slopes * is_active, heights * is_active
        self.decoder[rows] += self.projected(_bags(pairs, error, heights), rows)
        self.encoder[rows] += _bags(pairs, inputs, slopes)
        self.biases[0].index_add_(0, latents, slopes)

    def _slopes(self, latents: Tensor, pairs: ByLatent, error: Tensor) -> Float32[Tensor, " active"]:
        """Return the product of the error of each pair's token and the decoder row of its latent."""
        parts = zip(latents.split(_PAIR_CHUNK), pairs.tokens.split(_PAIR_CHUNK), strict=True)
        return torch.cat([(error[tokens.long()] * self.weight[rows]).sum(dim=1) for rows, tokens in parts])

    def projected(self, rows: Float[Tensor, "row width"], places: slice | Tensor) -> Tensor:
        """Return decoder gradients without the part along their decoder rows, if these are held at norm 1."""
        if not self.is_projected:
            return rows
        directions = self.weight[places]
        along = (rows * directions).sum(dim=1, keepdim=True)
        return rows - along / directions.square().sum(dim=1, keepdim=True).clamp_min(1e-30) * directions


def _within(pairs: ByLatent, first: int, end: int) -> ByLatent:
    """Return the pairs of the latents from `first` to `end`, their starts beginning with 0."""
    starts = pairs.starts[first : end + 1]
    here = slice(int(starts[0]), int(starts[-1]))
    return ByLatent(starts - starts[0], pairs.tokens[here], pairs.values[here])


def _bags(pairs: ByLatent, rows: Tensor, factors: Tensor) -> Tensor:
    """Return for each latent the sum of the rows of its tokens, each times its factor."""
    return F.embedding_bag(
        pairs.tokens.long(),
        rows,
        pairs.starts,
        mode="sum",
        per_sample_weights=factors.to(rows.dtype),
        include_last_offset=True,
    )
