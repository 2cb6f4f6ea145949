"""Minibatches of tokens for the training loop, from memory or from any reader, in an order of seed and epoch alone."""

from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

from trilineage.core.errors import DataError
from trilineage.core.seeding import generator
from trilineage.data.tokens.outliers import is_ordinary, norm_bounds
from trilineage.data.tokens.reader import TokenNorms, TokenReader
from trilineage.data.tokens.settings import OutlierSettings

_SAMPLE_IMAGES = 256
"""Fewest images that a sample of tokens comes from, if there are so many."""

_SAMPLE_SPREAD = 4
"""Tokens of the images of a sample, for each that is drawn."""


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


class ShuffledTokens:
    """Minibatches of the tokens of many images: read in sequential chunks, mixed inside a buffer of several chunks.

    A position is that of a token among all tokens of the reader: image times tokens per image, plus token. The order
    takes chunks of images in random order, as many at a time as the buffer holds, and mixes all tokens of the buffer;
    `take` reads a chunk when its first token is asked for and forgets it when the next buffer has taken its place. So a
    disk sees sequential reads (random rows are 30 times slower), and a batch sees tokens of a thousand images.

    Parameters
    ----------
    reader
        Where tokens come from.
    images
        Positions of the images to learn from, in any order; None: all.
    chunk_images
        Images that are read together.
    buffer_images
        Images whose tokens are mixed, all held in memory (0.4 MB each with 257 tokens of width 768 in float16); while
        one buffer follows another, twice as many.
    outliers
        Which tokens are left out for their norm; None: none. Where norms are not known beforehand (tokens on the fly)
        medians come from 256 images, and batches are smaller by what is left out.

    Raises
    ------
    DataError
        If there is no image, or not so many in the reader.
    """

    def __init__(
        self,
        reader: TokenReader,
        images: Int[np.ndarray, " image"] | None = None,
        *,
        chunk_images: int = 64,
        buffer_images: int = 1024,
        outliers: OutlierSettings | None = None,
    ):
        self.reader, self.source = reader, reader.source
        self.images = np.arange(len(reader)) if images is None else np.unique(images).astype(np.int64)
        if len(self.images) == 0 or not 0 <= self.images[0] <= self.images[-1] < len(reader):
            raise DataError(
                "there are no such images to take tokens of",
                seen=f"{len(self.images)} images" + (f" up to {self.images[-1]}" if len(self.images) else ""),
                allowed=f"one or more of 0 to {len(reader) - 1}",
            )
        self.chunk_images = chunk_images
        self.buffer_chunks = -(-max(buffer_images, chunk_images) // chunk_images)
        self.n_left_out = 0
        self._bounds: Float[np.ndarray, " token"] | None = None
        self._kept: Bool[np.ndarray, "image token"] | None = None
        self._chunks: dict[int, np.ndarray] = {}
        if outliers is not None and outliers.norm_factor > 0:
            self._find_outliers(outliers)

    def __len__(self) -> int:
        n_all = len(self.images) * self.source.n_tokens
        return n_all if self._kept is None else int(self._kept.sum())

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " token"]:
        """Return the tokens in the order of this epoch."""
        draws = generator(seed, "shuffled tokens", epoch)
        n_chunks = -(-len(self.images) // self.chunk_images)
        chunks, found = draws.permutation(n_chunks).tolist(), np.empty(len(self), np.int64)
        done = 0
        for first in range(0, n_chunks, self.buffer_chunks):
            ranks = np.concatenate(
                [self._ranks(chunk) for chunk in chunks[first : first + self.buffer_chunks]]
            )
            tokens = draws.permutation(self._positions(ranks))
            found[done : done + len(tokens)] = tokens
            done += len(tokens)
        return found

    def take(self, positions: Int[np.ndarray, " batch"]) -> TokenBatch:
        """Return the minibatch of these tokens, in single precision."""
        images, tokens = np.divmod(positions.astype(np.int64), self.source.n_tokens)
        numbers, rows = np.divmod(np.searchsorted(self.images, images), self.chunk_images)
        self._load(numbers)
        taken = np.empty((len(positions), self.source.width), np.float32)
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            taken[places] = self._chunks[number][rows[places], tokens[places]]
        self._forget(numbers)
        if self._bounds is not None:
            is_kept = np.linalg.norm(taken, axis=1) <= self._bounds[tokens]
            self.n_left_out += int(len(taken) - is_kept.sum())
            taken, positions = taken[is_kept], positions[is_kept]
        return TokenBatch(torch.from_numpy(taken), torch.from_numpy(positions.astype(np.int64)))

    def describe(self, positions: Int[np.ndarray, " batch"]) -> list[str]:
        """Return image and token of positions, for messages."""
        pairs = (divmod(int(position), self.source.n_tokens) for position in positions)
        return [f"token {token} of image {image}" for image, token in pairs]

    def sample(self, n: int, seed: int = 0) -> Float32[np.ndarray, "token width"]:
        """Return `n` tokens (or all there are) of at least 256 images, drawn without replacement, images in order."""
        draws = generator(seed, "sample of tokens")
        n_images = max(_SAMPLE_IMAGES, -(-_SAMPLE_SPREAD * n // self.source.n_tokens))
        ranks = np.sort(draws.permutation(len(self.images))[:n_images])
        positions = self._positions(ranks)
        chosen = np.sort(draws.permutation(positions)[:n])
        images, tokens = np.divmod(chosen, self.source.n_tokens)
        parts = [np.zeros((0, self.source.width), np.float32)]
        for first in range(0, len(ranks), self.chunk_images):
            chunk = self.images[ranks[first : first + self.chunk_images]]
            is_here = (images >= chunk[0]) & (images <= chunk[-1])
            if is_here.any():
                rows = np.searchsorted(chunk, images[is_here])
                parts.append(self.reader.read(chunk)[rows, tokens[is_here]].astype(np.float32))
        return np.concatenate(parts)

    def _ranks(self, chunk: int) -> Int64[np.ndarray, " image"]:
        """Return the places in `images` of a chunk."""
        start = chunk * self.chunk_images
        return np.arange(start, min(start + self.chunk_images, len(self.images)))

    def _positions(self, ranks: Int[np.ndarray, " image"]) -> Int64[np.ndarray, " token"]:
        """Return the positions of the tokens of images that are not left out."""
        n_tokens = self.source.n_tokens
        every = self.images[ranks][:, None] * n_tokens + np.arange(n_tokens)
        kept: Int64[np.ndarray, " token"] = every.ravel() if self._kept is None else every[self._kept[ranks]]
        return kept

    def _load(self, numbers: Int[np.ndarray, " batch"]) -> None:
        """Read the chunks that are not in memory, in the order of the disk."""
        absent = [number for number in np.unique(numbers).tolist() if number not in self._chunks]
        if not absent:
            return
        ranks = [self._ranks(number) for number in absent]
        tokens = self.reader.read(self.images[np.concatenate(ranks)])
        ends = np.cumsum([len(part) for part in ranks])
        for number, part in zip(absent, np.split(tokens, ends[:-1]), strict=True):
            self._chunks[number] = part

    def _forget(self, numbers: Int[np.ndarray, " batch"]) -> None:
        """Keep as many chunks as the buffer holds: those whose tokens came last."""
        last = {number: place for place, number in enumerate(numbers.tolist())}
        for number in sorted(last, key=lambda found: last[found]):
            self._chunks[number] = self._chunks.pop(number)  # a dictionary keeps the order of entry
        while len(self._chunks) > self.buffer_chunks:
            self._chunks.pop(next(iter(self._chunks)))

    def _find_outliers(self, outliers: OutlierSettings) -> None:
        n_prefix = self.source.n_prefix
        if isinstance(self.reader, TokenNorms):
            self._kept = is_ordinary(self.reader.norms()[self.images], outliers, n_prefix=n_prefix)
            self.n_left_out = int(self._kept.size - self._kept.sum())
            return
        draws = generator(0, "norms of tokens")
        some = self.images[np.sort(draws.permutation(len(self.images))[:_SAMPLE_IMAGES])]
        tokens = self.reader.read(some).astype(np.float32)
        self._bounds = norm_bounds(np.linalg.norm(tokens, axis=2), outliers, n_prefix=n_prefix)
