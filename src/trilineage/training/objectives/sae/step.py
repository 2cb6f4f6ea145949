"""The step that the training loop is handed: the loss of an autoencoder, or of several, on a minibatch of tokens."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.data.tokens.batches import TokenBatch
from trilineage.models.sae.model import SaeBundle, SparseAutoencoder
from trilineage.models.sparse import Backend
from trilineage.training.loop import Step, StepOutput
from trilineage.training.objectives.sae.loss import sae_loss


def sae_step(*, backend: Backend = "auto") -> Step:
    """Return the step of a `SparseAutoencoder`, or of a `SaeBundle`: the sum of its members' losses.

    Parameters
    ----------
    backend
        Who computes: compiled loops on the CPU, torch operations on any device; the numbers agree to rounding.

    Raises
    ------
    DataError
        (the step) For tokens that are not finite or of another width; the message names a position.
    """

    def step(model: Any, batch: TokenBatch) -> StepOutput:
        members = _members(model)
        members[0].require(batch.tokens, batch.positions)
        losses = [_learn(member, batch.tokens, backend) for member in members]
        return StepOutput(torch.stack(losses).sum(), float(len(batch.tokens)))

    return step


def _learn(model: SparseAutoencoder, tokens: Float[Tensor, "token width"], backend: Backend) -> Tensor:
    found = sae_loss(model, tokens, backend=backend)
    if model.training:
        model.note_(found.counts, found.smallest)
    return found.loss_sum


def _members(model: Any) -> list[SparseAutoencoder]:
    if isinstance(model, SparseAutoencoder):
        return [model]
    if isinstance(model, SaeBundle):
        return list(model.members)
    raise ConfigError(
        "this step trains sparse autoencoders",
        seen=type(model).__name__,
        allowed="SparseAutoencoder, SaeBundle",
    )
