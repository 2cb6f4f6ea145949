"""The loss of a sparse autoencoder on a batch and all its gradients, computed together from active pairs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from trilineage.models.layers import sum_over_shares
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.encoding import (
    above,
    encode_largest,
    encode_largest_of_batch,
    preactivation_blocks,
)
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sparse import Backend
from trilineage.training.objectives.sae.auxiliary import Auxiliary, LeftOver, build_auxiliary
from trilineage.training.objectives.sae.crowded import Crowd
from trilineage.training.objectives.sae.gradients import (
    Errors,
    Gradients,
    Prefixes,
    Slope,
    Targets,
    nested_errors,
)

PAIR_BUDGET = 2**24
"""Active pairs that are held at a time where there is no limit per token: 256 MB with their copy sorted by latent."""
CROWDED = 0.15
"""Share of active latents above which products with dense blocks are faster than walking over pairs."""


class SaeLoss(NamedTuple):
    """A loss still to be divided by the number of tokens, and what was active."""

    loss_sum: Float64[Tensor, ""]
    """Sum over tokens."""
    counts: Int64[Tensor, " latent"]
    """Tokens in which each latent was active."""
    smallest: float | None
    """Smallest active value of a batch top-k."""


def sae_loss(
    model: SparseAutoencoder, tokens: Float[Tensor, "token width"], *, backend: Backend = "auto"
) -> SaeLoss:
    """Return the loss of a model on tokens as its settings say, differentiable once in the model's parameters.

    Notes
    -----
    Per token x with reconstructions x_g from the latents of prefix g:

        sum_g c |x_g - x|^2 + sparsity + auxiliary

    with c = 1 / (d |x|) (`norm`; 0 where x is 0), 1 / variance of the tokens (`variance`) or 1 / d (`plain`); sparsity
    is `sparsity` times the sum (`relu`) or number (`jump_relu`) of activations. The JumpReLU's thresholds learn by the
    pseudo-derivatives of Rajamanoharan et al. (2024, arXiv:2407.14435, eq. 11 and 12). Every number is exact: the
    sparse way leaves out only products with 0.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    work = _Work(model, tokens, backend, with_gradient=torch.is_grad_enabled(), names=names)
    loss_sum: Tensor = _SaeLoss.apply(work, *parameters)
    assert work.counts is not None
    return SaeLoss(loss_sum, work.counts, work.smallest)


