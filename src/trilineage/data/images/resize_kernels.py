"""Compiled resizing of a colour image with the triangle filter: what Pillow calls BILINEAR, in a fifth of the time.

Pixels come as Pillow holds them, in four bytes (red, green, blue and one that counts for nothing): so a pixel is one
vector, and no copy is made before.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_QUICK = {"contract", "nnan", "nsz"}
"""What the compiler may do to sums: multiply and add in one step; it may not change their order."""
_AT_ONCE = 4
"""Taps that are added in one go; lists of taps are filled up with weights 0 to a multiple of it."""
_VECTOR = ir.VectorType(ir.FloatType(), 4)
_INTEGERS = ir.VectorType(ir.IntType(32), 4)
_BYTES = ir.VectorType(ir.IntType(8), 4)


@njit(cache=True, nogil=True)
def _taps(low, high, length, n_out):
    """Return the first place and the weights of each place of the result; weights 0 fill up the row.

    The filter is a triangle as wide as two places of the result (of the source, where that is enlarged), cut off at
    the borders, and its weights sum to 1.
    """
    scale = (high - low) / n_out
    support = max(scale, 1.0)
    n_taps = min(int(2 * support) + 1, length)
    starts = np.empty(n_out, np.int64)
    weights = np.zeros((n_out, -(-n_taps // _AT_ONCE) * _AT_ONCE), np.float32)
    for place in range(n_out):
        centre = low + (place + 0.5) * scale
        first = max(int(centre - support + 0.5), 0)
        last = min(int(centre + support + 0.5), length)
        total = 0.0
        for tap in range(last - first):
            total += max(1.0 - abs((first + tap - centre + 0.5) / support), 0.0)
        start = min(first, length - n_taps)
        for tap in range(last - first):
            share = max(1.0 - abs((first + tap - centre + 0.5) / support), 0.0)
            weights[place, first - start + tap] = share / total
        starts[place] = start
    return starts, weights


@intrinsic
def _write_mixed(typing, total, place, weights, tap, n_taps, out, target):  # noqa: PLR0913  (plain arrays)
    """Write a pixel to `out[target]`: the vectors from `total[place]` on, each times its weight, rounded.

    The compiler does not make vectors of four numbers that lie side by side; here it is told to. Four bytes are written
    of which the last belongs to the next pixel.
    """
    signature = types.void(total, place, weights, tap, n_taps, out, target)

    def generate(context, builder, signature, arguments):
        total, weights, out = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 2, 5)
        )
        place, tap, n_taps, target = (arguments[i] for i in (1, 3, 4, 6))
        kept = cgutils.alloca_once_value(builder, _VECTOR([0.5] * 4))
        with cgutils.for_range(builder, builder.udiv(n_taps, n_taps.type(_AT_ONCE))) as loop:
            first = builder.mul(loop.index, loop.index.type(_AT_ONCE))
            for step in range(_AT_ONCE):
                here = builder.add(first, first.type(step))
                weight = builder.load(builder.gep(weights, [builder.add(tap, here)]))
                alone = builder.insert_element(_VECTOR(ir.Undefined), weight, ir.IntType(32)(0))
                everywhere = builder.shuffle_vector(alone, alone, _INTEGERS([0] * 4))
                at = builder.gep(total, [builder.add(place, builder.mul(here, here.type(4)))])
                vector = builder.load(builder.bitcast(at, _VECTOR.as_pointer()), align=4)
                product = builder.fmul(vector, everywhere, flags=("contract",))
                builder.store(builder.fadd(builder.load(kept), product, flags=("contract",)), kept)
        rounded = builder.trunc(builder.fptosi(builder.load(kept), _INTEGERS), _BYTES)
        builder.store(rounded, builder.bitcast(builder.gep(out, [target]), _BYTES.as_pointer()), align=1)
        return context.get_dummy_value()

    return signature, generate


@njit(cache=True, nogil=True, fastmath=_QUICK, error_model="numpy")
def _add_rows(first, second, third, fourth, weights, tap, total):
    """Add four weighted rows of bytes to a total; the first four replace it."""
    a, b, c, d = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
    if tap == 0:
        for place in range(total.shape[0]):
            total[place] = (
                a * np.float32(first[place])
                + b * np.float32(second[place])
                + c * np.float32(third[place])
                + d * np.float32(fourth[place])
            )
    else:
        for place in range(total.shape[0]):
            total[place] += (
                a * np.float32(first[place])
                + b * np.float32(second[place])
                + c * np.float32(third[place])
                + d * np.float32(fourth[place])
            )


@njit(cache=True, nogil=True, fastmath=_QUICK, error_model="numpy")
def _add_three_rows(first, second, third, weights, total):
    """Replace a total by three weighted rows of bytes: what most rows of a slight shrinking are made of."""
    a, b, c = weights[0], weights[1], weights[2]
    for place in range(total.shape[0]):
        total[place] = (
            a * np.float32(first[place]) + b * np.float32(second[place]) + c * np.float32(third[place])
        )


@njit(cache=True, nogil=True)
def _down(pixels, start, weights, total):
    """Make a row of the result's height and the source's width; a row beyond the last weighs nothing."""
    last = pixels.shape[0] - 1
    if weights.shape[0] == _AT_ONCE and weights[3] == 0:
        _add_three_rows(
            pixels[start], pixels[min(start + 1, last)], pixels[min(start + 2, last)], weights, total
        )
        return
    for tap in range(0, weights.shape[0], _AT_ONCE):
        row = start + tap
        _add_rows(
            pixels[min(row, last)],
            pixels[min(row + 1, last)],
            pixels[min(row + 2, last)],
            pixels[min(row + 3, last)],
            weights,
            tap,
            total,
        )


@njit(cache=True, nogil=True)
def _across(total, starts, weights, n_taps, out, target):
    """Write a row of the result, to `out[target]` and on, from one that is already of its height."""
    if n_taps == _AT_ONCE:  # the same, but for a number of taps that is known to the compiler
        for column in range(starts.shape[0]):
            place, tap = np.uint64(4 * starts[column]), np.uint64(_AT_ONCE * column)
            _write_mixed(total, place, weights, tap, np.uint64(_AT_ONCE), out, np.uint64(target + 3 * column))
        return
    for column in range(starts.shape[0]):
        place, tap = np.uint64(4 * starts[column]), np.uint64(n_taps * column)
        _write_mixed(total, place, weights, tap, np.uint64(n_taps), out, np.uint64(target + 3 * column))


@njit(cache=True, nogil=True)
def resize(pixels, box, shape, out):
    """Write the part of an image (height width 4) inside a box (left, top, right, bottom) at another size.

    `out` gets red, green and blue of `shape` (height, width), row by row, and one byte beyond.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    source = pixels.reshape(height, width * 4)
    left_of, across = _taps(box[0], box[2], width, shape[1])
    top_of, down = _taps(box[1], box[3], height, shape[0])
    total = np.zeros(
        4 * (width + _AT_ONCE), np.float32
    )  # what fills up the taps may lie beyond the last pixel
    for row in range(shape[0]):
        _down(source, top_of[row], down[row], total[: 4 * width])
        _across(total, left_of, across.reshape(-1), across.shape[1], out, 3 * row * shape[1])
