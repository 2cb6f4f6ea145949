"""Compiled loops over pixels: turn, scale and shift an image, change its stain and light, write it as planes.

Each step does one row at a time into short arrays that stay in the nearest cache: fetching four neighbours of every
place, the only step that jumps about in memory, then steps that the compiler does for eight places at once. Whole
numbers are kept in 32 bits throughout (numba would widen them), for eight of them fit an instruction.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed wrappers keep the argument lists short)

import math

import numpy as np
from numba import njit

DENSITY_OF = -np.log((np.arange(256) + 1.0) / 256.0).astype(np.float32)
"""Optical density of each grey value, -log((v + 1) / 256); white is 0, black 5.5."""

_QUICK = {"contract", "nnan", "nsz"}
"""What the compiler may do to sums: multiply and add in one step; it may not change their order."""
_LINE = 16
"""Packed pixels in a line of the cache."""
_FIXED = 65536
"""One pixel in the integer coordinates of the source."""
_I32, _U32, _F32 = np.int32, np.uint32, np.float32
_TWO, _TWOS = _U32(0x200), _U32(0x20002)
_EIGHT, _BYTE, _RED_BLUE, _GREEN = _U32(8), _U32(0xFF), _U32(0xFF00FF), _U32(0xFF00)


def _polynomial(function, low, high, degree):
    """Return the coefficients that agree with a function at Chebyshev's places, constant first."""
    places = np.polynomial.chebyshev.chebpts1(degree + 1) * (high - low) / 2 + (high + low) / 2
    return tuple(_F32(c) for c in np.polynomial.polynomial.polyfit(places, function(places), degree))


_L0, _L1, _L2, _L3, _L4 = _polynomial(np.log2, 1.0, 2.0, 4)
"""log2 from 1 to 2, right to 2e-4 (0.03 of a grey value)."""
_E0, _E1, _E2, _E3 = _polynomial(np.exp2, -0.5, 0.5, 3)
"""2^x from -0.5 to 0.5, right to 2e-4 of the result (0.05 of a grey value)."""
_L0 = _F32(_L0 - 127 - 16)  # of a float's exponent 127 is to be taken off, and 16 because white is 2^16
_ROUNDER = _F32(1.5 * 2**23)
"""What is larger than this has no bits after the point: adding it leaves the nearest whole number in the low bits."""
_BITS_PER_DENSITY = _F32(-1 / math.log(2))
"""From optical density to the logarithm to base 2 of the light that passes."""
_FAINTEST, _BRIGHTEST = _F32(-100.0), _F32(100.0)
_WHITE = _F32(255.0)


@njit(cache=True, nogil=True, inline="always")
def _log2_light(value):
    """Return log2((v + 1) / 256) of 256 times a grey value v: exponent and mantissa of the float, a polynomial each."""
    bits = _F32(_F32(_I32(value)) + _F32(256.0)).view(np.int32)
    m = _I32((bits & _I32(0x7FFFFF)) | _I32(0x3F800000)).view(np.float32)
    return _F32(_I32(bits >> _I32(23))) + (_L0 + m * (_L1 + m * (_L2 + m * (_L3 + m * _L4))))


@njit(cache=True, nogil=True, inline="always")
def _exp2(exponent):
    """Return 2^x, x between -126 and 126."""
    rounded = _F32(exponent + _ROUNDER)
    x = _F32(exponent - _F32(rounded - _ROUNDER))
    power = _F32(_E0 + x * (_E1 + x * (_E2 + x * _E3)))
    return _I32(power.view(np.int32) + _I32(rounded.view(np.int32) << _I32(23))).view(np.float32)


@njit(cache=True, nogil=True, inline="always")
def _times(a, b):
    return _U32(_U32(a) * _U32(b))


@njit(cache=True, nogil=True, inline="always")
def _weighed(w00, w01, w10, w11, p00, p01, p10, p11):
    return _U32(_U32(_times(w00, p00) + _times(w01, p01)) + _U32(_times(w10, p10) + _times(w11, p11)))


