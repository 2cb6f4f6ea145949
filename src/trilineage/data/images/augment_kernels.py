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


@njit(cache=True, nogil=True, inline="always")
def _between(p00, p01, p10, p11, across, down):
    """Return red and blue (16 bits each, 256 times a byte) and green between four packed pixels."""
    w11 = (across * down) >> 8
    w10, w01 = down - w11, across - w11
    w00 = 256 - down - w01
    both = w00 * (p00 & 0xFF00FF) + w01 * (p01 & 0xFF00FF) + w10 * (p10 & 0xFF00FF) + w11 * (p11 & 0xFF00FF)
    one = w00 * (p00 & 0xFF00) + w01 * (p01 & 0xFF00) + w10 * (p10 & 0xFF00) + w11 * (p11 & 0xFF00)
    return both + 0x800080, one + 0x8000


@njit(cache=True, nogil=True, inline="always")
def _inside(start, step, length, first, last):
    """Narrow a range of columns to those whose place along one side has a neighbour inside the image."""
    low, high = 0, ((length - 1) << 16) - 1
    if step == 0:
        return (first, last) if low <= start <= high else (first, first)
    if step > 0:
        return max(first, -((start - low) // step)), min(last, (high - start) // step + 1)
    return max(first, -((high - start) // -step)), min(last, (start - low) // -step + 1)


@njit(cache=True, nogil=True)
def _sample_row(packed, height, width, x, y, step_x, step_y, table, red, green, blue):
    """Read a row of the result from the source, linear between pixels (to 1/256), through a table of grey values."""
    n = red.shape[0]
    first, last = _inside(x, step_x, width, 0, n)
    first, last = _inside(y, step_y, height, first, last)
    last = max(first, last)
    _sample_border(
        packed, height, width, x, y, step_x, step_y, table, red[:first], green[:first], blue[:first]
    )
    _sample_inside(
        packed,
        width,
        x + first * step_x,
        y + first * step_y,
        step_x,
        step_y,
        table,
        red[first:last],
        green[first:last],
        blue[first:last],
    )
    x, y = x + last * step_x, y + last * step_y
    _sample_border(packed, height, width, x, y, step_x, step_y, table, red[last:], green[last:], blue[last:])


@njit(cache=True, nogil=True)
def _sample_inside(packed, width, x, y, step_x, step_y, table, red, green, blue):
    """Read places that have all four neighbours in the image."""
    for column in range(red.shape[0]):
        place = np.uint64((y >> 16) * width + (x >> 16))
        across, down = (x >> 8) & 255, (y >> 8) & 255
        x += step_x
        y += step_y
        p00, p01 = np.int64(packed[place]), np.int64(packed[place + np.uint64(1)])
        under = place + np.uint64(width)
        p10, p11 = np.int64(packed[under]), np.int64(packed[under + np.uint64(1)])
        both, one = _between(p00, p01, p10, p11, across, down)
        red[column] = table[np.uint64((both >> 8) & 255)]
        green[column] = table[np.uint64((one >> 16) & 255)]
        blue[column] = table[np.uint64((both >> 24) & 255)]


@njit(cache=True, nogil=True)
def _sample_border(packed, height, width, x, y, step_x, step_y, table, red, green, blue):
    """Read places near or beyond the border; outside, the image is mirrored."""
    for column in range(red.shape[0]):
        left, right = _mirrored(x >> 16, width), _mirrored((x >> 16) + 1, width)
        above, below = _mirrored(y >> 16, height) * width, _mirrored((y >> 16) + 1, height) * width
        p00, p01 = np.int64(packed[above + left]), np.int64(packed[above + right])
        p10, p11 = np.int64(packed[below + left]), np.int64(packed[below + right])
        both, one = _between(p00, p01, p10, p11, (x >> 8) & 255, (y >> 8) & 255)
        x += step_x
        y += step_y
        red[column] = table[(both >> 8) & 255]
        green[column] = table[(one >> 16) & 255]
        blue[column] = table[(both >> 24) & 255]


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
