"""Sparse codes: which latents are active in which token and how strongly, without the zeros."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from trilineage.models import sparse_kernels
from trilineage.models.sparse import use_torch_threads


class ByLatent(NamedTuple):
    """The same pairs sorted by latent, then token: what the gradient of a latent's rows walks over."""

    starts: Int64[Tensor, " latent_plus_1"]
    """Start of each latent in the two tensors below, and the end of the last."""
    tokens: Int32[Tensor, " active"]
    """Token of each pair."""
    values: Float32[Tensor, " active"]
    """Value of each pair."""

    @property
    def counts(self) -> Int64[Tensor, " latent"]:
        """Number of pairs of each latent."""
        return self.starts.diff()


@dataclass(frozen=True)
class SparseCodes:
    """Active latents of tokens as compressed sparse rows."""

    indptr: Int64[Tensor, " token_plus_1"]
    """Start of each token in `latents` and `values`, and the end of the last; begins with 0."""
    latents: Int32[Tensor, " active"]
    """Latent of each value, ascending within a token."""
    values: Float32[Tensor, " active"]
    """Activations, above 0 (of a JumpReLU in training: pre-activations from just below the threshold on)."""
    n_latents: int
    """Latents there are."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return len(self.indptr) - 1

    @property
    def n_active(self) -> int:
        """Number of active (token, latent) pairs."""
        return len(self.values)

    @property
    def tokens(self) -> Int64[Tensor, " active"]:
        """Token of each value."""
        counts = self.indptr.diff()
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)

    def dense(self) -> Float32[Tensor, "token latent"]:
        """Return the codes with their zeros; for small numbers of tokens."""
        dense = self.values.new_zeros(self.n_tokens, self.n_latents)
        dense[self.tokens, self.latents.long()] = self.values
        return dense

    def by_latent(self) -> ByLatent:
        """Return the pairs sorted by latent."""
        if self.values.device.type == "cpu":
            return self._by_latent_compiled()
        order = torch.argsort(self.latents, stable=True)
        counts = torch.bincount(self.latents.long(), minlength=self.n_latents)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return ByLatent(starts, self.tokens[order].int(), self.values[order])

    def _by_latent_compiled(self) -> ByLatent:
        pairs = np.empty(self.n_active, np.int64)
        bits = self.values.numpy().view(np.uint32)
        n_parts = use_torch_threads()
        starts = sparse_kernels.transpose(
            self.indptr.numpy(), self.latents.numpy(), bits, self.n_latents, n_parts, pairs
        )
        low = 0 if np.little_endian else 1
        tokens, values = pairs.view(np.int32)[1 - low :: 2], pairs.view(np.float32)[low::2]
        return ByLatent(torch.from_numpy(starts), torch.from_numpy(tokens), torch.from_numpy(values))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the codes of several groups of tokens, one after the other."""
        if len(parts) == 1:
            return parts[0]
        ends = torch.cat([part.indptr[1:] - part.indptr[:-1] for part in parts]).cumsum(0)
        indptr = torch.cat([ends.new_zeros(1), ends])
        latents = torch.cat([part.latents for part in parts])
        return cls(indptr, latents, torch.cat([part.values for part in parts]), parts[0].n_latents)

    @classmethod
    def from_rows(
        cls, values: Float[Tensor, "token k"], latents: Int64[Tensor, "token k"], n_latents: int
    ) -> Self:
        """Return codes of as many candidates per token as there are columns, those above 0 kept."""
        latents, order = latents.sort(dim=1)
        values = values.gather(1, order).float()
        is_active = values > 0
        ends = is_active.sum(dim=1).cumsum(0)
        indptr = torch.cat([ends.new_zeros(1), ends])
        return cls(indptr, latents[is_active].int(), values[is_active], n_latents)
