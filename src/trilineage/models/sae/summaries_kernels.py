"""Compiled loops from the codes of tokens to those of images; left un-annotated, the typed door is `summaries.py`.

They run on one thread, so that several may run side by side, each for its own images.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed door keeps the argument lists short)

from numba import njit


@njit(cache=True, nogil=True)
def count_latents(indptr, latents, values, n_tokens, n_prefix, slots, counts):
    """Count, per image, the latents that CLS or a patch activates; `slots` (-1 for each latent) is left as it was."""
    for image in range(counts.size):
        n_distinct = 0
        for token in range(image * n_tokens, (image + 1) * n_tokens):
            if 0 < token - image * n_tokens < n_prefix:
                continue
            for k in range(indptr[token], indptr[token + 1]):
                if values[k] > 0 and slots[latents[k]] < 0:
                    slots[latents[k]] = 0
                    n_distinct += 1
        counts[image] = n_distinct
        for k in range(indptr[image * n_tokens], indptr[(image + 1) * n_tokens]):
            slots[latents[k]] = -1


@njit(cache=True, nogil=True)
def fill(
    indptr, latents, values, n_tokens, n_prefix, tau, slots, starts, places, sums, counts, peaks, at, cls
):
    """Write the figures of each image; the arrays after `places` hold zeros, `at` holds -1, `sums` are double."""
    for image in range(starts.size - 1):
        first = image * n_tokens
        start, stop = starts[image], starts[image + 1]
        n = start
        for token in range(first, first + n_tokens):
            if 0 < token - first < n_prefix:
                continue
            for k in range(indptr[token], indptr[token + 1]):
                if values[k] > 0 and slots[latents[k]] < 0:
                    slots[latents[k]] = 0
                    places[n] = latents[k]
                    n += 1
        places[start:stop].sort()
        for i in range(start, stop):
            slots[places[i]] = i
        for token in range(first, first + n_tokens):
            patch = token - first - n_prefix
            if patch < 0 and token > first:
                continue
            for k in range(indptr[token], indptr[token + 1]):
                value = values[k]
                if not value > 0:
                    continue
                i = slots[latents[k]]
                if patch < 0:
                    cls[i] = value
                    continue
                sums[i] += value
                counts[i] += value > tau
                if value > peaks[i]:
                    peaks[i] = value
                    at[i] = patch
        for i in range(start, stop):
            slots[places[i]] = -1
