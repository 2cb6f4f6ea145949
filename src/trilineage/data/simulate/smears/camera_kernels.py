"""Compiled optics: dye amounts to light, the microscope's blur, and pixels of the camera."""

import numpy as np
from numba import njit


@njit(cache=True)
def transmit(stains, vectors):
    """Light that passes: exp(-sum over dyes of amount times absorbance) by colour (Beer and Lambert)."""
    n_dyes, height, width = stains.shape
    light = np.empty((height, width, 3), dtype=np.float32)
    for row in range(height):
        for column in range(width):
            is_glass = True
            for dye in range(n_dyes):
                is_glass &= stains[dye, row, column] == 0
            if is_glass:
                light[row, column] = 1.0
                continue
            for colour in range(3):
                density = np.float32(0.0)
                for dye in range(n_dyes):
                    density += stains[dye, row, column] * vectors[dye, colour]
                light[row, column, colour] = np.exp(-density)
    return light


@njit(cache=True)
def blur_and_bin(light, taps, factor):
    """Blur with a symmetric kernel along rows, then columns, and average squares of `factor` pixels.

    `taps` holds one half of the kernel, the middle first. Only the rows and columns inside the margin that the kernel
    needs are exact; at the edge the light is reflected.
    """
    height, width, _ = light.shape
    rows, columns, reach = height // factor, width // factor, len(taps) - 1
    # Along columns first, averaging `factor` of them at once: less is left for the second pass.
    narrow = np.zeros((height, columns, 3), dtype=np.float32)
    for row in range(height):
        for column in range(width):
            target = column // factor
            for offset in range(-reach, reach + 1):
                source = column + offset
                if source < 0:
                    source = -source - 1
                if source >= width:
                    source = 2 * width - source - 1
                weight = taps[abs(offset)]
                for colour in range(3):
                    narrow[row, target, colour] += weight * light[row, source, colour]
    small = np.zeros((rows, columns, 3), dtype=np.float32)
    for row in range(height):
        target = row // factor
        for offset in range(-reach, reach + 1):
            source = row + offset
            if source < 0:
                source = -source - 1
            if source >= height:
                source = 2 * height - source - 1
            weight = taps[abs(offset)]
            for column in range(columns):
                for colour in range(3):
                    small[target, column, colour] += weight * narrow[source, column, colour]
    return small / np.float32(factor * factor)


@njit(cache=True)
def vote(codes, owners, factor):
    """Code and owner that most pixels of each square of the canvas have."""
    rows, columns = codes.shape[0] // factor, codes.shape[1] // factor
    small_codes = np.zeros((rows, columns), dtype=codes.dtype)
    small_owners = np.zeros((rows, columns), dtype=owners.dtype)
    n = factor * factor
    seen = np.empty(n, dtype=np.int64)
    for row in range(rows):
        for column in range(columns):
            for place in range(n):
                y, x = row * factor + place // factor, column * factor + place % factor
                seen[place] = np.int64(owners[y, x]) * 16 + codes[y, x]
            best, most = seen[0], 0
            for other in range(n):
                most += seen[other] == best
            for place in range(n if 2 * most <= n else 0):
                count = 0
                for other in range(n):
                    count += seen[other] == seen[place]
                if count > most or (count == most and seen[place] > best):
                    best, most = seen[place], count
            small_codes[row, column] = best % 16
            small_owners[row, column] = best // 16
    return small_codes, small_owners
