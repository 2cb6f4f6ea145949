"""Images that look alike though their bytes differ: perceptual hashes, a search by parts of them, a proof in pixels.

A hash is the signs of the 63 lowest frequencies (DCT) of the middle of a grey copy, after Zauner, "Implementation and
benchmarking of perceptual image hash functions" (2010). Against images of one kind (a round cell in the middle) hashes
alone cannot decide, so they only propose: a pair counts when the grey values correlate after the best small shift. To
propose shifted and turned copies as well, each image asks with several hashes: of 25 shifted middles, and of the seven
other ways to lay it down. Pairs within 7 bits are found without comparing all: of four blocks of 16 bits at least one
differs by one bit or none (Norouzi et al., "Fast search in Hamming space with multi-index hashing", CVPR 2012).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float, Int, UInt8, UInt64

from trilineage.data.inspection.looking import SIDE

_INNER = 56
"""Side of the middle that is hashed, in pixels of the grey copy; the rest is room for shifts."""
_SHIFTS = (-4, -2, 0, 2, 4)
_FREQUENCIES = 8
_LARGEST_SHIFT = 6
"""Pixels of the grey copy (of 64) by which the proof moves one image against the other, either way."""
_LEAST_CONTRAST = 2.0
"""Standard deviation of grey values below which an image is blank and compared with none."""
_BATCH = 2048
_BLOCK_BITS, _N_BLOCKS = 16, 4
_PROBES = (0, *(1 << bit for bit in range(_BLOCK_BITS)))
_BASIS = scipy.fft.dct(np.eye(_INNER), axis=0, norm="ortho")[:_FREQUENCIES].astype(np.float32)


class Alike(NamedTuple):
    """Pairs of images that look alike, the most alike first."""

    first: Int[np.ndarray, " pair"]
    """Position of one image."""
    second: Int[np.ndarray, " pair"]
    """Position of the other, always larger."""
    correlation: Float[np.ndarray, " pair"]
    """Correlation of grey values after the best shift and turn."""
    is_turned: Bool[np.ndarray, " pair"]
    """Whether one is a turned or mirrored copy of the other."""


def find_alike(
    greys: UInt8[np.ndarray, "image height width"],
    *,
    distance: int = 6,
    correlation: float = 0.95,
    is_turned_searched: bool = True,
) -> Alike:
    """Find all pairs of images that look alike.

    Parameters
    ----------
    greys
        Grey copies, 64 x 64.
    distance
        Bits by which hashes of candidates may differ, 7 at most.
    correlation
        Correlation of grey values from which a pair counts.
    is_turned_searched
        Whether to look for turned and mirrored copies.
    """
    hashed = np.flatnonzero(_contrasts(greys) >= _LEAST_CONTRAST)
    middles = _hashes(greys[hashed], 0, 0)
    index = _Index(middles)
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    for turn, asked in _questions(greys[hashed], is_turned_searched):
        pairs = index.near(asked, distance)
        proofs = _proofs(greys, hashed[pairs[:, 0]], hashed[pairs[:, 1]], turn)
        for (i, j), value in zip(hashed[pairs].tolist(), proofs.tolist(), strict=True):
            key = (min(i, j), max(i, j))
            if value >= correlation and value > found.get(key, (0.0, False))[0]:
                found[key] = (value, turn > 0)
    ordered = sorted(found, key=lambda key: (-found[key][0], key))
    return Alike(
        np.array([i for i, _ in ordered], dtype=np.int64),
        np.array([j for _, j in ordered], dtype=np.int64),
        np.array([found[key][0] for key in ordered], dtype=np.float64),
        np.array([found[key][1] for key in ordered], dtype=bool),
    )


def laid_down(
    images: UInt8[np.ndarray, "image height width"], turn: int
) -> UInt8[np.ndarray, "image height width"]:
    """Return square images laid down in one of the eight ways: 0 as they are, 1 to 3 turned, 4 to 7 mirrored first."""
    mirrored = images[:, :, ::-1] if turn >= 4 else images
    return np.rot90(mirrored, turn % 4, axes=(1, 2))


def _contrasts(greys: UInt8[np.ndarray, "image height width"]) -> Float[np.ndarray, " image"]:
    return np.array([batch.std() for batch in greys], dtype=np.float64)


def _questions(
    greys: UInt8[np.ndarray, "image height width"], is_turned_searched: bool
) -> Iterator[tuple[int, UInt64[np.ndarray, " image"]]]:
    """Give the hashes that images ask with, and the turn that each stands for."""
    for down in _SHIFTS:
        for right in _SHIFTS:
            yield 0, _hashes(greys, down, right)
    for turn in range(1, 8) if is_turned_searched else ():
        yield turn, _hashes(laid_down(greys, turn), 0, 0)


def _hashes(
    greys: UInt8[np.ndarray, "image height width"], down: int, right: int
) -> UInt64[np.ndarray, " image"]:
    """Hash the middle of each image, moved by some pixels."""
    top, left = (SIDE - _INNER) // 2 + down, (SIDE - _INNER) // 2 + right
    parts = [np.zeros(0, dtype=np.uint64)]
    for start in range(0, len(greys), _BATCH):
        inner = greys[start : start + _BATCH, top : top + _INNER, left : left + _INNER].astype(np.float32)
        waves = (_BASIS @ inner @ _BASIS.T).reshape(len(inner), -1)
        bits = waves > 0
        bits[:, 0] = False  # the mean says how bright an image is, not what it shows
        parts.append(np.packbits(bits, axis=1).view(np.uint64).ravel())
    return np.concatenate(parts)


class _Index:
    """Hashes, sorted by each of their four blocks.

    Parameters
    ----------
    hashes
        One of each image.
    """

    def __init__(self, hashes: UInt64[np.ndarray, " image"]):
        self.hashes = hashes
        self._blocks = _blocks(hashes)
        self._orders = [np.argsort(block, kind="stable") for block in self._blocks]
        self._starts = [
            np.concatenate([[0], np.cumsum(np.bincount(block, minlength=1 << _BLOCK_BITS))])
            for block in self._blocks
        ]

    def near(self, asked: UInt64[np.ndarray, " image"], distance: int) -> Int[np.ndarray, "pair 2"]:
        """Return the pairs (asking, found) of different images within a distance of at most 7 bits, each once."""
        n, codes = len(self.hashes), [np.zeros(0, dtype=np.int64)]
        for block, order, starts in zip(_blocks(asked), self._orders, self._starts, strict=True):
            for probe in _PROBES:
                keys = block ^ probe
                counts = starts[keys + 1] - starts[keys]
                asking = np.repeat(np.arange(n), counts)
                within = np.arange(len(asking)) - np.repeat(np.cumsum(counts) - counts, counts)
                found = order[starts[keys][asking] + within]
                differing = np.bitwise_count(asked[asking] ^ self.hashes[found])
                chosen = (differing <= distance) & (asking < found)
                codes.append(asking[chosen] * n + found[chosen])
        unique = np.unique(np.concatenate(codes))
        return np.stack([unique // max(n, 1), unique % max(n, 1)], axis=1)


def _blocks(hashes: UInt64[np.ndarray, " image"]) -> list[Int[np.ndarray, " image"]]:
    shifts = range(0, _BLOCK_BITS * _N_BLOCKS, _BLOCK_BITS)
    return [((hashes >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64) for shift in shifts]


def _proofs(
    greys: UInt8[np.ndarray, "image height width"],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
    turn: int,
) -> Float[np.ndarray, " pair"]:
    """Return the correlation of each pair after the best shift, the first image being laid down as `turn` says."""
    best = np.full(len(first), -1.0)
    for start in range(0, len(first), 256):
        chosen = slice(start, start + 256)
        best[chosen] = _shifted_correlation(laid_down(greys[first[chosen]], turn), greys[second[chosen]])
    return best


def _shifted_correlation(
    a: UInt8[np.ndarray, "pair height width"], b: UInt8[np.ndarray, "pair height width"]
) -> Float[np.ndarray, " pair"]:
    """Return the largest correlation of what overlaps, over all shifts up to `_LARGEST_SHIFT` pixels."""
    best = np.full(len(a), -1.0)
    moves = range(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1)
    for down in moves:
        for right in moves:
            part_a = a[:, max(down, 0) : SIDE + min(down, 0), max(right, 0) : SIDE + min(right, 0)]
            part_b = b[:, max(-down, 0) : SIDE + min(-down, 0), max(-right, 0) : SIDE + min(-right, 0)]
            best = np.maximum(best, _correlation(part_a, part_b))
    return best


def _correlation(
    a: UInt8[np.ndarray, "pair height width"], b: UInt8[np.ndarray, "pair height width"]
) -> Float[np.ndarray, " pair"]:
    flat_a, flat_b = (part.reshape(len(part), -1).astype(np.float32) for part in (a, b))
    flat_a -= flat_a.mean(axis=1, keepdims=True)
    flat_b -= flat_b.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat_a, axis=1) * np.linalg.norm(flat_b, axis=1)
    return np.einsum("ij,ij->i", flat_a, flat_b) / np.maximum(norms, 1e-6).astype(np.float64)
