"""Compiled negative-binomial likelihoods: one sweep from logits to loss and gradient, with softmax inside.

A zero count costs one exponential and one logarithm; gamma functions are met at non-zeros only. Rows are shared out in
fixed blocks and added up in a fixed order, so the result does not depend on the number of threads or on their timing.
"""

import math

import numpy as np
from numba import njit, prange

ROW_BLOCK = 64
"""Rows whose dispersion gradient is added up together: a fixed number, never the number of threads."""
PIECE = 1024
"""Genes whose single-precision partial sums are added up before they join a double-precision total."""
_FAST = {"contract", "reassoc", "nsz", "arcp", "nnan", "ninf"}
_F = np.float32


@njit(cache=True, nogil=True, inline="always", fastmath=_FAST)
def fast_exp(x):
    """Exponential in single precision, relative error about 1e-7 (Cephes `expf`: a power of two times a polynomial)."""
    x = min(max(x, _F(-87.0)), _F(88.0))
    n = np.floor(x * _F(1.44269504088896341) + _F(0.5))
    r = x - n * _F(0.693359375) + n * _F(2.12194440e-4)
    p = _F(1.9875691500e-4)
    p = p * r + _F(1.3981999507e-3)
    p = p * r + _F(8.3334519073e-3)
    p = p * r + _F(4.1665795894e-2)
    p = p * r + _F(1.6666665459e-1)
    p = p * r + _F(5.0000001201e-1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * r * r + r + _F(1)) * power


@njit(cache=True, nogil=True, inline="always", fastmath=_FAST)
def fast_log1p(u):
    """log(1 + u) for u >= 0 in single precision, relative error about 1e-7, small u included (Cephes `logf`)."""
    bits = _F(_F(1) + u).view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    mantissa = np.int32(bits - (exponent << np.int32(23))).view(np.float32)
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
    product, reciprocals = 1.0, 0.0
    while x < 8.0:
        product *= x
        reciprocals += 1.0 / x
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
    return log_gamma, log_x - 0.5 * inverse - tail - reciprocals


@njit(cache=True, nogil=True)
def rising(x, theta):
    """Return log of Gamma(x + theta) / Gamma(theta), and its derivative with respect to theta."""
    if x <= 16.0 and x == math.floor(x):
        product, derivative = 1.0, 0.0
        for step in range(int(x)):
            derivative = derivative * (theta + step) + product
            product *= theta + step
        return math.log(product), derivative / product
    upper, upper_slope = log_gamma_and_digamma(x + theta)
    lower, lower_slope = log_gamma_and_digamma(theta)
    return upper - lower, upper_slope - lower_slope


@njit(cache=True, nogil=True)
def log_factorials(counts, start, stop):
    """Return the sum of log Gamma(count + 1): small whole counts from a product, others from Stirling's series."""
    total = 0.0
    for k in range(start, stop):
        if counts[k] != 1.0:
            total += rising(counts[k], 1.0)[0]
    return total


@njit(cache=True, nogil=True, fastmath=_FAST)
def _exponentiate(row, library):
    """Replace logits by exponentials less their maximum; return the factor that makes means, and the log of both."""
    top = row[0]
    for gene in range(row.size):
        top = max(top, row[gene])
    total = 0.0
    for first in range(0, row.size, PIECE):
        piece = _F(0)
        for gene in range(first, min(first + PIECE, row.size)):
            e = fast_exp(row[gene] - top)
            row[gene] = e
            piece += e
        total += piece
    return top, total, library / total


@njit(cache=True, nogil=True, fastmath=_FAST)
def _nb_zeros(row, scale, theta, inverse_theta, slope, theta_slope):
    """As if every count were 0: return the loss and the sum of the slopes; slope = d loss / d log mean."""
    loss, slopes = 0.0, 0.0
    for first in range(0, row.size, PIECE):
        loss_piece, slope_piece = _F(0), _F(0)
        for gene in range(first, min(first + PIECE, row.size)):
            mean = row[gene] * scale
            share = mean / (theta[gene] + mean)
            log_ratio = fast_log1p(mean * inverse_theta[gene])
            here = theta[gene] * share
            loss_piece += theta[gene] * log_ratio
            slope_piece += here
            slope[gene] = here
            theta_slope[gene] += theta[gene] * (log_ratio - share)
        loss += loss_piece
        slopes += slope_piece
    return loss, slopes


@njit(cache=True, nogil=True, fastmath=_FAST)
def _softmax_gradient(row, slope, total, slopes):
    """Carry d loss / d log mean through the softmax: slope - share * sum of slopes."""
    factor = _F(slopes / total)
    for gene in range(row.size):
        row[gene] = slope[gene] - row[gene] * factor


