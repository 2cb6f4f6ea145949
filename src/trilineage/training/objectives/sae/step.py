"""The step that the training loop is handed, and minibatches of tokens held in memory or in a memory-mapped file."""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.core.seeding import generator
from trilineage.models.sae.model import SaeBundle, SparseAutoencoder
from trilineage.models.sparse import Backend
from trilineage.training.loop import Step, StepOutput
from trilineage.training.objectives.sae.loss import sae_loss


class TokenBatch(NamedTuple):
    """Tokens of one update."""

    tokens: Float[Tensor, "token width"]
    """Tokens."""
    positions: Int64[Tensor, " token"]
    """Where they are among all tokens, for messages."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        return type(self)(self.tokens.to(device), self.positions)


class TokenBatches:
    """Minibatches over tokens in memory, or in a file mapped to it, in an order of seed and epoch alone.

    Parameters
    ----------
    tokens
        One row per token, float32 or float16.
    """

    def __init__(self, tokens: Float[np.ndarray, "token width"]):
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " token"]:
        """Return the tokens in the order of this epoch."""
        return generator(seed, "token batches", epoch).permutation(len(self))

    def take(self, positions: Int[np.ndarray, " batch"]) -> TokenBatch:
        """Return the minibatch of these tokens, in single precision."""
        rows = np.asarray(self.tokens[positions], dtype=np.float32)
        return TokenBatch(torch.from_numpy(rows), torch.from_numpy(positions.astype(np.int64)))


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
