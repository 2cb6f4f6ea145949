"""Weights and quantiles of the bootstrap over patients."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit
from scipy.stats import beta, norm, t

MAX_JACKKNIFE = 300
"""Patients up to which the acceleration of BCa is computed; it fades as 1 / sqrt(patients)."""

MAX_UNDEFINED = 0.5
"""Share of resamples without a value (a class is missing) above which there is no interval."""


class Scale(NamedTuple):
    """What is known of a statistic before it is seen."""

    limits: tuple[float, float]
    """Lowest and highest possible value; either may be infinite."""
    is_lower_better: bool = False
    """Whether the best value is the lowest one."""
    is_biased_upwards: bool = False
    """Whether it exceeds the truth in small studies (calibration errors)."""


class Strata(NamedTuple):
    """Which patients are exchanged for which in a resample."""

    codes: Int[np.ndarray, " patient"]
    """Stratum of each patient."""
    note: str
    """How the strata differ from the classes, or nothing."""

    @property
    def degrees_of_freedom(self) -> int:
        """Patients less strata, as for stratified clusters in survey sampling."""
        return len(self.codes) - len(np.unique(self.codes))


def patient_strata(class_counts: Int[np.ndarray, "patient class"]) -> Strata:
    """Group the patients by class.

    Classes with one patient cannot vary by themselves: they are resampled together (collapsed strata, Cochran 1977,
    section 5A.12), which widens the interval. Where a patient carries several labels there is one stratum.
    """
    if ((class_counts > 0).sum(axis=1) > 1).any():
        return Strata(
            np.zeros(len(class_counts), dtype=np.int64), "patients with several labels: not stratified"
        )
    codes = class_counts.argmax(axis=1).astype(np.int64)
    sizes = np.bincount(codes, minlength=class_counts.shape[1])
    single = np.flatnonzero(sizes == 1)
    if len(single) == 0:
        return Strata(codes, "")
    joined = single.tolist()
    if len(single) == 1 and (sizes > 1).any():
        joined.append(int(np.argmin(np.where(sizes > 1, sizes, sizes.max() + 1))))
    return Strata(
        np.where(np.isin(codes, joined), single[0], codes),
        f"{len(single)} of {int((sizes > 0).sum())} classes with one patient: resampled together with others",
    )


def resample_weights(
    strata: Strata, n_resamples: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "resample patient"]:
    """Draw n - 1 of the n patients of each stratum with replacement and weigh them by n / (n - 1).

    The rescaling bootstrap of Rao, Wu and Yue (1992): drawing n of n would understate the variance by
    (n - 1) / n, which matters with few patients per class.
    """
    weights = np.ones((n_resamples, len(strata.codes)))
    for code in np.unique(strata.codes):
        members = np.flatnonzero(strata.codes == code)
        size = len(members)
        if size > 1:
            drawn = rng.multinomial(size - 1, np.full(size, 1.0 / size), size=n_resamples)
            weights[:, members] = drawn * (size / (size - 1))
    return weights


def jackknife_weights(n_patients: int) -> Float[np.ndarray, "left_out patient"]:
    """Return weights that leave out each patient in turn; no rows above `MAX_JACKKNIFE` patients."""
    return 1.0 - np.eye(n_patients) if n_patients <= MAX_JACKKNIFE else np.ones((0, n_patients))


def interval_weights(
    strata: Strata, n_resamples: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "draw patient"]:
    """Return the weights that `read_interval` needs: all patients once, the resamples, each patient left out."""
    n_patients = len(strata.codes)
    weights = resample_weights(strata, n_resamples, rng=rng)
    return np.concatenate([np.ones((1, n_patients)), weights, jackknife_weights(n_patients)])


def read_interval(
    value: float,
    drawn: Float[np.ndarray, " draw"],
    *,
    strata: Strata,
    level: float,
    scale: Scale,
    n_ranked: float | None = None,
) -> tuple[float | None, float | None, str]:
    """Read low, high and a note off a statistic computed under each row of `interval_weights`.

    The interval is a basic one on the logit scale (`logit_interval`), or BCa where resamples reach an end of the
    range; where there is none its ends are None and the note says why.

    With few errors, ranks need more. Where the whole error of an AUROC is that of a few patients, resamples without
    them make the logit interval reach down to .5, and BCa, which knows only the errors that were seen, misses the
    truth in one study of ten. The exact bound of `exact_lower_bound` over `n_ranked` patients then stands in: the
    lower end is the larger of both beside the logit interval, and the smaller of both beside BCa.

    Parameters
    ----------
    n_ranked
        For an AUROC, patients as `ranked_patients` counts them; None for all other statistics.
    """
    if np.isnan(value):
        return None, None, ""
    n_left_out = len(jackknife_weights(len(strata.codes)))
    drawn = drawn + (value - drawn[0])
    resampled, left_out = drawn[1 : len(drawn) - n_left_out], drawn[len(drawn) - n_left_out :]
    if np.isnan(resampled).mean() > MAX_UNDEFINED:
        return None, None, "no interval: most resamples of so few patients lack a class"
    if np.nanmax(resampled) - np.nanmin(resampled) < 1e-12:
        return _interval_without_spread(value, n_ranked or len(strata.codes), level, scale)
    shape: Any = {"level": level, "degrees_of_freedom": strata.degrees_of_freedom}
    lowest, highest = scale.limits
    if scale.is_biased_upwards:
        low, high = basic_interval(value, resampled, **shape)
        return low, min(high, highest), "interval approximate: this error is biased upwards in small studies"
    ends = (
        logit_interval(value, resampled, **shape, limits=scale.limits)
        if np.isfinite(scale.limits).all()
        else None
    )
    low, high = ends or bca_interval(value, resampled, left_out, **shape)
    if n_ranked is not None:
        exact = exact_lower_bound(value, n_ranked, level)
        low = max(low, exact) if ends else min(low, exact)
    return max(low, lowest), min(high, highest), ""


def ranked_patients(counts: Int[np.ndarray, "patient class"]) -> float:
    """Return how many patients an AUROC (mean over classes, one against the rest) rests on.

    One patient of class c who is ranked below everybody costs 1 / n_c of the AUROC of c, and 1 / (n - n_c) of that of
    the class in whose place it stands: of C classes of equal size, 1 / ((C - 1) n_c) of their mean. Patients of the
    smallest class cost most and are counted, each weighing as many samples as it has (Kish 1965, section 11.7).

    Parameters
    ----------
    counts
        Samples of each patient in each class, or in one class (second column) and the rest (first).

    Examples
    --------
    >>> ranked_patients(np.array([[9, 0], [9, 0], [9, 0], [0, 4], [0, 4]]))
    2.0
    """
    there = counts[:, counts.sum(axis=0) > 0].astype(np.float64)
    if there.shape[1] < 2:
        return float(len(counts))
    sizes = there.sum(axis=0) ** 2 / (there**2).sum(axis=0)
    return float((there.shape[1] - 1) * sizes.min())


def bca_interval(
    value: float,
    resampled: Float[np.ndarray, " resample"],
    left_out: Float[np.ndarray, " left_out"],
    *,
    level: float,
    degrees_of_freedom: int,
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron 1987) with t in place of normal quantiles.

    The t quantile widens it for few patients (the expanded percentile interval of Hesterberg 2015).
    Resamples and jackknife values that are NaN are left out. The interval always holds `value`.

    Parameters
    ----------
    value
        The statistic on the data.
    resampled
        The statistic on each resample.
    left_out
        The statistic without each patient in turn; empty for no acceleration.
    level
        Nominal coverage.
    degrees_of_freedom
        Of the t quantile; at least 1.
    """
    known = resampled[~np.isnan(resampled)]
    below = (np.mean(known < value) + np.mean(known <= value)) / 2.0
    bias = norm.ppf(np.clip(below, 0.01, 0.99))
    reach = t.ppf(0.5 + level / 2.0, degrees_of_freedom) * np.array([-1.0, 1.0])
    bent = 1.0 - _acceleration(left_out) * (bias + reach)
    shares = norm.cdf(bias + (bias + reach) / np.maximum(bent, 0.1))
    low, high = np.quantile(known, shares)
    return min(float(low), value), max(float(high), value)