@njit(cache=True, nogil=True)
def _row_length(width):
    """Return the length of the rows of packed pixels: an odd number of cache lines.

    The pixels of a column lie side by side in an image that is turned by a right angle; in rows of a power of two they
    would push each other out of the cache.
    """
    return ((width + _LINE - 1) // _LINE | 1) * _LINE


@njit(cache=True, nogil=True)
def packed(pixels):
    """Return an image with the three channels of a pixel in one number, red in the lowest bits; rows are filled up."""
    height, width = pixels.shape[0], pixels.shape[1]
    out = np.empty((height, _row_length(width)), np.uint32)
    for row in range(height):
        line, target = pixels[row].reshape(-1), out[row]
        for column in range(width):
            target[column] = line[3 * column] | (line[3 * column + 1] << 8) | (line[3 * column + 2] << 16)
    return out


@njit(cache=True, nogil=True)
def smoothed(pixels, width):
    """Return the means of four packed pixels that meet at a corner: one row and one column less, rows filled up."""
    out = np.empty((pixels.shape[0] - 1, _row_length(width - 1)), np.uint32)
    for row in range(out.shape[0]):
        above, below, target = pixels[row], pixels[row + 1], out[row]
        for column in range(width - 1):
            a, b, c, d = above[column], above[column + 1], below[column], below[column + 1]
            both = _U32(_U32(a & _RED_BLUE) + _U32(b & _RED_BLUE))
            both = _U32(both + _U32(_U32(c & _RED_BLUE) + _U32(d & _RED_BLUE)))
            one = _U32(_U32(a & _GREEN) + _U32(b & _GREEN))
            one = _U32(one + _U32(_U32(c & _GREEN) + _U32(d & _GREEN)))
            both, one = _U32(_U32(both + _TWOS) >> _U32(2)), _U32(_U32(one + _TWO) >> _U32(2))
            target[column] = _U32(_U32(both & _RED_BLUE) | _U32(one & _GREEN))
    return out


@njit(cache=True, nogil=True)
def _mirrored(position, length):
    """Return the place inside an image that a place outside is the mirror image of."""
    while position < 0 or position >= length:
        if position < 0:
            position = -1 - position
        else:
            position = 2 * length - 1 - position
    return position


@njit(cache=True, nogil=True)
def _places(a0, a1, a2, n_columns, n_rows, length, stride):
    """Return the least place along one side of the source that the result needs, and where it and all after it lie."""
    steps = (0.0, a0 * (n_columns - 1), a1 * (n_rows - 1), a0 * (n_columns - 1) + a1 * (n_rows - 1))
    first, last = math.floor(a2 + min(steps)) - 1, math.ceil(a2 + max(steps)) + 2
    lies_at = np.empty(int(last - first), np.int64)
    for step in range(lies_at.shape[0]):
        lies_at[step] = _mirrored(int(first) + step, length) * stride
    return int(first), lies_at


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
def _fetch_inside(packed, stride, x, y, step_x, step_y, p00, p01, p10, p11):
    """Fetch the four neighbours of places that have them all in the image."""
    for column in range(p00.shape[0]):
        place = np.uint64((y >> 16) * stride + (x >> 16))
        under = place + np.uint64(stride)
        x += step_x
        y += step_y
        p00[column], p01[column] = packed[place], packed[place + np.uint64(1)]
        p10[column], p11[column] = packed[under], packed[under + np.uint64(1)]


@njit(cache=True, nogil=True)
def _fetch_border(packed, across, down, x, y, step_x, step_y, p00, p01, p10, p11):
    """Fetch the four neighbours of places near or beyond the border; outside, the image is mirrored."""
    for column in range(p00.shape[0]):
        left, top = np.uint64(x >> 16), np.uint64(y >> 16)
        x += step_x
        y += step_y
        here, right = across[left], across[left + np.uint64(1)]
        above, below = down[top], down[top + np.uint64(1)]
        p00[column], p01[column] = packed[np.uint64(above + here)], packed[np.uint64(above + right)]
        p10[column], p11[column] = packed[np.uint64(below + here)], packed[np.uint64(below + right)]


@njit(cache=True, nogil=True)
def _fetch(packed, stride, height, width, x, y, step_x, step_y, first_x, across, first_y, down, found):
    """Fetch the four neighbours of a row of places."""
    first, last = _inside(x, step_x, width, 0, found.shape[1])
    first, last = _inside(y, step_y, height, first, last)
    last = max(first, last)
    u, v = x - (first_x << 16), y - (first_y << 16)
    a, b, c, d = found[0], found[1], found[2], found[3]
    _fetch_border(packed, across, down, u, v, step_x, step_y, a[:first], b[:first], c[:first], d[:first])
    x, y = x + first * step_x, y + first * step_y
    a, b, c, d = a[first:], b[first:], c[first:], d[first:]
    n = last - first
    _fetch_inside(packed, stride, x, y, step_x, step_y, a[:n], b[:n], c[:n], d[:n])
    u, v = u + last * step_x, v + last * step_y
    _fetch_border(packed, across, down, u, v, step_x, step_y, a[n:], b[n:], c[n:], d[n:])


@njit(cache=True, nogil=True, inline="always")
def _between(found, column, x, y, step_x, step_y):
    """Return 256 times red and blue (in one number) and green of a place, linear between four pixels to 1/256."""
    across = _U32(_U32(_U32(x + _times(column, step_x)) >> _EIGHT) & _BYTE)
    down = _U32(_U32(_U32(y + _times(column, step_y)) >> _EIGHT) & _BYTE)
    w11 = _U32(_times(across, down) >> _EIGHT)
    w10, w01 = _U32(down - w11), _U32(across - w11)
    w00 = _U32(_U32(256) - _U32(down + w01))
    a, b, c, d = found[0, column], found[1, column], found[2, column], found[3, column]
    both = _weighed(
        w00, w01, w10, w11, _U32(a & _RED_BLUE), _U32(b & _RED_BLUE), _U32(c & _RED_BLUE), _U32(d & _RED_BLUE)
    )
    one = _weighed(w00, w01, w10, w11, _U32(a & _GREEN), _U32(b & _GREEN), _U32(c & _GREEN), _U32(d & _GREEN))
    return _U32(both & _U32(0xFFFF)), _U32(one >> _EIGHT), _U32(both >> _U32(16))


@njit(cache=True, nogil=True, fastmath=_QUICK, error_model="numpy")
def _log2_row(found, x, y, step_x, step_y, red, green, blue):
    """Write the logarithm of the light of a row of places."""
    for column in range(red.shape[0]):
        r, g, b = _between(found, column, x, y, step_x, step_y)
        red[column], green[column], blue[column] = _log2_light(r), _log2_light(g), _log2_light(b)


@njit(cache=True, nogil=True, fastmath=_QUICK, error_model="numpy")
def _plain_row(found, x, y, step_x, step_y, gain, red, green, blue):
    """Write a row of places as it is, but for the light."""
    unit, one = _F32(gain / _F32(256 * 255)), _F32(1.0)
    for column in range(red.shape[0]):
        r, g, b = _between(found, column, x, y, step_x, step_y)
        red[column] = min(_F32(_I32(r)) * unit, one)
        green[column] = min(_F32(_I32(g)) * unit, one)
        blue[column] = min(_F32(_I32(b)) * unit, one)


@njit(cache=True, nogil=True, fastmath=_QUICK, error_model="numpy")
def _stain_row(l0, l1, l2, m0, m1, m2, shift, gain, out):
    """Write one channel of a row: the light that passes logarithms mixed by one column of a matrix."""
    factor, offset = _F32(gain * _F32(256.0 / 255.0)), _F32(gain * _F32(-1.0 / 255.0))
    zero, one = _F32(0.0), _F32(1.0)
    for column in range(out.shape[0]):
        exponent = shift + l0[column] * m0 + l1[column] * m1 + l2[column] * m2
        light = _exp2(min(max(exponent, _FAINTEST), _BRIGHTEST))
        out[column] = min(max(light * factor + offset, zero), one)


@njit(cache=True, nogil=True)
def vary(pixels, width, affine, mix, shift, gain, has_stain, out):
    """Write a varied image (3 height width, in [0, 1]) from packed pixels (height, at least `width`).

    `affine` leads from a pixel of the result to a place in the source: x = a0 X + a1 Y + a2, y = a3 X + a4 Y + a5;
    between pixels it is linear, outside the image is mirrored. Optical densities d become `d @ mix + shift`, values
    are multiplied by `gain` and cut off at 0 and 1.
    """
    height, stride, n_rows, n_columns = pixels.shape[0], pixels.shape[1], out.shape[1], out.shape[2]
    flat = pixels.reshape(-1)
    a0, a1, a2, a3, a4, a5 = affine
    first_x, across = _places(a0, a1, a2, n_columns, n_rows, width, 1)
    first_y, down = _places(a3, a4, a5, n_columns, n_rows, height, stride)
    found = np.empty((4, n_columns), np.uint32)
    light = np.empty((3, n_columns), np.float32)
    step_x, step_y = round(a0 * _FIXED), round(a3 * _FIXED)
    turn_x, turn_y = _U32(step_x & 0xFFFFFFFF), _U32(step_y & 0xFFFFFFFF)
    for row in range(n_rows):
        x, y = round((a1 * row + a2) * _FIXED), round((a4 * row + a5) * _FIXED)
        _fetch(flat, stride, height, width, x, y, step_x, step_y, first_x, across, first_y, down, found)
        x, y = _U32(x & 0xFFFFFFFF), _U32(y & 0xFFFFFFFF)
        if not has_stain:
            _plain_row(found, x, y, turn_x, turn_y, gain, out[0, row], out[1, row], out[2, row])
            continue
        _log2_row(found, x, y, turn_x, turn_y, light[0], light[1], light[2])
        for c in range(3):
            moved = shift[c] * _BITS_PER_DENSITY
            _stain_row(
                light[0], light[1], light[2], mix[0, c], mix[1, c], mix[2, c], moved, gain, out[c, row]
            )


@njit(cache=True, nogil=True)
def to_planes(pixels, out):
    """Write an image as planes (3 height width) in [0, 1], unchanged."""
    for row in range(pixels.shape[0]):
        line, red, green, blue = pixels[row].reshape(-1), out[0, row], out[1, row], out[2, row]
        for column in range(red.shape[0]):
            red[column] = _F32(line[3 * column]) / _WHITE
            green[column] = _F32(line[3 * column + 1]) / _WHITE
            blue[column] = _F32(line[3 * column + 2]) / _WHITE


@njit(cache=True, nogil=True)
def restain(pixels, mix, shift, density_of, out):
    """Write an image (height width 3, 0 to 255) whose optical densities d have become `d @ mix + shift`."""
    width = pixels.shape[1]
    rows = np.empty((3, width), np.float32)
    light = np.empty(width, np.float32)
    for row in range(pixels.shape[0]):
        for column in range(width):
            for channel in range(3):
                rows[channel, column] = density_of[pixels[row, column, channel]] * _BITS_PER_DENSITY
        for c in range(3):
            moved = shift[c] * _BITS_PER_DENSITY
            _stain_row(rows[0], rows[1], rows[2], mix[0, c], mix[1, c], mix[2, c], moved, _F32(1.0), light)
            for column in range(width):
                out[row, column, c] = int(light[column] * _WHITE + _F32(0.5))
