"""What revives dead latents: they reconstruct what is left over (AuxK), or receive ghost gradients."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.encoding import Encoder, encode_largest
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sparse import Backend
from trilineage.training.objectives.sae.gradients import Gradients, Prefixes, Slope, Targets, nested_errors

GHOST_EPS = 1e-6
"""As in the published code, in both quotients. So small a number makes the gradient of an element that is almost
reconstructed depend on the last bits of single precision."""
_BLOCK = 2**24
"""Elements of a (token, dead latent) block held at a time (64 MB)."""


class LeftOver(NamedTuple):
    """What the living latents left over of some tokens."""

    residual: Float32[Tensor, "token width"]
    """Tokens minus their reconstruction; no gradient passes."""
    centred: Float32[Tensor, "token width"]
    """What the encoder sees."""
    factors: Float32[Tensor, " token"]
    """What the squared error of each token is multiplied by."""

    def split(self, step: int) -> Iterator["LeftOver"]:
        """Give the tokens in blocks of at most so many."""
        return map(LeftOver, *(part.split(step) for part in self))


@runtime_checkable
class Auxiliary(Protocol):
    """A loss of the dead latents on what the others left over."""

    def add(self, left: LeftOver, gradients: Gradients | None) -> float:
        """Return the loss of some tokens and add its gradient; without `gradients` compute only the loss."""
        ...


def build_auxiliary(model: SparseAutoencoder, *, backend: Backend = "auto") -> Auxiliary | None:
    """Return the auxiliary loss of a model's settings, or None if it has none or no latent is dead."""
    if model.settings.auxiliary == "none":
        return None
    dead = model.dead()
    if not len(dead):
        return None
    return AuxK(model, dead, backend) if model.settings.auxiliary == "auxk" else Ghost(model, dead)


class AuxK:
    """The k_aux largest dead latents of a token reconstruct its residual (Gao et al. 2024, arXiv:2406.04093, A.2).

    Loss: `auxiliary_weight` times the squared error, on the scale of the main loss; no decoder bias.
    """

    def __init__(self, model: SparseAutoencoder, dead: Int64[Tensor, " dead"], backend: Backend):
        self.model, self.dead, self.backend = model, dead, backend
        self.encoder = _encoder_of(model, dead)
        self.prefixes = Prefixes((model.n_latents,), (model.settings.auxiliary_weight,))

    def add(self, left: LeftOver, gradients: Gradients | None) -> float:
        """Return the loss of some tokens and add its gradient."""
        model = self.model
        k = model.settings.n_auxiliary(model.width)
        among = encode_largest(left.centred, self.encoder, k, backend=self.backend)
        latents = self.dead[among.latents.long()].int()
        codes = SparseCodes(among.indptr, latents, among.values, model.n_latents)
        targets = Targets(left.residual, left.residual.new_zeros(model.width), left.factors)
        weight = model.decoder_weight.detach()
        errors = nested_errors(codes, weight, targets, self.prefixes, backend=self.backend)
        if gradients is not None:
            pairs, spans = codes.by_latent(), self.prefixes.spans
            gradients.add_pairs(
                pairs, errors.gradients, left.centred, spans=spans, slope=Slope(), backend=self.backend
            )
        return errors.loss


class Ghost:
    """Ghost gradients to the formula of the published CytoSAE code (after Jermyn and Templeton 2024).

    With r the residual of a token x, the ghost reconstruction is g = exp(z_dead) W_dead, scaled to half the norm of
    r: g |r| / (2 |g| + 1e-6), the scale taken as constant. Element i of a token adds m_i q_i / (q_i + 1e-6), the
    factor m_i / (q_i + 1e-6) taken as constant, where m_i is the element's main loss and q_i = (g_i - r_i)^2 / |r|.
    """

    def __init__(self, model: SparseAutoencoder, dead: Int64[Tensor, " dead"]):
        self.model, self.dead = model, dead
        self.encoder = _encoder_of(model, dead)
        self.directions = model.decoder_weight.detach()[dead]

    def add(self, left: LeftOver, gradients: Gradients | None) -> float:
        """Return the loss of some tokens and add its gradient."""
        step = max(1, _BLOCK // len(self.dead))
        return sum(self._add_block(part, gradients) for part in left.split(step))

    def _add_block(self, left: LeftOver, gradients: Gradients | None) -> float:
        residual, centred, factors = left
        waking = torch.addmm(self.encoder.bias, centred, self.encoder.weight.T).float().exp_()
        raw = (waking @ self.directions).float()
        norm = torch.linalg.vector_norm(residual, dim=1, keepdim=True)
        scale = norm / (2 * torch.linalg.vector_norm(raw, dim=1, keepdim=True) + GHOST_EPS)
        distance = raw * scale - residual
        relative = distance.square() / norm.clamp_min(1e-30)
        constant = residual.square() * factors[:, None] / (relative + GHOST_EPS)
        if gradients is not None:
            error = 2 * constant * distance / norm.clamp_min(1e-30) * scale
            self._add_gradients(gradients, waking, error, centred)
        return float((constant * relative).double().sum())

    def _add_gradients(self, gradients: Gradients, waking: Tensor, error: Tensor, centred: Tensor) -> None:
        gradients.cleared()
        rows = gradients.projected(waking.T @ error, self.dead)
        gradients.decoder.index_add_(0, self.dead, rows)
        slopes = waking.mul_(error @ self.directions.T)
        gradients.encoder.index_add_(0, self.dead, slopes.T @ centred)
        gradients.biases[0].index_add_(0, self.dead, slopes.sum(dim=0))


def _encoder_of(model: SparseAutoencoder, dead: Int64[Tensor, " dead"]) -> Encoder:
    """Return the encoder of the dead latents alone."""
    return Encoder(model.encoder.weight[dead], model.encoder.bias[dead])