def basic_interval(
    value: float, resampled: Float[np.ndarray, " resample"], *, level: float, degrees_of_freedom: int
) -> tuple[float, float]:
    """Return the basic (reflected) interval with t quantiles, cut at 0: for statistics biased away from 0 (ECE)."""
    known = resampled[~np.isnan(resampled)]
    reach = t.ppf(0.5 + level / 2.0, degrees_of_freedom) * np.array([1.0, -1.0])
    low, high = 2.0 * value - np.quantile(known, norm.cdf(reach))
    return max(min(float(low), value), 0.0), max(float(high), value)


def logit_interval(
    value: float,
    resampled: Float[np.ndarray, " resample"],
    *,
    level: float,
    degrees_of_freedom: int,
    limits: tuple[float, float],
) -> tuple[float, float] | None:
    """Return the basic interval on the logit scale of a bounded statistic, with t quantiles.

    Reflecting the quantiles of the resamples (Davison and Hinkley 1997, section 5.2) on a scale without ends keeps
    the interval inside the limits and its two tails even, near the ends too, where percentile and BCa intervals of
    few patients miss the truth on the far side. None where the value or a quantile is at an end, whose logit is
    infinite, or lies between an end and the next resample: there it is as far out as the interpolation happens to say.

    Parameters
    ----------
    value, resampled, level, degrees_of_freedom
        As in `bca_interval`.
    limits
        Lowest and highest possible value.
    """
    lowest, highest = limits
    reach = t.ppf(0.5 + level / 2.0, degrees_of_freedom) * np.array([1.0, -1.0])
    known, levels = resampled[~np.isnan(resampled)], norm.cdf(reach)
    beyond = np.quantile(known, levels[0], method="higher"), np.quantile(known, levels[1], method="lower")
    shares = (np.array([value, *np.quantile(known, levels), *beyond]) - lowest) / (highest - lowest)
    if shares.min() < 1e-9 or shares.max() > 1.0 - 1e-9:
        return None
    logits = logit(shares[:3])
    low, high = lowest + (highest - lowest) * expit(2.0 * logits[0] - logits[1:])
    return min(float(low), value), max(float(high), value)


