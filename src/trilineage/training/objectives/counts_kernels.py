"""Compiled negative-binomial likelihoods: one sweep from logits to loss and gradient, with softmax inside.

A zero count costs one exponential and one logarithm; gamma functions are met at non-zeros only. Rows are shared out in
fixed blocks and added up in a fixed order, so the result does not depend on the number of threads or on their timing.

Loops that must become vector instructions work on whole slices, compute in single precision, divide without a test
for zero (`error_model`) and touch few arrays: LLVM gives up beyond a handful of possible overlaps. Elsewhere numbers
are double precision.
"""

# ruff: noqa: PLR0913  (compiled code takes plain arrays; the typed doors keep the argument lists short)

import math

import numpy as np
from numba import njit, prange

ROW_BLOCK = 64
"""Rows whose dispersion gradient is added up together: a fixed number, never the number of threads."""
PIECE = 1024
"""Genes whose single-precision partial sums are added up before they join a double-precision total."""
_LOG_FACTORIALS = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, 1024.0)))])
"""log(n!) for n below 1,024."""
ODDS_LIMIT = np.float32(40.0)
"""Zero-inflation logits beyond plus or minus this act as it: a probability of zero within 1e-17 of 0 or 1."""
_FAST = {"contract", "reassoc", "nsz", "arcp", "nnan", "ninf"}
_F = np.float32


@njit(cache=True, nogil=True, inline="always", fastmath=_FAST)
def fast_exp(x):
    """Exponential in single precision, relative error about 1e-7 (Cephes `expf`: a power of two times a polynomial)."""
    x = min(max(x, _F(-87)), _F(88))
    biased = np.int32(
        x * _F(1.44269504088896341) + _F(127.5)
    )  # positive, so truncation rounds to the nearest
    n = _F(np.int32(biased - 127))
    r = x - n * _F(0.693359375) + n * _F(2.12194440e-4)
    p = _F(1.9875691500e-4)
    p = p * r + _F(1.3981999507e-3)
    p = p * r + _F(8.3334519073e-3)
    p = p * r + _F(4.1665795894e-2)
    p = p * r + _F(1.6666665459e-1)
    p = p * r + _F(5.0000001201e-1)
    power = np.int32(biased << 23).view(np.float32)
    return (p * r * r + r + _F(1)) * power


@njit(cache=True, nogil=True, inline="always", fastmath=_FAST)
def fast_log1p(u):
    """log(1 + u) for u >= 0 in single precision, relative error about 1e-7, small u included (Cephes `logf`)."""
    bits = _F(_F(1) + u).view(np.int32)
    exponent = np.int32(np.int32(bits - 0x3F3504F3) >> 23)
    mantissa = np.int32(bits - np.int32(exponent << 23)).view(np.float32)
    f = u if exponent == 0 else mantissa - _F(1)
    e = _F(exponent)
    z = f * f
    p = _F(7.0376836292e-2)
    p = p * f - _F(1.1514610310e-1)
    p = p * f + _F(1.1676998740e-1)
    p = p * f - _F(1.2420140846e-1)
    p = p * f + _F(1.4249322787e-1)
    p = p * f - _F(1.6668057665e-1)
    p = p * f + _F(2.0000714765e-1)
    p = p * f - _F(2.4999993993e-1)
    p = p * f + _F(3.3333331174e-1)
    return f + (p * f * z - e * _F(2.12194440e-4) - _F(0.5) * z) + e * _F(0.693359375)


@njit(cache=True, nogil=True)
def log_gamma_and_digamma(x):
    """Return log Gamma(x) and its derivative for x > 0: recurrence up to 8, then Stirling's series (error < 1e-11)."""
    product, derivative = 1.0, 0.0
    while x < 8.0:
        derivative = derivative * x + product
        product *= x
        x += 1.0
    inverse = 1.0 / x
    square = inverse * inverse
    log_x = math.log(x)
    series = inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square * (1 / 1188))))
    )
    log_gamma = (x - 0.5) * log_x - x + 0.9189385332046727 + series - math.log(product)
    tail = square * (
        1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square * (1 / 132))))
    )
    return log_gamma, log_x - 0.5 * inverse - tail - derivative / product


@njit(cache=True, parallel=True, nogil=True)
def gamma_table(theta):
    """Return log Gamma, digamma and log of each dispersion (3, gene)."""
    table = np.empty((3, theta.size))
    for gene in prange(theta.size):
        table[0, gene], table[1, gene] = log_gamma_and_digamma(float(theta[gene]))
        table[2, gene] = math.log(theta[gene])
    return table


