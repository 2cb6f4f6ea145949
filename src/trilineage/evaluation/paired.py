"""Intervals and permutation p-values of paired differences: the same patients resampled, or swapped, for both."""

import numpy as np
from jaxtyping import Float

from trilineage.evaluation.resampling import MAX_UNDEFINED, Strata, bca_interval, jackknife_weights

MAX_EXACT_PATIENTS = 12
"""Patients up to which every one of the 2^n swaps is tried instead of random ones."""


def difference_interval(
    difference: float, drawn: Float[np.ndarray, " draw"], *, strata: Strata, level: float
) -> tuple[float | None, float | None]:
    """Return the BCa interval of a difference computed under each row of `interval_weights`, if there is one.

    There is none where every resample of few patients gives the same difference, unless that is 0.
    """
    n_left_out = len(jackknife_weights(len(strata.codes)))
    resampled = drawn[1 : len(drawn) - n_left_out]
    if np.isnan(drawn[0]) or np.isnan(resampled).mean() > MAX_UNDEFINED:
        return None, None
    if difference != 0.0 and np.nanmax(resampled) - np.nanmin(resampled) < 1e-12:
        return None, None
    drawn = drawn + (difference - drawn[0])
    return bca_interval(
        difference,
        drawn[1 : len(drawn) - n_left_out],
        drawn[len(drawn) - n_left_out :],
        level=level,
        degrees_of_freedom=strata.degrees_of_freedom,
    )


def swap_weights(
    n_patients: int, n_permutations: int, rng: np.random.Generator
) -> Float[np.ndarray, "swap patient"]:
    """Return 1 where a patient keeps its model and 0 where it swaps; the first row keeps all.

    Counting the row that keeps all makes a p-value of random swaps valid (Phipson and Smyth 2010).
    """
    if n_patients <= MAX_EXACT_PATIENTS:
        numbers = np.arange(2**n_patients)[:, None]
        return 1.0 - ((numbers >> np.arange(n_patients)) & 1).astype(np.float64)
    drawn = rng.integers(0, 2, size=(n_permutations, n_patients)).astype(np.float64)
    return np.concatenate([np.ones((1, n_patients)), drawn])


def swap_p_value(first: Float[np.ndarray, " swap"], second: Float[np.ndarray, " swap"]) -> float | None:
    """Return the share of swaps with a difference at least as large as the one seen (the first, which swaps nobody)."""
    difference = np.abs(first - second)
    is_known = not np.isnan(difference[0])
    return float(np.mean(difference >= difference[0] - 1e-12)) if is_known else None
