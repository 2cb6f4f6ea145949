"""Plain colours and textures of images: numbers that no network has learned, to judge likeness independently of one."""

import numpy as np
from jaxtyping import Float32, Int, UInt8

from trilineage.core.progress import progress
from trilineage.data.images.table import ImageTable
from trilineage.data.images.threads import in_threads, n_workers

N_BINS = 12
"""Bins of each histogram of a colour, and of the directions of edges."""
SIDE = 6
"""Rows and columns of the coarse layout."""

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_DARKEST = 3.0
"""Optical density of the last bin: what is darker lets a thousandth of the light through."""


def describe(pixels: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, " d"]:
    """Return histograms of the optical density of each colour, of edges by direction, and the layout of both.

    Edges are counted by direction modulo a half turn, weighted by their strength (Dalal and Triggs 2005).

    Parameters
    ----------
    pixels
        Red, green and blue, 0 to 255; at least `SIDE` pixels wide and high.
    """
    density = np.log((256.0 / (pixels.astype(np.float32) + 1.0)).clip(1.0))
    colours = [_histogram(density[:, :, channel] / _DARKEST) for channel in range(3)]
    down, across = np.gradient(density @ _GREY)
    strength = np.hypot(down, across)
    turn = (np.arctan2(down, across) / np.pi) % 1.0
    edges = _histogram(turn, strength) * strength.mean()
    layout = [_coarse(density[:, :, channel]) for channel in range(3)]
    return np.concatenate([*colours, edges, *layout, _coarse(strength)]).astype(np.float32)


def describe_images(
    table: ImageTable, positions: Int[np.ndarray, " image"]
) -> Float32[np.ndarray, "image d"]:
    """Return the standardised descriptors of some images: mean 0 and deviation 1 over them where they differ at all."""
    rows = []
    with progress("colours and textures", len(positions), "images") as meter:
        read = in_threads(
            lambda position: describe(table.read_sized(position)),
            positions.tolist(),
            workers=n_workers(table.settings.workers),
        )
        for row in read:
            rows.append(row)
            meter.advance()
    found = np.stack(rows)
    spread = found.std(axis=0)
    standardised: Float32[np.ndarray, "image d"] = (found - found.mean(axis=0)) / np.where(
        spread > 0, spread, 1
    )
    return standardised


def _histogram(
    values: Float32[np.ndarray, "height width"], weights: Float32[np.ndarray, "height width"] | None = None
) -> Float32[np.ndarray, " bin"]:
    """Return the share of each of the bins of [0, 1]; what is above falls into the last."""
    bins = np.minimum((values * N_BINS).astype(np.int64), N_BINS - 1).ravel()
    counts = np.bincount(bins, None if weights is None else weights.ravel(), minlength=N_BINS)
    return (counts / max(float(counts.sum()), 1e-12)).astype(np.float32)


def _coarse(values: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, " cell"]:
    """Return the means over a grid of `SIDE` x `SIDE` cells."""
    height, width = values.shape
    rows = np.add.reduceat(values, np.arange(SIDE) * height // SIDE, axis=0)
    cells = np.add.reduceat(rows, np.arange(SIDE) * width // SIDE, axis=1)
    return (cells / (height * width / SIDE**2)).ravel().astype(np.float32)
