"""Means over patients of numbers that each sample has, such as the overlap of its map with the cell, with intervals."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.records import Score
from trilineage.core.seeding import generator
from trilineage.evaluation.resampling import Scale, interval_weights, patient_strata, read_interval


def mean_scores(
    values: Mapping[str, tuple[Float[np.ndarray, " sample"], Scale]],
    patients: Shaped[np.ndarray, " sample"],
    labels: Int[np.ndarray, " sample"],
    *,
    subject: str = "model",
    level: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[Score]:
    """Return the mean of each number, every patient weighing the same, with an interval over patients.

    Parameters
    ----------
    values
        Numbers by name of the metric, with the range they can have; NaN where a sample has none.
    patients
        Patient of each sample.
    labels
        Class of each sample, from 0: patients are resampled inside their class.
    subject
        Copied into the scores.
    level, n_bootstrap, seed
        Coverage of the intervals, resamples behind them, and what decides the resamples.
    """
    found = []
    for name, (numbers, scale) in values.items():
        is_there = np.isfinite(numbers)
        n_left_out = int((~is_there).sum())
        note = f"{n_left_out} samples without a value left out" if n_left_out else ""
        if not is_there.any():
            found.append(_score(name, float("nan"), subject, level, note="no sample has a value"))
            continue
        names, codes = np.unique(patients[is_there], return_inverse=True)
        counts = np.zeros((len(names), int(labels.max()) + 1), dtype=np.int64)
        np.add.at(counts, (codes, labels[is_there]), 1)
        strata = patient_strata(counts)
        means = np.bincount(codes, numbers[is_there].astype(np.float64)) / np.bincount(codes)
        low, high, own = None, None, f"no interval: {len(names)} patient"
        value = float(means.mean())
        if strata.degrees_of_freedom >= 1:
            weights = interval_weights(strata, n_bootstrap, rng=generator(seed, "bootstrap", len(names)))
            drawn = weights @ means / weights.sum(axis=1)
            low, high, own = read_interval(value, drawn, strata=strata, level=level, scale=scale)
        notes = "; ".join(filter(None, (own, note, strata.note)))
        sizes = (int(is_there.sum()), len(names))
        found.append(_score(name, value, subject, level, low=low, high=high, sizes=sizes, note=notes))
    return found


def _score(  # noqa: PLR0913  (the fields of a record)
    metric: str,
    value: float,
    subject: str,
    level: float,
    *,
    low: float | None = None,
    high: float | None = None,
    sizes: tuple[int, int] = (0, 0),
    note: str = "",
) -> Score:
    return Score(
        metric=metric,
        value=value,
        low=low,
        high=high,
        subject=subject,
        unit="patient",
        n_samples=sizes[0],
        n_patients=sizes[1],
        level=level,
        note=note,
    )
