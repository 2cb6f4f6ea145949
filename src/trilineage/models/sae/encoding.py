"""Tokens to sparse codes, exactly and a few tokens at a time: no (token, latent) matrix is ever held whole."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from trilineage.models.layers import sum_over_shares
from trilineage.models.sae import encoding_kernels
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.products import multiply_into
from trilineage.models.sparse import Backend, choose_backend, use_torch_threads

TOKEN_CHUNK = 256
"""Tokens whose pre-activations of all latents are held at a time (50 MB at 49,152 latents)."""
TOKEN_TILE, LATENT_TILE = 1024, 2048
"""Pre-activations that are made and searched at a time where only the largest are wanted: 8 MB, which caches hold."""
_SPARE = 96
"""Candidates beyond k that a token may hold before they are sorted out."""
_ROOM = 64
"""Values above their bounds that a token may have, beside an eighth of all, before its row is walked twice."""


class Encoder(NamedTuple):
    """What makes pre-activations from centred tokens: tokens @ weight.T + bias."""

    weight: Float[Tensor, "latent width"]
    """One row per latent."""
    bias: Float[Tensor, " latent"]
    """One value per latent."""


@torch.no_grad()
def encode_largest(
    centred: Float[Tensor, "token width"], encoder: Encoder, k: int, *, backend: Backend = "auto"
) -> SparseCodes:
    """Return the k largest pre-activations of each token, those above 0 kept (Gao et al. 2024, eq. 4, with a ReLU).

    Parameters
    ----------
    centred
        Tokens minus the decoder bias.
    encoder
        Weight and bias.
    k
        Largest number of active latents per token.
    backend
        Who searches; the numbers are the same, but for which of two equal values is taken.
    """
    k = min(k, len(encoder.bias))
    if choose_backend(backend, centred.device) == "torch":
        return _largest_by_torch(centred, encoder, k)
    weight, bias = encoder.weight.detach(), encoder.bias.detach().numpy()
    n_tokens, n_latents = len(centred), len(bias)
    candidates = _Candidates(n_tokens, k)
    use_torch_threads()
    tile = torch.empty(min(TOKEN_TILE, n_tokens) * min(LATENT_TILE, n_latents))
    for start in range(0, n_tokens, TOKEN_TILE):
        rows = slice(start, min(start + TOKEN_TILE, n_tokens))
        for first in range(0, n_latents, LATENT_TILE):
            part = weight[first : first + LATENT_TILE]
            out = tile[: (rows.stop - start) * len(part)].view(rows.stop - start, len(part))
            multiply_into(out, centred[rows], part)
            candidates.scan(out, bias[first : first + LATENT_TILE], first, rows)
    return candidates.codes(n_latents)


class _Candidates:
    """The largest values seen so far of each token; fills up while tiles are scanned."""

    def __init__(self, n_tokens: int, k: int):
        self.k = k
        self.sizes = np.zeros(n_tokens, np.int32)
        self.thresholds = np.zeros(n_tokens, np.float32)
        capacity = max(2 * k, k + _SPARE)
        self.values = np.empty((n_tokens, capacity), np.float32)
        self.latents = np.empty((n_tokens, capacity), np.int32)

    def scan(
        self, tile: Float32[Tensor, "_ _"], bias: Float32[np.ndarray, " _"], first: int, rows: slice
    ) -> None:
        encoding_kernels.scan_tile(
            tile.numpy(),
            bias,
            first,
            self.k,
            self.sizes[rows],
            self.thresholds[rows],
            self.values[rows],
            self.latents[rows],
        )

    def codes(self, n_latents: int) -> SparseCodes:
        encoding_kernels.settle(self.k, self.sizes, self.values, self.latents)
        indptr = np.zeros(len(self.sizes) + 1, np.int64)
        np.cumsum(self.sizes, out=indptr[1:])
        values, latents = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.int32)
        encoding_kernels.write_rows(indptr, self.sizes, self.values, self.latents, values, latents)
        return SparseCodes(
            torch.from_numpy(indptr), torch.from_numpy(latents), torch.from_numpy(values), n_latents
        )


def _largest_by_torch(centred: Float[Tensor, "token width"], encoder: Encoder, k: int) -> SparseCodes:
    parts = []
    for block in preactivation_blocks(centred, encoder.weight):
        values, latents = block.add_(encoder.bias).topk(k, dim=1, sorted=False)
        parts.append(SparseCodes.from_rows(values, latents, len(encoder.bias)))
    return SparseCodes.concatenate(parts) if parts else _nothing(encoder)


@torch.no_grad()
def encode_above(
    centred: Float[Tensor, "token width"],
    encoder: Encoder,
    bounds: Float[Tensor, " latent"],
    *,
    backend: Backend = "auto",
) -> SparseCodes:
    """Return the pre-activations of each token that exceed the bound of their latent (0 for a ReLU)."""
    blocks = preactivation_blocks(centred, encoder.weight)
    given = (above(block, encoder.bias, bounds, backend=backend) for block in blocks)
    parts = [part for part in given if part is not None]
    return SparseCodes.concatenate(parts) if parts else _nothing(encoder)


def above(
    block: Float[Tensor, "token latent"],
    bias: Float[Tensor, " latent"],
    bounds: Float[Tensor, " latent"],
    *,
    backend: Backend = "auto",
    at_most: int | None = None,
) -> SparseCodes | None:
    """Return what exceeds the bounds in a block of pre-activations that lack the bias, or None if that is a crowd.

    Parameters
    ----------
    block
        Pre-activations without the bias.
    bias
        What is added to them.
    bounds
        What they must exceed.
    backend
        Who searches.
    at_most
        More values than this are not gathered.
    """
    if choose_backend(backend, block.device) == "torch":
        return _above_by_torch(block, bias, bounds, at_most)
    use_torch_threads()
    arrays = block.numpy(), bias.detach().numpy(), bounds.detach().numpy()
    capacity = min(len(bias), _ROOM + len(bias) // 8)
    shape, counts = (len(block), capacity), np.empty(len(block), np.int32)
    found = np.empty(shape, np.float32), np.empty(shape, np.int32)
    encoding_kernels.find_above(*arrays, counts, *found)
    indptr = np.zeros(len(block) + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    if at_most is not None and indptr[-1] > at_most:
        return None
    values, latents = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.int32)
    encoding_kernels.write_above(*arrays, indptr, *found, values, latents)
    starts, places, heights = (torch.from_numpy(array) for array in (indptr, latents, values))
    return SparseCodes(starts, places, heights, len(bias))


def _above_by_torch(
    block: Float[Tensor, "token latent"],
    bias: Float[Tensor, " latent"],
    bounds: Float[Tensor, " latent"],
    at_most: int | None,
) -> SparseCodes | None:
    values = block + bias
    is_active = values > bounds
    ends = is_active.sum(dim=1).cumsum(0)
    if at_most is not None and len(ends) and int(ends[-1]) > at_most:
        return None
    latents = is_active.nonzero()[:, 1].int()
    return SparseCodes(torch.cat([ends.new_zeros(1), ends]), latents, values[is_active].float(), len(bias))


@torch.no_grad()
def encode_largest_of_batch(
    centred: Float[Tensor, "token width"], encoder: Encoder, k: int, *, backend: Backend = "auto"
) -> tuple[SparseCodes, float]:
    """Return the k times as many largest pre-activations as there are tokens, and the smallest of them.

    Batch top-k (Bussmann et al. 2024, arXiv:2412.06410, eq. 4), over the tokens of all processes that share a batch.
    Values equal to the smallest are all kept. Each token first gives its 4 k largest; where all of these are in, more
    might be, and its row is made again.
    """
    n_most = min(4 * k, len(encoder.bias))
    codes = encode_largest(centred, encoder, n_most, backend=backend)
    n_wanted = k * int(sum_over_shares(torch.tensor(float(len(centred)), dtype=torch.float64)))
    smallest = nth_largest(codes.values, n_wanted)
    may_lack = _full_rows(codes, n_most, smallest)
    if bool(sum_over_shares(may_lack.sum().double())):
        codes = _remade(codes, may_lack, smallest, _Remaking(centred, encoder, backend))
        smallest = nth_largest(codes.values, n_wanted)
    return _at_least(codes, smallest), smallest


def nth_largest(values: Float32[Tensor, " active"], n: int) -> float:
    """Return the n-th largest of values above 0, over all processes that share a batch; 0 if there are fewer.

    The order of positive floats is that of their bits, so 31 counts find it, and only counts travel.
    """
    bits, found = values.view(torch.int32), 0
    for place in range(30, -1, -1):
        tried = found | (1 << place)
        if int(sum_over_shares((bits >= tried).sum().double())) >= n:
            found = tried
    return float(torch.tensor(found, dtype=torch.int32).view(torch.float32))


class _Remaking(NamedTuple):
    """What rows are made again from."""

    centred: Float[Tensor, "token width"]
    encoder: Encoder
    backend: Backend


def _full_rows(codes: SparseCodes, n_most: int, smallest: float) -> Bool[Tensor, " token"]:
    """Tell which tokens gave as many candidates as they could, all of them large enough."""
    counts = codes.indptr.diff()
    n_large = torch.zeros_like(counts).index_add_(
        0, codes.tokens, (codes.values >= smallest).to(counts.dtype)
    )
    return (n_large == n_most) & (n_most < codes.n_latents)


def _remade(
    codes: SparseCodes, may_lack: Bool[Tensor, " token"], smallest: float, source: _Remaking
) -> SparseCodes:
    """Replace the rows that may lack something by all of their pre-activations from `smallest` on."""
    just_below = torch.tensor(smallest).nextafter(torch.tensor(-1.0))
    bounds = torch.full_like(source.encoder.bias, max(0.0, float(just_below)))
    more = encode_above(source.centred[may_lack], source.encoder, bounds, backend=source.backend)
    keeps = ~may_lack[codes.tokens]
    tokens = torch.cat([codes.tokens[keeps], may_lack.nonzero()[:, 0][more.tokens]])
    order = torch.argsort(tokens, stable=True)
    latents = torch.cat([codes.latents[keeps], more.latents])[order]
    return _rows(tokens[order], latents, torch.cat([codes.values[keeps], more.values])[order], codes)


def _at_least(codes: SparseCodes, smallest: float) -> SparseCodes:
    keeps = codes.values >= smallest
    return _rows(codes.tokens[keeps], codes.latents[keeps], codes.values[keeps], codes)


def _rows(
    tokens: Int64[Tensor, " active"], latents: Tensor, values: Tensor, like: SparseCodes
) -> SparseCodes:
    """Compress pairs that are sorted by token."""
    ends = torch.bincount(tokens, minlength=like.n_tokens).cumsum(0)
    return SparseCodes(torch.cat([ends.new_zeros(1), ends]), latents, values, like.n_latents)


def preactivation_blocks(
    centred: Float[Tensor, "token width"], weight: Float[Tensor, "latent width"]
) -> Iterator[Float[Tensor, "chunk latent"]]:
    """Give tokens @ weight.T a chunk of tokens at a time; each block takes the place of the one before it."""
    weight = weight.detach()
    if centred.device.type != "cpu":
        for start in range(0, len(centred), TOKEN_CHUNK):
            yield (centred[start : start + TOKEN_CHUNK] @ weight.T).float()
        return
    buffer = torch.empty(min(TOKEN_CHUNK, len(centred)), len(weight))
    for start in range(0, len(centred), TOKEN_CHUNK):
        rows = centred[start : start + TOKEN_CHUNK]
        block = buffer[: len(rows)]
        multiply_into(block, rows, weight)
        yield block


def _nothing(encoder: Encoder) -> SparseCodes:
    """Return the codes of no token."""
    empty = encoder.bias.detach().new_zeros(0)
    return SparseCodes(empty.new_zeros(1, dtype=torch.int64), empty.int(), empty, len(encoder.bias))
