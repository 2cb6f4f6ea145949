"""Compiled loops over active (token, latent) pairs: errors of nested reconstructions, and gradient rows per latent.

Every output row is written by one thread in an order fixed by the data, so results are the same for any number of
threads. Left un-annotated for numba; the typed doors are in `gradients.py`.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed doors keep the argument lists short)

import numpy as np
from numba import njit, prange

from trilineage.models.sae.decoding_kernels import add_row, add_rows

_FAST = {"contract", "reassoc", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST)
def _dot(left, right):
    total = np.float32(0)
    for j in range(left.size):
        total += left[j] * right[j]
    return total


@njit(cache=True, parallel=True, nogil=True)
def nested_errors(
    indptr, latents, values, weight, start, targets, factors, prefix_ends, prefix_weights, errors, losses
):
    """Write the gradient of the nested squared errors with respect to each reconstruction.

    The reconstruction of prefix g is `start` plus the decoder rows of the active latents below `prefix_ends[g]`; its
    loss is its squared distance to the target times `factors[token]` times `prefix_weights[g]`. `errors` (prefix,
    token, width) receives for prefix g the sum over all prefixes from g on of the gradients: what the decoder row of
    a latent that is first in prefix g meets. `losses` receives the sum of the losses of each token.
    """
    n_prefixes, width = prefix_ends.size, targets.shape[1]
    for token in prange(targets.shape[0]):
        place, stop = indptr[token], indptr[token + 1]
        total = 0.0
        sums = start.copy()
        for prefix in range(n_prefixes):
            end = place
            while end < stop and latents[end] < prefix_ends[prefix]:
                end += 1
            add_rows(sums, weight, latents[place:end], values[place:end])
            place = end
            mine, target = errors[prefix, token], targets[token]
            scale = factors[token] * prefix_weights[prefix]
            squares = 0.0
            for j in range(width):
                difference = sums[j] - target[j]
                squares += np.float64(difference) * np.float64(difference)
                mine[j] = np.float32(2) * scale * difference
            total += squares * scale
        for prefix in range(n_prefixes - 2, -1, -1):
            add_row(errors[prefix, token], errors[prefix + 1, token], np.float32(1))
        losses[token] = total


@njit(cache=True, parallel=True, nogil=True)
def gradient_rows(
    starts, tokens, values, first, errors, inputs, weight, jump, penalty, is_first, project, out, biases
):
    """Write or add the gradient rows of the latents from `first` on, from their pairs sorted by latent.

    `starts` (one more than there are latents here) says where the pairs of each latent are in `tokens` and `values`.
    `errors` and `inputs` (token, width) are the gradient at the reconstruction and what the encoder saw. `jump` is
    (thresholds, bandwidth, weight of the count) of a JumpReLU, with no thresholds where there is none: then all values
    are above 0 and `penalty` is the slope of their sum in the loss. `out` is (encoder, decoder) gradients, `biases`
    those of (encoder bias, threshold).
    """
    thresholds, bandwidth, count_weight = jump
    encoder_out, decoder_out = out
    width = errors.shape[1]
    is_jump = thresholds.size > 0
    for row in prange(starts.size - 1):
        begin, end = starts[row], starts[row + 1]
        latent = first + row
        to_encoder, to_decoder = encoder_out[latent], decoder_out[latent]
        if begin == end:
            if is_first:
                to_encoder[:] = 0
                to_decoder[:] = 0
                biases[0, latent] = 0
                biases[1, latent] = 0
            continue
        direction = weight[latent]
        slopes = np.empty(end - begin, np.float32)
        heights = values[begin:end]
        for i in range(end - begin):
            slopes[i] = _dot(errors[tokens[begin + i]], direction) + penalty
        of_threshold = 0.0
        if is_jump:
            heights = heights.copy()
            theta = thresholds[latent]
            for i in range(end - begin):
                if abs(heights[i] - theta) < bandwidth / 2:
                    of_threshold -= (np.float64(theta) * slopes[i] + count_weight) / bandwidth
                if heights[i] <= theta:
                    heights[i] = 0
                    slopes[i] = 0
        to_row = np.zeros(width, np.float32)
        add_rows(to_row, errors, tokens[begin:end], heights)
        if project:
            along, square = _dot(to_row, direction), _dot(direction, direction)
            add_row(to_row, direction, -along / max(square, np.float32(1e-30)))
        if is_first:
            to_decoder[:] = to_row
            to_row[:] = 0
            add_rows(to_row, inputs, tokens[begin:end], slopes)
            to_encoder[:] = to_row
            biases[0, latent] = 0
            biases[1, latent] = 0
        else:
            add_row(to_decoder, to_row, np.float32(1))
            add_rows(to_encoder, inputs, tokens[begin:end], slopes)
        of_bias = 0.0
        for i in range(end - begin):
            of_bias += slopes[i]
        biases[0, latent] += of_bias
        biases[1, latent] += of_threshold
