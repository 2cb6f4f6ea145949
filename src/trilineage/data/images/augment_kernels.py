"""Compiled loops over pixels: turn, scale and shift an image, change its stain and light, write it as planes."""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed wrappers keep the argument lists short)

import numpy as np
from numba import njit

FINE = 4
"""Steps per grey value in the table of optical densities."""
DENSITY_STEPS = 1024
"""Steps per unit of optical density in the table of transmittances."""
LOWEST, HIGHEST = -1.0, 7.0
"""Optical densities outside are taken for these; white is 0, black 5.5."""
DENSITY_OF = -np.log((np.arange(255 * FINE + 1) / FINE + 1.0) / 256.0).astype(np.float32)
"""Optical density of each quarter of a grey value, -log((v + 1) / 256)."""
LIGHT_OF = (
    (np.exp(-(np.arange(int((HIGHEST - LOWEST) * DENSITY_STEPS) + 1) / DENSITY_STEPS + LOWEST)) * 256.0 - 1.0)
    / 255.0
).astype(np.float32)
"""Pixel value in [0, 1] of each step of optical density; the inverse of the table above."""


@njit(cache=True, nogil=True, inline="always")
def _mirrored(position, length):
    """Return the place inside an image that a place outside is the mirror image of."""
    while position < 0 or position >= length:
        if position < 0:
            position = -1 - position
        else:
            position = 2 * length - 1 - position
    return position


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def vary(pixels, affine, mix, shift, gain, has_stain, density_of, light_of, out):
    """Write a varied image (3 height width, in [0, 1]).

    `affine` leads from a pixel of the result to a place in the source: x = a0 X + a1 Y + a2, y = a3 X + a4 Y + a5;
    between pixels it is linear, outside the image is mirrored. Optical densities d become `d @ mix + shift`, values
    are multiplied by `gain` and cut off at 0 and 1.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    top = light_of.shape[0] - 1
    for row in range(out.shape[1]):
        x, y = affine[1] * row + affine[2], affine[4] * row + affine[5]
        for column in range(out.shape[2]):
            left, above = int(np.floor(x)), int(np.floor(y))
            across, down = np.float32(x - left), np.float32(y - above)
            x += affine[0]
            y += affine[3]
            right, below = left + 1, above + 1
            if left < 0 or above < 0 or right >= width or below >= height:
                left, right = _mirrored(left, width), _mirrored(right, width)
                above, below = _mirrored(above, height), _mirrored(below, height)
            w11 = across * down
            w10 = down - w11
            w01 = across - w11
            w00 = np.float32(1.0) - across - down + w11
            red = (
                w00 * pixels[above, left, 0] + w01 * pixels[above, right, 0]
                + w10 * pixels[below, left, 0] + w11 * pixels[below, right, 0]
            )  # fmt: skip
            green = (
                w00 * pixels[above, left, 1] + w01 * pixels[above, right, 1]
                + w10 * pixels[below, left, 1] + w11 * pixels[below, right, 1]
            )  # fmt: skip
            blue = (
                w00 * pixels[above, left, 2] + w01 * pixels[above, right, 2]
                + w10 * pixels[below, left, 2] + w11 * pixels[below, right, 2]
            )  # fmt: skip
            if has_stain:
                d0 = density_of[int(red * FINE + np.float32(0.5))]
                d1 = density_of[int(green * FINE + np.float32(0.5))]
                d2 = density_of[int(blue * FINE + np.float32(0.5))]
                s0 = d0 * mix[0, 0] + d1 * mix[1, 0] + d2 * mix[2, 0] + shift[0]
                s1 = d0 * mix[0, 1] + d1 * mix[1, 1] + d2 * mix[2, 1] + shift[1]
                s2 = d0 * mix[0, 2] + d1 * mix[1, 2] + d2 * mix[2, 2] + shift[2]
                red = light_of[min(max(int((s0 - LOWEST) * DENSITY_STEPS + 0.5), 0), top)] * gain
                green = light_of[min(max(int((s1 - LOWEST) * DENSITY_STEPS + 0.5), 0), top)] * gain
                blue = light_of[min(max(int((s2 - LOWEST) * DENSITY_STEPS + 0.5), 0), top)] * gain
            else:
                red, green, blue = red * gain / 255, green * gain / 255, blue * gain / 255
            out[0, row, column] = min(max(red, np.float32(0.0)), np.float32(1.0))
            out[1, row, column] = min(max(green, np.float32(0.0)), np.float32(1.0))
            out[2, row, column] = min(max(blue, np.float32(0.0)), np.float32(1.0))


@njit(cache=True, nogil=True)
def to_planes(pixels, out):
    """Write an image as planes (3 height width) in [0, 1], unchanged."""
    for row in range(pixels.shape[0]):
        for column in range(pixels.shape[1]):
            for channel in range(3):
                out[channel, row, column] = pixels[row, column, channel] / np.float32(255.0)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def restain(pixels, mix, shift, density_of, light_of, out):
    """Write an image (height width 3, 0 to 255) whose optical densities d have become `d @ mix + shift`."""
    top = light_of.shape[0] - 1
    for row in range(pixels.shape[0]):
        for column in range(pixels.shape[1]):
            d0 = density_of[pixels[row, column, 0] * FINE]
            d1 = density_of[pixels[row, column, 1] * FINE]
            d2 = density_of[pixels[row, column, 2] * FINE]
            for channel in range(3):
                density = d0 * mix[0, channel] + d1 * mix[1, channel] + d2 * mix[2, channel] + shift[channel]
                step = min(max(int((density - LOWEST) * DENSITY_STEPS + 0.5), 0), top)
                out[row, column, channel] = int(min(max(light_of[step] * 255 + 0.5, 0.0), 255.0))
