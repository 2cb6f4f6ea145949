"""How sure a barcode is: intervals by resampling cells (or patients), and agreement as the number of cells grows."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.stats import norm, t

from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.evaluation.resampling import Strata, resample_weights

RESAMPLES_AT_ONCE = 64
"""Resamples whose weights are held at the same time."""

DEFAULT_STEPS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Numbers of cells at which stability is looked at, as far as a patient has twice as many."""


class BarcodeInterval(NamedTuple):
    """A barcode with the interval of each latent."""

    latents: Int[np.ndarray, " chosen"]
    """The latents, ascending."""
    value: Float[np.ndarray, " chosen"]
    """Tokens per image."""
    low: Float[np.ndarray, " chosen"] | None
    """Lower ends; None where a single image (or patient) has no spread."""
    high: Float[np.ndarray, " chosen"] | None
    """Upper ends."""
    n_drawn: int
    """Images (or patients) that were resampled."""


class Stability(NamedTuple):
    """How well the barcode of some cells of a patient agrees with that of all, or of the others."""

    n_cells: Int[np.ndarray, " step"]
    """Cells drawn."""
    correlation: Float[np.ndarray, "step draw"]
    """Pearson correlation of log(1 + tokens per image) over the latents that either has."""
    distance: Float[np.ndarray, "step draw"]
    """Bray-Curtis distance: sum of |a - b| over sum of a + b, in [0, 1]."""
    against: Literal["full", "rest"]
    """What is compared with: all cells of the patient (the drawn ones among them), or those not drawn."""


