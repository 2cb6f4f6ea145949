"""Compiled loops over pixels: turn, scale and shift an image, change its stain and light, write it as planes."""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed wrappers keep the argument lists short)

import math

import numpy as np
from numba import njit

DENSITY_OF = -np.log((np.arange(256) + 1.0) / 256.0).astype(np.float32)
"""Optical density of each grey value, -log((v + 1) / 256); white is 0, black 5.5."""

_LOWEST, _HIGHEST = np.float32(-1.0), np.float32(7.0)
"""Optical densities outside are taken for these."""
_MIDDLE = np.float32(0.375)
"""An eighth of the middle of that range: exp(-d) is the eighth power of a polynomial in d / 8 about this place."""
_TERMS = tuple(np.float32(math.exp(-0.375) * (-1) ** k / math.factorial(k)) for k in range(7))
"""Taylor coefficients of exp(-t) at 0.375; the eighth power is right to 1e-5, a hundredth of a grey value."""
_T0, _T1, _T2, _T3, _T4, _T5, _T6 = _TERMS
_FIXED = 65536
"""One pixel in the integer coordinates of the source."""


@njit(cache=True, nogil=True, inline="always")
def _mirrored(position, length):
    """Return the place inside an image that a place outside is the mirror image of."""
    while position < 0 or position >= length:
        if position < 0:
            position = -1 - position
        else:
            position = 2 * length - 1 - position
    return position


@njit(cache=True, nogil=True, inline="always")
def _light(density):
    """Return the pixel value in [0, 1] (below 0 for what is darker than black) of an optical density."""
    t = min(max(density, _LOWEST), _HIGHEST) * np.float32(0.125) - _MIDDLE
    power = _T0 + t * (_T1 + t * (_T2 + t * (_T3 + t * (_T4 + t * (_T5 + t * _T6)))))
    power *= power
    power *= power
    power *= power
    return power * np.float32(256.0 / 255.0) - np.float32(1.0 / 255.0)


@njit(cache=True, nogil=True)
def _packed(pixels):
    """Return an image with the three channels of a pixel in one number: red, green and blue from the lowest bits."""
    height, width = pixels.shape[0], pixels.shape[1]
    packed = np.empty(height * width, np.uint32)
    place = 0
    for row in range(height):
        for column in range(width):
            packed[place] = (
                pixels[row, column, 0] | (pixels[row, column, 1] << 8) | (pixels[row, column, 2] << 16)
            )
            place += 1
    return packed


@njit(cache=True, nogil=True)
def _sample_row(packed, height, width, x, y, step_x, step_y, table, red, green, blue):
    """Read a row of the result from the source, linear between pixels (to 1/256), through a table of grey values."""
    for column in range(red.shape[0]):
        left, above = x >> 16, y >> 16
        across, down = (x >> 8) & 255, (y >> 8) & 255
        x += step_x
        y += step_y
        right, below = left + 1, above + 1
        if left < 0 or above < 0 or right >= width or below >= height:
            left, right = _mirrored(left, width), _mirrored(right, width)
            above, below = _mirrored(above, height), _mirrored(below, height)
        above *= width
        below *= width
        p00, p01 = np.int64(packed[above + left]), np.int64(packed[above + right])
        p10, p11 = np.int64(packed[below + left]), np.int64(packed[below + right])
        w11 = (across * down) >> 8
        w10, w01 = down - w11, across - w11
        w00 = 256 - down - w01
        # Red and blue in one multiplication: 16 bits each, and 256 times a byte fits.
        both = (
            w00 * (p00 & 0xFF00FF) + w01 * (p01 & 0xFF00FF) + w10 * (p10 & 0xFF00FF) + w11 * (p11 & 0xFF00FF)
        )
        one = w00 * (p00 & 0xFF00) + w01 * (p01 & 0xFF00) + w10 * (p10 & 0xFF00) + w11 * (p11 & 0xFF00)
        red[column] = table[((both + 0x800080) >> 8) & 255]
        green[column] = table[((one + 0x8000) >> 16) & 255]
        blue[column] = table[((both + 0x800080) >> 24) & 255]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _stain_row(d0, d1, d2, m0, m1, m2, shift, gain, out):
    """Write one channel of a row: the light that passes densities mixed by one column of a matrix."""
    for column in range(out.shape[0]):
        light = _light(d0[column] * m0 + d1[column] * m1 + d2[column] * m2 + shift) * gain
        out[column] = min(max(light, np.float32(0.0)), np.float32(1.0))


@njit(cache=True, nogil=True)
def vary(pixels, affine, mix, shift, gain, has_stain, density_of, out):
    """Write a varied image (3 height width, in [0, 1]).

    `affine` leads from a pixel of the result to a place in the source: x = a0 X + a1 Y + a2, y = a3 X + a4 Y + a5;
    between pixels it is linear, outside the image is mirrored. Optical densities d become `d @ mix + shift`, values
    are multiplied by `gain` and cut off at 0 and 1.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    packed = _packed(pixels)
    rows = np.empty((3, out.shape[2]), np.float32)
    table = np.empty(256, np.float32)
    for value in range(256):
        table[value] = (
            density_of[value] if has_stain else min(value * gain / np.float32(255.0), np.float32(1.0))
        )
    step_x, step_y = round(affine[0] * _FIXED), round(affine[3] * _FIXED)
    for row in range(out.shape[1]):
        x = round((affine[1] * row + affine[2]) * _FIXED)
        y = round((affine[4] * row + affine[5]) * _FIXED)
        if has_stain:
            _sample_row(packed, height, width, x, y, step_x, step_y, table, rows[0], rows[1], rows[2])
            for c in range(3):
                _stain_row(
                    rows[0], rows[1], rows[2], mix[0, c], mix[1, c], mix[2, c], shift[c], gain, out[c, row]
                )
        else:
            _sample_row(
                packed, height, width, x, y, step_x, step_y, table, out[0, row], out[1, row], out[2, row]
            )


@njit(cache=True, nogil=True)
def to_planes(pixels, out):
    """Write an image as planes (3 height width) in [0, 1], unchanged."""
    for row in range(pixels.shape[0]):
        for column in range(pixels.shape[1]):
            for channel in range(3):
                out[channel, row, column] = pixels[row, column, channel] / np.float32(255.0)


@njit(cache=True, nogil=True)
def restain(pixels, mix, shift, density_of, out):
    """Write an image (height width 3, 0 to 255) whose optical densities d have become `d @ mix + shift`."""
    width = pixels.shape[1]
    rows = np.empty((3, width), np.float32)
    light = np.empty(width, np.float32)
    for row in range(pixels.shape[0]):
        for column in range(width):
            for channel in range(3):
                rows[channel, column] = density_of[pixels[row, column, channel]]
        for c in range(3):
            _stain_row(
                rows[0], rows[1], rows[2], mix[0, c], mix[1, c], mix[2, c], shift[c], np.float32(1.0), light
            )
            for column in range(width):
                out[row, column, c] = int(light[column] * np.float32(255.0) + np.float32(0.5))