def exact_lower_bound(share: float, n_patients: float, level: float) -> float:
    """Return the lower end of the exact binomial interval of a share of n patients (Clopper and Pearson 1934).

    Between whole numbers of patients it is their Beta quantile: for means of numbers in [0, 1], among which those that
    are 0 or 1 vary most.
    """
    errors = (1.0 - share) * n_patients
    if errors >= n_patients:
        return 0.0
    return float(beta.ppf((1.0 - level) / 2.0, n_patients - errors, 1.0 + errors))


def perfect_lower_bound(n_patients: float, level: float) -> float:
    """Return the lower end of the exact binomial interval when all of n patients are right.

    A resample of patients without an error never holds one, so the bootstrap says nothing here.
    """
    return exact_lower_bound(1.0, n_patients, level)


def _interval_without_spread(
    value: float, n_patients: float, level: float, scale: Scale
) -> tuple[float | None, float | None, str]:
    if not scale.is_lower_better and value == 1.0:
        note = "no error in any patient: lower end from the exact binomial interval over patients"
        return perfect_lower_bound(n_patients, level), 1.0, note
    return None, None, "no interval: every resample of the patients gives the same value"


def _acceleration(left_out: Float[np.ndarray, " left_out"]) -> float:
    known = left_out[~np.isnan(left_out)]
    if len(known) < 3:
        return 0.0
    influence = known.mean() - known
    spread = float((influence**2).sum())
    return 0.0 if spread < 1e-20 else float((influence**3).sum() / (6.0 * spread**1.5))