@njit(cache=True, nogil=True)
def _rising(x, theta, gene, table):
    """Return log Gamma(x + theta) - log Gamma(theta), and its derivative with respect to theta."""
    if x == 1.0:
        return table[2, gene], 1.0 / theta
    if x <= 8.0 and x == float(int(x)):
        product, derivative = theta, 1.0
        for step in range(1, int(x)):
            derivative = derivative * (theta + step) + product
            product *= theta + step
        return math.log(product), derivative / product
    upper, slope = log_gamma_and_digamma(x + theta)
    return upper - table[0, gene], slope - table[1, gene]


@njit(cache=True, nogil=True)
def _log_factorial(x):
    if x < 1024.0 and x == float(int(x)):
        return _LOG_FACTORIALS[int(x)]
    return log_gamma_and_digamma(x + 1.0)[0]


@njit(cache=True, nogil=True)
def _highest(bits):
    """Return the largest float of an array given as int32 bits: integers order alike, and LLVM vectorises them."""
    top = np.int32(-(2**31))
    for i in range(bits.size):
        ordered = np.int32(bits[i] ^ (np.int32(bits[i] >> 31) & 0x7FFFFFFF))
        top = ordered if ordered > top else top
    return np.int32(top ^ (np.int32(top >> 31) & 0x7FFFFFFF)).view(np.float32)


@njit(cache=True, nogil=True, fastmath=_FAST)
def _exponentiate(piece, top):
    """Replace logits by exp(logit - top); return their sum."""
    total = _F(0)
    for i in range(piece.size):
        e = fast_exp(piece[i] - top)
        piece[i] = e
        total += e
    return total


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _nb_zero_terms(piece, scale, theta, inverse_theta, slope, zero):
    """Write -log NB(0) to `zero` and its derivative by the log of the mean to `slope`."""
    for i in range(piece.size):
        mean = piece[i] * scale
        slope[i] = theta[i] * mean / (theta[i] + mean)
        zero[i] = theta[i] * fast_log1p(mean * inverse_theta[i])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _nb_zeros(zero, slope, theta_slope):
    """Add up the terms of a piece as if every count were 0."""
    loss, slopes = _F(0), _F(0)
    for i in range(zero.size):
        loss += zero[i]
        slopes += slope[i]
        theta_slope[i] += zero[i] - slope[i]
    return loss, slopes


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _zinb_zeros(zero, slope, theta_slope, dropout):
    """As `_nb_zeros` for -log(pi + (1 - pi) NB(0)); overwrite the dropout logits by their gradient."""
    loss, slopes = _F(0), _F(0)
    for i in range(zero.size):
        nb_zero = fast_exp(-zero[i])
        odds = fast_exp(min(max(-dropout[i], -ODDS_LIMIT), ODDS_LIMIT))
        both, alone = _F(1) + odds * nb_zero, _F(1) + odds
        inverse = _F(1) / (both * alone)
        share = alone * inverse
        weight = odds * nb_zero * share
        loss += fast_log1p(odds * (_F(1) - nb_zero) * share)
        theta_slope[i] += weight * (zero[i] - slope[i])
        here = weight * slope[i]
        slopes += here
        slope[i] = here
        dropout[i] = weight - odds * both * inverse
    return loss, slopes


@njit(cache=True, nogil=True, fastmath=_FAST)
def _softmax_gradient(row, slope, factor):
    """Carry d loss / d log mean through the softmax: slope - share * sum of slopes."""
    for i in range(row.size):
        row[i] = slope[i] - row[i] * factor


@njit(cache=True, nogil=True)
def _start_row(row, indices, seen):
    """Keep the logits of the non-zeros, then exponentiate the row; return its maximum and the sum of exponentials."""
    for k in range(indices.size):
        seen[k] = row[indices[k]]
    top = _highest(row.view(np.int32))
    total = 0.0
    for first in range(0, row.size, PIECE):
        total += np.float64(_exponentiate(row[first : first + PIECE], top))
    return np.float64(top), total


