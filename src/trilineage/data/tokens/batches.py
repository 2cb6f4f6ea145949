"""Minibatches of tokens for the training loop, from memory, in an order of seed and epoch alone."""

from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from trilineage.core.seeding import generator


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
