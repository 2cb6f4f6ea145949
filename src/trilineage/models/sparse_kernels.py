"""Compiled loops over the non-zeros of a cell-by-gene batch: sorting, transposing and multiplying.

Every output element is written by one thread, in an order fixed by the data, so results are bit-identical for
any number of threads. Left un-annotated for numba; the typed doors are in `sparse.py`.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed doors keep the argument lists short)

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

COLUMN_TILE = 256
"""Width of the column tile of the dense matrix: with `ROW_TILE` rows it is 256 kB and stays in a core's L2 cache."""
ROW_TILE = 256
"""Rows of the dense matrix that are kept in cache while the sparse rows walk over them."""


@njit(cache=True, parallel=True, nogil=True)
def rows_are_sound(indptr, indices, n_columns):
    """Tell whether the indices of every row ascend strictly within [0, n_columns)."""
    n_bad = 0
    for row in prange(indptr.size - 1):
        before = -1
        bad = 0
        for k in range(indptr[row], indptr[row + 1]):
            bad += indices[k] <= before
            before = indices[k]
        n_bad += bad + (before >= n_columns)
    return n_bad == 0


@njit(cache=True, parallel=True, nogil=True)
def transpose(indptr, indices, payload, n_columns, n_parts, pairs):
    """Sort the non-zeros by column, then row, into `pairs` of 8 bytes: a scattered write is one line.

    A counting sort in which each part of the rows fills its own slots: the order does not depend on timing.
    """
    n_rows = indptr.size - 1
    slots = np.zeros((n_parts, n_columns), np.int32)
    for part in prange(n_parts):
        mine = slots[part]
        for k in range(indptr[part * n_rows // n_parts], indptr[(part + 1) * n_rows // n_parts]):
            mine[np.uint32(indices[k])] += 1
    out_indptr = np.empty(n_columns + 1, np.int64)
    total = 0
    for column in range(n_columns):
        out_indptr[column] = total
        for part in range(n_parts):
            n_here = slots[part, column]
            slots[part, column] = total
            total += n_here
    out_indptr[n_columns] = total
    for part in prange(n_parts):
        mine = slots[part]
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            high = np.int64(row) << 32
            for k in range(indptr[row], indptr[row + 1]):
                place = np.uint32(indices[k])  # unsigned: no test for a negative index
                slot = np.uint32(mine[place])
                mine[place] = slot + 1
                pairs[slot] = high | np.int64(payload[k])
    return out_indptr


@njit(cache=True, parallel=True, nogil=True)
def segment_sums(indptr, values):
    """Return the sum of the values, and of their squares, of each segment, added up in double precision."""
    sums, squares = np.empty(indptr.size - 1), np.empty(indptr.size - 1)
    for segment in prange(sums.size):
        total, square = 0.0, 0.0
        for k in range(indptr[segment], indptr[segment + 1]):
            value = np.float64(values[k])
            total += value
            square += value * value
        sums[segment], squares[segment] = total, square
    return sums, squares


def _row_adder(width):
    """Return the function that adds `values[k] * dense[indices[k], column : column + width]` to `out[row, column:]`.

    Written in LLVM terms because the sum must stay in vector registers from the first non-zero to the last; a plain
    loop loads and stores it at every non-zero, and is not vectorised at all.
    """
    vector = ir.VectorType(ir.FloatType(), width)

    @intrinsic
    def add_rows(typing_context, out, row, column, dense, indices, values, start, stop):
        def generate(context, builder, signature, arguments):
            arrays = {
                i: context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 3, 4, 5)
            }
            _, row, column, _, _, _, start, stop = arguments
            stride = builder.extract_value(arrays[3].shape, 1)
            place = builder.add(builder.mul(row, stride), column)
            four = stride.type(4)
            steps = [builder.udiv(builder.extract_value(arrays[i].strides, 0), four) for i in (4, 5)]
            target = builder.bitcast(builder.gep(arrays[0].data, [place]), vector.as_pointer())
            origin = builder.gep(arrays[3].data, [column])
            total = cgutils.alloca_once_value(builder, builder.load(target, align=4))
            with cgutils.for_range_slice(builder, start, stop, start.type(1), inc=True) as (k, _):
                index = builder.load(builder.gep(arrays[4].data, [builder.mul(k, steps[0])]))
                value = builder.load(builder.gep(arrays[5].data, [builder.mul(k, steps[1])]))
                index = builder.zext(index, stride.type)
                source = builder.bitcast(
                    builder.gep(origin, [builder.mul(index, stride)]), vector.as_pointer()
                )
                first = builder.insert_element(vector(ir.Undefined), value, ir.IntType(32)(0))
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
                spread = builder.shuffle_vector(first, vector(ir.Undefined), zeros)
                product = builder.fmul(builder.load(source, align=4), spread, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)
            builder.store(builder.load(total), target, align=4)
            return context.get_dummy_value()

        wanted = types.void(out, types.intp, types.intp, dense, indices, values, types.intp, types.intp)
        return wanted, generate

    return add_rows


_add_wide, _add_narrow, _add_single = _row_adder(64), _row_adder(8), _row_adder(1)


@njit(cache=True, nogil=True)
def _add_row(out, row, dense, indices, values, start, stop, first, last):
    column = first
    while column + 64 <= last:
        _add_wide(out, row, column, dense, indices, values, start, stop)
        column += 64
    while column + 8 <= last:
        _add_narrow(out, row, column, dense, indices, values, start, stop)
        column += 8
    while column < last:
        _add_single(out, row, column, dense, indices, values, start, stop)
        column += 1


@njit(cache=True, parallel=True, nogil=True)
def multiply(indptr, indices, values, dense, bounds, row_block, out):
    """Write `sparse @ dense` to `out`; thread t owns sparse rows bounds[t] to bounds[t + 1], `row_block` at a time."""
    n_inner, width = dense.shape
    for part in prange(bounds.size - 1):
        for top in range(bounds[part], bounds[part + 1], row_block):
            bottom = min(top + row_block, bounds[part + 1])
            out[top:bottom] = 0
            for first in range(0, width, COLUMN_TILE):
                last = min(first + COLUMN_TILE, width)
                cursor = indptr[top:bottom].copy()
                for limit in range(ROW_TILE, n_inner + ROW_TILE, ROW_TILE):
                    for row in range(top, bottom):
                        start = cursor[row - top]
                        stop = start
                        while stop < indptr[row + 1] and indices[stop] < limit:
                            stop += 1
                        if stop > start:
                            _add_row(out, row, dense, indices, values, start, stop, first, last)
                            cursor[row - top] = stop


@njit(cache=True, parallel=True, nogil=True, fastmath={"contract", "reassoc"})
def sample_products(indptr, indices, left, right, out):
    """Write `left[row] . right[index]` for every non-zero position: the gradient with respect to the values."""
    for row in prange(indptr.size - 1):
        mine = left[row]
        for k in range(indptr[row], indptr[row + 1]):
            other = right[indices[k]]
            total = np.float32(0)
            for h in range(mine.size):
                total += mine[h] * other[h]
            out[k] = total
