"""Variation of smear images: what is drawn for an image depends on seed, epoch and its content, and on nothing else.

References
----------
Tellez et al. 2018, "Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train distilled
stain-invariant convolutional networks" (IEEE TMI 37): stain jitter in optical density, C' = alpha C + beta per stain.
We take the stains of May-Gruenwald-Giemsa instead of haematoxylin and eosin.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8, UInt64

from trilineage.core.seeding import derive_seed
from trilineage.data.images.augment_kernels import packed, smoothed, to_planes, vary
from trilineage.data.images.decoding import Unfitted
from trilineage.data.images.settings import AugmentationSettings
from trilineage.data.images.stains import MAY_GRUENWALD_GIEMSA

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of SplitMix64 (Steele, Lea and Flood 2014)."""
_N_DRAWS = 14
_SMOOTHED_FROM = 1.7
"""Pixels of the image to one of the result, along a side, from which on means of four are sampled."""


class Variations(NamedTuple):
    """What is done to each image of a batch; see `augment_kernels.vary`."""

    affine: Float64[np.ndarray, "batch 6"]
    """Where each pixel of the result comes from."""
    mix: Float32[np.ndarray, "batch 3 3"]
    """Matrix that optical densities are multiplied by."""
    shift: Float32[np.ndarray, "batch 3"]
    """What is added to optical densities."""
    gain: Float32[np.ndarray, " batch"]
    """Factor of the light."""
    has_stain: bool
    """Whether optical densities change at all."""


def draw_variations(
    settings: AugmentationSettings,
    contents: UInt64[np.ndarray, " batch"],
    epochs: UInt64[np.ndarray, " batch"],
    *,
    seed: int,
    shape: tuple[int, int],
) -> Variations:
    """Draw how each image is varied.

    Parameters
    ----------
    settings
        What may vary, and how far.
    contents
        Number of each image's content (`ImageTable.content_numbers`).
    epochs
        Epoch that each image is for.
    seed
        Names the whole training.
    shape
        Height and width of the images.
    """
    draws = uniform_draws(contents, epochs, seed=seed, n=_N_DRAWS)
    signed = 2 * draws - 1
    mix, shift = _stain_jitter(settings, signed[:, 6:9], signed[:, 9:12])
    return Variations(
        affine=_affine(settings, draws, signed, shape),
        mix=mix,
        shift=shift,
        gain=(1 + settings.brightness * signed[:, 12]).astype(np.float32),
        has_stain=settings.stain > 0 or settings.stain_shift > 0,
    )


def uniform_draws(
    contents: UInt64[np.ndarray, " batch"], epochs: UInt64[np.ndarray, " batch"], *, seed: int, n: int
) -> Float64[np.ndarray, "batch draw"]:
    """Return numbers in [0, 1) that seed, epoch and content decide: SplitMix64 on a mixture of the three."""
    stream = np.full(len(contents), derive_seed(seed, "augmentation"), np.uint64)
    state = _mixed(_mixed(contents ^ stream) + epochs * np.uint64(_FIRST))
    steps = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_GOLDEN))[None, :]
    return (_mixed(state[:, None] + steps) >> np.uint64(11)) * 2.0**-53


def write_varied(
    unfitted: Unfitted,
    variations: Variations,
    place: int,
    out: Float32[np.ndarray, "3 height width"],
) -> None:
    """Write one image of a batch, varied, as planes in [0, 1].

    An image that is larger than the result is sampled once, straight from its own pixels to those of the result: that
    is sharper than to resize it first. Where the result takes less than one pixel in 1.7 x 1.7, means of four pixels
    are sampled, so that none is left out.
    """
    affine = _from_working_size(variations.affine[place], unfitted.box, out.shape[1:])
    pixels, width = unfitted.pixels, unfitted.pixels.shape[1]
    source = pixels.view(np.uint32)[..., 0] if pixels.shape[2] == 4 else packed(pixels)
    if abs(affine[0] * affine[4] - affine[1] * affine[3]) >= _SMOOTHED_FROM**2 and min(pixels.shape[:2]) > 1:
        source, width = smoothed(source, width), width - 1
        affine[[2, 5]] -= 0.5
    vary(
        source,
        width,
        affine,
        variations.mix[place],
        variations.shift[place],
        variations.gain[place],
        variations.has_stain,
        out,
    )


def _from_working_size(
    affine: Float64[np.ndarray, "6"], box: tuple[float, float, float, float], shape: tuple[int, ...]
) -> Float64[np.ndarray, "6"]:
    """Return a map into the working size as one into the part of an image that the working size shows."""
    left, top, right, bottom = box
    across, down = (right - left) / shape[1], (bottom - top) / shape[0]
    whole = affine.reshape(2, 3) * np.array([[across], [down]])
    whole[:, 2] += left + (across - 1) / 2, top + (down - 1) / 2
    return whole.ravel()


def write_plain(
    pixels: UInt8[np.ndarray, "height width 3"], out: Float32[np.ndarray, "3 height width"]
) -> None:
    """Write one image as it is, as planes in [0, 1]."""
    to_planes(pixels, out)


def _mixed(state: UInt64[np.ndarray, "*any"]) -> UInt64[np.ndarray, "*any"]:
    """Return the output function of SplitMix64."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    return state ^ (state >> np.uint64(31))


def _affine(
    settings: AugmentationSettings,
    draws: Float64[np.ndarray, "batch draw"],
    signed: Float64[np.ndarray, "batch draw"],
    shape: tuple[int, int],
) -> Float64[np.ndarray, "batch 6"]:
    """Return the way from result to source: about the middle, turned, mirrored, scaled, then shifted."""
    height, width = shape
    n_turns = 4 if height == width else 2
    turn = np.floor(draws[:, 0] * n_turns).astype(np.int64) * (4 // n_turns) * settings.right_angles
    mirror_x = np.where(settings.flips & (draws[:, 1] < 0.5), -1.0, 1.0)
    mirror_y = np.where(settings.flips & (draws[:, 2] < 0.5), -1.0, 1.0)
    angle = np.deg2rad(settings.rotation_degrees) * signed[:, 3]
    zoom = (1 + settings.scale) ** -signed[:, 4]
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    right_cosine, right_sine = np.array([1.0, 0, -1, 0])[turn], np.array([0.0, 1, 0, -1])[turn]
    a0 = (cosine * right_cosine - sine * right_sine) * mirror_x
    a1 = -(cosine * right_sine + sine * right_cosine) * mirror_x
    a3 = (sine * right_cosine + cosine * right_sine) * mirror_y
    a4 = (cosine * right_cosine - sine * right_sine) * mirror_y
    x, y = (width - 1) / 2, (height - 1) / 2
    a2 = x - a0 * x - a1 * y + settings.shift * width * signed[:, 5]
    a5 = y - a3 * x - a4 * y + settings.shift * height * signed[:, 13]
    return np.stack([a0, a1, a2, a3, a4, a5], axis=1)


def _stain_jitter(
    settings: AugmentationSettings,
    factors: Float64[np.ndarray, "batch 3"],
    offsets: Float64[np.ndarray, "batch 3"],
) -> tuple[Float32[np.ndarray, "batch 3 3"], Float32[np.ndarray, "batch 3"]]:
    """Return matrix and shift that scale and move the amount of each stain: D' = D S^-1 diag(alpha) S + beta S."""
    basis = MAY_GRUENWALD_GIEMSA.basis
    scaled = (1 + settings.stain * factors)[:, :, None] * basis[None]
    mix = np.linalg.inv(basis)[None] @ scaled
    return mix.astype(np.float32), (settings.stain_shift * offsets @ basis).astype(np.float32)