def cell_interval(
    counts: sp.csr_array,
    *,
    latents: Int[np.ndarray, " chosen"] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> BarcodeInterval:
    """Return the barcode of one patient with intervals by resampling its cells.

    Percentile intervals with t in place of normal quantiles (Hesterberg 2015) over the rescaled bootstrap of
    `evaluation.resampling`, which draws n - 1 of n. They say what other cells of the same smear would give, nothing of
    another smear.

    Parameters
    ----------
    counts
        Active tokens (image latent) of the patient's images: `ImageCodes.matrix("above")`.
    latents
        Which to look at; None for those that are active.
    n_resamples, level, seed
        Resamples, nominal coverage, and what decides the resamples.

    Raises
    ------
    CohortError
        If there is no image.
    """
    if counts.shape[0] == 0:
        raise CohortError(
            "a patient without cells has no barcode",
            seen="0 images",
            allowed="at least 1 image",
            remedy="leave this patient out",
        )
    return _mean_interval(counts, latents, n_resamples=n_resamples, level=level, seed=seed)


def class_interval(
    barcodes: Barcodes,
    label: str,
    *,
    latents: Int[np.ndarray, " chosen"] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> BarcodeInterval:
    """Return the barcode of a class with intervals by resampling its patients, which bring their cells' noise along.

    Parameters
    ----------
    barcodes
        Patients with labels.
    label
        The class.
    latents, n_resamples, level, seed
        As in `cell_interval`.

    Raises
    ------
    CohortError
        If no patient has this label.
    """
    rows = np.flatnonzero(barcodes.require_labels() == label)
    if len(rows) == 0:
        raise CohortError(
            f"no patient has the label '{label}'",
            seen=label,
            allowed=", ".join(np.unique(barcodes.require_labels()).tolist()),
        )
    values = sp.csr_array(barcodes.values[rows])
    return _mean_interval(values, latents, n_resamples=n_resamples, level=level, seed=seed)


def stability(
    counts: sp.csr_array,
    *,
    n_cells: Sequence[int] = DEFAULT_STEPS,
    n_draws: int = 20,
    against: Literal["full", "rest"] = "full",
    seed: int = 0,
) -> Stability:
    """Compare barcodes of a few cells of a patient with the barcode of all of them, or of those that were not drawn.

    At most half of the cells are drawn: beyond that, a barcode is compared mostly with itself.

    Parameters
    ----------
    counts
        Active tokens (image latent) of the patient's images.
    n_cells
        Numbers of cells to look at.
    n_draws
        Orders in which the cells are drawn.
    against
        `rest` shares no cell with what was drawn: the honest reproducibility, which is lower.
    seed
        Decides the orders.

    Raises
    ------
    CohortError
        If the patient has fewer than two images for each of these numbers.
    """
    n_images = counts.shape[0]
    steps = np.array(sorted({n for n in n_cells if 1 <= n <= n_images // 2}), dtype=np.int64)
    if len(steps) == 0:
        raise CohortError(
            "a patient with too few cells to see how many are enough",
            seen=f"{n_images} images",
            allowed=f"at least {2 * min(n_cells)}",
            remedy="leave this patient out, or ask for smaller numbers of cells",
        )
    full = np.asarray(counts.sum(axis=0), dtype=np.float64)
    measured = np.empty((2, len(steps), n_draws))
    for draw in range(n_draws):
        order = generator(seed, "stability", draw).permutation(n_images)
        total, start = np.zeros(counts.shape[1]), 0
        for place, step in enumerate(steps):
            total += np.asarray(counts[order[start:step]].sum(axis=0))
            other = full / n_images if against == "full" else (full - total) / (n_images - step)
            measured[:, place, draw] = _agreement(total / step, other)
            start = step
    return Stability(steps, measured[0], measured[1], against)


def cells_needed(found: Stability, *, agreement: float = 0.95, share: float = 0.9) -> int | None:
    """Return the smallest number of cells from which on at least a share of the draws agrees that well.

    None where even the largest number looked at does not suffice.

    Parameters
    ----------
    found
        From `stability`.
    agreement
        Correlation to be reached.
    share
        Share of the draws that must reach it.
    """
    is_enough = (found.correlation >= agreement).mean(axis=1) >= share
    from_here_on = np.logical_and.accumulate(is_enough[::-1])[::-1]
    return int(found.n_cells[from_here_on.argmax()]) if from_here_on.any() else None


def _mean_interval(
    rows: sp.csr_array,
    latents: Int[np.ndarray, " chosen"] | None,
    *,
    n_resamples: int,
    level: float,
    seed: int,
) -> BarcodeInterval:
    """Resample rows and read the interval of the mean of each column that is asked for."""
    if latents is None:
        latents = np.unique(rows.indices[rows.data > 0])
    columns = rows.astype(np.float64)[:, latents].T.tocsr()
    n_rows = rows.shape[0]
    value = np.asarray(columns.sum(axis=1)) / n_rows
    if n_rows < 2:
        return BarcodeInterval(latents, value, None, None, n_rows)
    strata, rng = Strata(np.zeros(n_rows, dtype=np.int64), ""), generator(seed, "cells", n_rows)
    drawn = np.empty((len(latents), n_resamples), dtype=np.float32)
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        stop = min(start + RESAMPLES_AT_ONCE, n_resamples)
        drawn[:, start:stop] = columns @ resample_weights(strata, stop - start, rng=rng).T / n_rows
    reach = t.ppf(0.5 + level / 2.0, n_rows - 1) * np.array([-1.0, 1.0])
    low, high = np.quantile(drawn, norm.cdf(reach), axis=1)
    return BarcodeInterval(latents, value, np.minimum(low, value), np.maximum(high, value), n_rows)


def _agreement(one: Float[np.ndarray, " latent"], other: Float[np.ndarray, " latent"]) -> tuple[float, float]:
    """Return correlation and distance over the latents that either has; 0 and 1 where one of them is empty."""
    is_there = (one > 0) | (other > 0)
    one, other = one[is_there], other[is_there]
    if len(one) == 0:
        return 0.0, 1.0
    distance = float(np.abs(one - other).sum() / (one + other).sum())
    logs = [np.log1p(values) - np.log1p(values).mean() for values in (one, other)]
    scale = float(np.sqrt((logs[0] @ logs[0]) * (logs[1] @ logs[1])))
    same = float(np.array_equal(one, other))
    return (float(logs[0] @ logs[1]) / scale if scale > 0 else same), distance