class _SaeLoss(torch.autograd.Function):
    """The gradient of the mean over tokens is computed beside the loss; backward hands it out."""

    @staticmethod
    def forward(ctx: Any, work: "_Work", *parameters: Tensor) -> Tensor:
        device = parameters[0].device
        with torch.autocast(device.type, enabled=False):
            loss_sum = work.run()
        ctx.work = work
        return torch.tensor(loss_sum, dtype=torch.float64, device=device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        work, ctx.work = ctx.work, None
        factor = float(scale) * work.n_divided_by
        gradients = work.by_name()
        if abs(factor - 1.0) > 1e-9:
            for gradient in gradients.values():
                gradient.mul_(factor)
        return None, *(gradients[name] for name in work.names)


class _Piece(NamedTuple):
    """Some tokens of a batch: their active pairs (and, of a JumpReLU, those just below the threshold), or a crowd."""

    rows: slice
    codes: SparseCodes | None
    block: Float32[Tensor, "token latent"] | None


class _Work:
    """One pass over a batch; afterwards it holds the gradients."""

    def __init__(
        self,
        model: SparseAutoencoder,
        tokens: Float[Tensor, "token width"],
        backend: Backend,
        *,
        with_gradient: bool,
        names: list[str],
    ):
        self.model, self.settings, self.backend, self.names = model, model.settings, backend, names
        self.tokens = tokens.float().contiguous()
        self.n_divided_by = max(1, len(tokens))
        self.with_gradient = with_gradient
        self.gradients: Gradients | None = None
        self.counts: Int64[Tensor, " latent"] | None = None
        self.smallest: float | None = None

    @torch.no_grad()
    def run(self) -> float:
        """Return the sum of the losses; keep gradients, counts and the smallest active value."""
        model = self.model
        self.centred = model.centre(self.tokens)
        self.factors = token_factors(model, self.tokens) / self.n_divided_by
        self.thresholds = None if model.log_threshold is None else model.log_threshold.exp()
        self.prefixes = _prefixes(model)
        self.slope = self._slope()
        self.gradients = Gradients.of(model) if self.with_gradient else None
        self.counts = torch.zeros(model.n_latents, dtype=torch.int64, device=self.tokens.device)
        auxiliary = build_auxiliary(model, backend=self.backend)
        loss = 0.0
        for piece in self._pieces():
            errors = self._learn(piece)
            loss += errors.loss
            if auxiliary is not None:
                loss += self._revive(auxiliary, piece.rows, errors)
        self.counts = sum_over_shares(self.counts.double()).long()
        self._finish()
        return loss * self.n_divided_by

    def by_name(self) -> dict[str, Tensor]:
        """Return the gradients by the names of the parameters."""
        gradients = self.gradients
        assert gradients is not None
        named = {
            "encoder_weight": gradients.encoder,
            "decoder_weight": gradients.decoder,
            "encoder_bias": gradients.biases[0],
            "decoder_bias": gradients.decoder_bias.float(),
        }
        if self.thresholds is not None:
            named["log_threshold"] = gradients.biases[1] * self.thresholds
        return named

    def _slope(self) -> Slope:
        weight = self.settings.sparsity / self.n_divided_by
        if self.thresholds is not None:
            return Slope(0.0, self.thresholds, self.settings.bandwidth, weight)
        return Slope(weight if self.settings.activation == "relu" else 0.0)

    def _pieces(self) -> Iterator[_Piece]:
        """Give the batch in pieces: whole where active pairs are few by rule, else as many tokens as are affordable."""
        everything = slice(0, len(self.tokens))
        if self.settings.activation == "topk":
            codes = encode_largest(self.centred, self.model.encoder, self.settings.k, backend=self.backend)
            yield _Piece(everything, codes, None)
        elif self.settings.activation == "batch_topk":
            codes, self.smallest = encode_largest_of_batch(
                self.centred, self.model.encoder, self.settings.k, backend=self.backend
            )
            yield _Piece(everything, codes, None)
        else:
            yield from self._pieces_above()

    def _pieces_above(self) -> Iterator[_Piece]:
        encoder, start = self.model.encoder, 0
        pending: list[SparseCodes] = []
        bounds = torch.zeros_like(encoder.bias)
        if self.thresholds is not None:
            bounds = self.thresholds - self.settings.bandwidth / 2
        for block in preactivation_blocks(self.centred, encoder.weight):
            at_most = int(CROWDED * block.numel())
            codes = above(block, encoder.bias, bounds, backend=self.backend, at_most=at_most)
            n_pending = sum(part.n_active for part in pending)
            n_tokens = sum(part.n_tokens for part in pending)
            if pending and (codes is None or n_pending + codes.n_active > PAIR_BUDGET):
                yield _Piece(slice(start, start + n_tokens), SparseCodes.concatenate(pending), None)
                start, pending = start + n_tokens, []
            if codes is None:
                yield _Piece(slice(start, start + len(block)), None, block)
                start += len(block)
            else:
                pending.append(codes)
        if pending:
            yield _Piece(slice(start, len(self.tokens)), SparseCodes.concatenate(pending), None)

    def _learn(self, piece: _Piece) -> Errors:
        """Return the errors of a piece, the loss of its sparsity with them; add its gradients and counts."""
        start = self.model.decoder_bias.detach()
        targets = Targets(self.tokens[piece.rows], start, self.factors[piece.rows])
        if piece.codes is None:
            assert piece.block is not None
            crowd = Crowd(self.model, piece.block, self.slope)
            errors = crowd.learn(targets, self.centred[piece.rows], self.prefixes, self.gradients)
            active, amount = crowd.counts, crowd.amount
        else:
            active_codes = self._active(piece.codes)
            errors = self._learn_pairs(piece, active_codes, targets)
            latents = active_codes.latents[active_codes.values > 0].long()
            active = torch.bincount(latents, minlength=self.model.n_latents)
            amount = float(active_codes.values.double().sum())
        assert self.counts is not None
        self.counts += active
        if self.gradients is not None:
            self.gradients.decoder_bias += errors.gradients[0].sum(dim=0, dtype=torch.float64)
        penalty = self.slope.penalty * amount + self.slope.per_active * float(active.sum())
        return errors._replace(loss=errors.loss + penalty)

    def _learn_pairs(self, piece: _Piece, active: SparseCodes, targets: Targets) -> Errors:
        assert piece.codes is not None
        weight = self.model.decoder_weight.detach()
        errors = nested_errors(active, weight, targets, self.prefixes, backend=self.backend)
        if self.gradients is not None:
            self.gradients.add_pairs(
                piece.codes.by_latent(),
                errors.gradients,
                self.centred[piece.rows],
                spans=self.prefixes.spans,
                slope=self.slope,
                backend=self.backend,
            )
        return errors

    def _active(self, codes: SparseCodes) -> SparseCodes:
        """Return codes in which pre-activations that only move a threshold are 0."""
        if self.thresholds is None:
            return codes
        is_active = codes.values > self.thresholds[codes.latents.long()]
        return SparseCodes(codes.indptr, codes.latents, codes.values * is_active, codes.n_latents)

    def _revive(self, auxiliary: Auxiliary, rows: slice, errors: Errors) -> float:
        """Let dead latents learn from what the largest reconstruction of a piece left over."""
        factors = self.factors[rows]
        slope = 2 * factors[:, None] * self.prefixes.weights[-1]
        residual = torch.where(slope > 0, -errors.gradients[-1] / slope, 0.0)
        return auxiliary.add(LeftOver(residual, self.centred[rows], factors), self.gradients)

    def _finish(self) -> None:
        """Add what reaches the decoder bias through the encoder."""
        if self.gradients is not None:
            self.gradients.cleared()
            through = self.gradients.biases[0] @ self.model.encoder.weight
            self.gradients.decoder_bias -= through


def token_factors(
    model: SparseAutoencoder, tokens: Float32[Tensor, "token width"]
) -> Float32[Tensor, " token"]:
    """Return what the squared error of each token is multiplied by."""
    match model.settings.error_scale:
        case "norm":
            norms = torch.linalg.vector_norm(tokens, dim=1)
            return torch.where(norms > 0, 1.0 / (model.width * norms), 0.0)
        case "variance":
            return (1.0 / model.token_variance).expand(len(tokens)).contiguous()
        case _:
            return tokens.new_full((len(tokens),), 1.0 / model.width)


def _prefixes(model: SparseAutoencoder) -> Prefixes:
    ends = model.settings.prefix_ends(model.n_latents)
    return Prefixes(ends, (1.0,) * len(ends))