@njit(cache=True, parallel=True, nogil=True)
def negative_binomial(indptr, indices, counts, library, thetas, gammas, logits, row_loss, theta_partial):
    """Write the negative log-likelihood of each row; overwrite logits by their gradient.

    `thetas` holds theta and 1 / theta (2, gene), `gammas` is `gamma_table(theta)`; `theta_partial` (block, gene)
    receives the gradient of log theta of each block of `ROW_BLOCK` rows.
    """
    n_rows, n_genes = logits.shape
    theta, inverse_theta = thetas[0], thetas[1]
    for block in prange(theta_partial.shape[0]):
        theta_slope = theta_partial[block]
        theta_slope[:] = 0
        slope, zero, seen = np.empty(n_genes, _F), np.empty(PIECE, _F), np.empty(n_genes, _F)
        for cell in range(block * ROW_BLOCK, min((block + 1) * ROW_BLOCK, n_rows)):
            row, start, stop = logits[cell], indptr[cell], indptr[cell + 1]
            top, total = _start_row(row, indices[start:stop], seen)
            scale = library[cell] / total
            loss, slopes = 0.0, 0.0
            for a in range(0, n_genes, PIECE):
                b = min(a + PIECE, n_genes)
                here = zero[: b - a]
                _nb_zero_terms(row[a:b], _F(scale), theta[a:b], inverse_theta[a:b], slope[a:b], here)
                part, slope_part = _nb_zeros(here, slope[a:b], theta_slope[a:b])
                loss += np.float64(part)
                slopes += np.float64(slope_part)
            log_scale = math.log(scale) - top if stop > start else 0.0
            for k in range(start, stop):
                gene, x, t = indices[k], float(counts[k]), float(theta[indices[k]])
                mean, log_mean = row[gene] * scale, seen[k - start] + log_scale
                log_rising, digamma = _rising(x, t, gene, gammas)
                ratio = x / (t + mean)
                log_sum = gammas[2, gene] + np.float64(fast_log1p(_F(mean / t)))
                loss += x * (log_sum - log_mean) - log_rising + _log_factorial(x)
                slope[gene] += ratio * mean - x
                slopes += ratio * mean - x
                theta_slope[gene] += t * (ratio - digamma)
            row_loss[cell] = loss
            _softmax_gradient(row, slope, _F(slopes / total))


@njit(cache=True, parallel=True, nogil=True)
def zero_inflated(indptr, indices, counts, library, thetas, gammas, logits, dropout, row_loss, theta_partial):
    """As `negative_binomial`, with the zero-inflation logits `dropout` (overwritten by their gradient too)."""
    n_rows, n_genes = logits.shape
    theta, inverse_theta = thetas[0], thetas[1]
    for block in prange(theta_partial.shape[0]):
        theta_slope = theta_partial[block]
        theta_slope[:] = 0
        slope, zero, seen = np.empty(n_genes, _F), np.empty(PIECE, _F), np.empty((2, n_genes), _F)
        for cell in range(block * ROW_BLOCK, min((block + 1) * ROW_BLOCK, n_rows)):
            row, inflation, start, stop = logits[cell], dropout[cell], indptr[cell], indptr[cell + 1]
            for k in range(start, stop):
                seen[1, k - start] = inflation[indices[k]]
            top, total = _start_row(row, indices[start:stop], seen[0])
            scale = library[cell] / total
            loss, slopes = 0.0, 0.0
            for a in range(0, n_genes, PIECE):
                b = min(a + PIECE, n_genes)
                here = zero[: b - a]
                _nb_zero_terms(row[a:b], _F(scale), theta[a:b], inverse_theta[a:b], slope[a:b], here)
                part, slope_part = _zinb_zeros(here, slope[a:b], theta_slope[a:b], inflation[a:b])
                loss += np.float64(part)
                slopes += np.float64(slope_part)
            log_scale = math.log(scale) - top if stop > start else 0.0
            for k in range(start, stop):
                gene, x, t = indices[k], float(counts[k]), float(theta[indices[k]])
                mean, log_mean, d = row[gene] * scale, seen[0, k - start] + log_scale, seen[1, k - start]
                log_ratio, share = np.float64(fast_log1p(_F(mean / t))), mean / (t + mean)
                log_rising, digamma = _rising(x, t, gene, gammas)
                nb_loss = (
                    (t + x) * log_ratio + x * (gammas[2, gene] - log_mean) - log_rising + _log_factorial(x)
                )
                # softplus(d) less the loss of the zero that was added is d + log(1 + odds NB(0)).
                odds = np.float64(fast_exp(min(max(-d, -ODDS_LIMIT), ODDS_LIMIT)))
                odds_zero = odds * np.float64(fast_exp(_F(-t * log_ratio)))
                weight = odds_zero / (1.0 + odds_zero)
                loss += nb_loss + max(d, -ODDS_LIMIT) + np.float64(fast_log1p(_F(odds_zero)))
                slope[gene] = (x + t) * share - x
                slopes += (x + t) * share - x - weight * t * share
                theta_slope[gene] += t * ((log_ratio - share) * (1.0 - weight) + x / (t + mean) - digamma)
                inflation[gene] = 1.0 / (1.0 + odds)
            row_loss[cell] = loss
            _softmax_gradient(row, slope, _F(slopes / total))