@njit(cache=True, parallel=True, nogil=True)
def negative_binomial(
    indptr, indices, counts, library, theta, inverse_theta, logits, row_loss, theta_partial
):
    """Write the negative log-likelihood of each row; overwrite logits by their gradient.

    `theta_partial` (block gene) receives the gradient of log theta of each block of `ROW_BLOCK` rows.
    """
    n_rows, n_genes = logits.shape
    for block in prange(theta_partial.shape[0]):
        theta_slope = theta_partial[block]
        theta_slope[:] = 0
        slope = np.empty(n_genes, np.float32)
        for cell in range(block * ROW_BLOCK, min((block + 1) * ROW_BLOCK, n_rows)):
            row, start, stop = logits[cell], indptr[cell], indptr[cell + 1]
            seen = np.empty(stop - start, np.float32)
            for k in range(start, stop):
                seen[k - start] = row[indices[k]]
            top, total, scale = _exponentiate(row, library[cell])
            loss, slopes = _nb_zeros(row, _F(scale), theta, inverse_theta, slope, theta_slope)
            log_scale = math.log(scale) - top if stop > start else 0.0
            for k in range(start, stop):
                gene, x, t = indices[k], float(counts[k]), float(theta[indices[k]])
                mean = row[gene] * scale
                log_rising, digamma = rising(x, t)
                log_mean = seen[k - start] + log_scale
                loss += x * (math.log(t + mean) - log_mean) - log_rising
                here = x * mean / (t + mean) - x
                slope[gene] += here
                slopes += here
                theta_slope[gene] += t * (x / (t + mean) - digamma)
            row_loss[cell] = loss + log_factorials(counts, start, stop)
            _softmax_gradient(row, slope, total, slopes)


@njit(cache=True, nogil=True, fastmath=_FAST)
def _zinb_zeros(row, dropout, scale, theta, inverse_theta, slope, theta_slope):
    """As if every count were 0: -log(pi + (1 - pi) NB(0)); overwrite the dropout logits by their gradient."""
    loss, slopes = 0.0, 0.0
    for first in range(0, row.size, PIECE):
        loss_piece, slope_piece = _F(0), _F(0)
        for gene in range(first, min(first + PIECE, row.size)):
            mean = row[gene] * scale
            share = mean / (theta[gene] + mean)
            log_ratio = fast_log1p(mean * inverse_theta[gene])
            nb_zero = fast_exp(-theta[gene] * log_ratio)
            odds = fast_exp(-min(max(dropout[gene], _F(-80)), _F(80)))
            weight = odds * nb_zero / (_F(1) + odds * nb_zero)
            here = weight * theta[gene] * share
            loss_piece += fast_log1p(odds * (_F(1) - nb_zero) / (_F(1) + odds * nb_zero))
            slope_piece += here
            slope[gene] = here
            theta_slope[gene] += weight * theta[gene] * (log_ratio - share)
            dropout[gene] = weight - odds / (_F(1) + odds)
        loss += loss_piece
        slopes += slope_piece
    return loss, slopes


@njit(cache=True, nogil=True)
def _zinb_zero_terms(mean, dropout, theta):
    """Return loss, slope and theta slope of one zero, to be taken back where the count is not zero."""
    share = mean / (theta + mean)
    log_ratio = math.log1p(mean / theta)
    nb_zero = math.exp(-theta * log_ratio)
    odds = math.exp(-min(max(dropout, -80.0), 80.0))
    weight = odds * nb_zero / (1 + odds * nb_zero)
    loss = math.log1p(odds * (1 - nb_zero) / (1 + odds * nb_zero))
    return loss, weight * theta * share, weight * theta * (log_ratio - share)


@njit(cache=True, nogil=True)
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@njit(cache=True, parallel=True, nogil=True)
def zero_inflated(
    indptr, indices, counts, library, theta, inverse_theta, logits, dropout, row_loss, theta_partial
):
    """As `negative_binomial`, with the zero-inflation logits `dropout` (overwritten by their gradient too)."""
    n_rows, n_genes = logits.shape
    for block in prange(theta_partial.shape[0]):
        theta_slope = theta_partial[block]
        theta_slope[:] = 0
        slope = np.empty(n_genes, np.float32)
        for cell in range(block * ROW_BLOCK, min((block + 1) * ROW_BLOCK, n_rows)):
            row, inflation, start, stop = logits[cell], dropout[cell], indptr[cell], indptr[cell + 1]
            seen = np.empty((2, stop - start), np.float32)
            for k in range(start, stop):
                seen[0, k - start] = row[indices[k]]
                seen[1, k - start] = inflation[indices[k]]
            top, total, scale = _exponentiate(row, library[cell])
            loss, slopes = _zinb_zeros(row, inflation, _F(scale), theta, inverse_theta, slope, theta_slope)
            log_scale = math.log(scale) - top if stop > start else 0.0
            for k in range(start, stop):
                gene, x, t = indices[k], float(counts[k]), float(theta[indices[k]])
                mean, d = row[gene] * scale, float(seen[1, k - start])
                zero_loss, zero_slope, zero_theta = _zinb_zero_terms(mean, d, t)
                log_rising, digamma = rising(x, t)
                log_mean, log_ratio = seen[0, k - start] + log_scale, math.log1p(mean / t)
                loss += (
                    t * log_ratio
                    + x * (math.log(t + mean) - log_mean)
                    - log_rising
                    + _softplus(d)
                    - zero_loss
                )
                here = (x + t) * mean / (t + mean) - x
                slope[gene] = here
                slopes += here - zero_slope
                nb_theta = t * (log_ratio + (x - mean) / (t + mean) - digamma)
                theta_slope[gene] += nb_theta - zero_theta
                inflation[gene] = 1 / (1 + math.exp(-d))
            row_loss[cell] = loss + log_factorials(counts, start, stop)
            _softmax_gradient(row, slope, total, slopes)
