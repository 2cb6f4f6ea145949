"""Means over patients of numbers that each sample has, such as the overlap of its map with the cell, with intervals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.records import Score, Unit
from trilineage.core.seeding import generator
from trilineage.evaluation.resampling import Scale, Strata, interval_weights, patient_strata, read_interval


class Resamples(NamedTuple):
    """The patients of some samples, and how often each is in every resample."""

    codes: Int[np.ndarray, " sample"]
    """Patient of each sample, from 0."""
    strata: Strata
    """Which patients are exchanged for which."""
    weights: Float[np.ndarray, "draw patient"] | None
    """Weights as `interval_weights` gives them; None where there are too few patients for an interval."""

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(self.strata.codes)

    def patient_means(self, values: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " patient"]:
        """Return the mean of each patient."""
        return np.bincount(self.codes, values) / np.bincount(self.codes)

    def interval(
        self, value: float, drawn: Float[np.ndarray, " draw"] | None, *, level: float, scale: Scale
    ) -> tuple[float | None, float | None, str]:
        """Return low, high and a note for a statistic under each row of the weights (`read_interval`)."""
        if drawn is None:
            return None, None, f"no interval: {self.n_patients} patient"
        return read_interval(value, drawn, strata=self.strata, level=level, scale=scale)


def draw_resamples(
    patients: Shaped[np.ndarray, " sample"],
    labels: Int[np.ndarray, " sample"],
    *,
    n_bootstrap: int,
    seed: int,
) -> Resamples:
    """Draw resamples of patients inside their class; the same seed gives the same ones for the same patients."""
    names, codes = np.unique(patients, return_inverse=True)
    counts = np.zeros((len(names), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (codes, labels), 1)
    strata = patient_strata(counts)
    if strata.degrees_of_freedom < 1:
        return Resamples(codes, strata, None)
    rng = generator(seed, "bootstrap", len(names))
    return Resamples(codes, strata, interval_weights(strata, n_bootstrap, rng=rng))


def mean_scores(  # noqa: PLR0913  (what is scored, and how it is resampled)
    values: Mapping[str, tuple[Float[np.ndarray, " sample"], Scale]],
    patients: Shaped[np.ndarray, " sample"],
    labels: Int[np.ndarray, " sample"],
    *,
    subject: str = "model",
    unit: Unit = "patient",
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
    subject, unit
        Copied into the scores.
    level, n_bootstrap, seed
        Coverage of the intervals, resamples behind them, and what decides the resamples.
    """
    found, drawn = [], {}
    for name, (numbers, scale) in values.items():
        is_there = np.isfinite(numbers)
        if not is_there.any():
            note = "no sample has a value"
            found.append(Score(name, float("nan"), None, None, subject, unit, level=level, note=note))
            continue
        key = is_there.tobytes()
        if key not in drawn:
            own = patients[is_there], labels[is_there]
            drawn[key] = draw_resamples(*own, n_bootstrap=n_bootstrap, seed=seed)
        score = _mean_score(name, numbers[is_there].astype(np.float64), drawn[key], level=level, scale=scale)
        n_left_out = int((~is_there).sum())
        note = f"{n_left_out} samples without a value left out" if n_left_out else ""
        notes = "; ".join(filter(None, (score.note, note, drawn[key].strata.note)))
        found.append(replace(score, subject=subject, unit=unit, note=notes))
    return found


def _mean_score(
    name: str, numbers: Float[np.ndarray, " sample"], resamples: Resamples, *, level: float, scale: Scale
) -> Score:
    means, weights = resamples.patient_means(numbers), resamples.weights
    drawn = None if weights is None else weights @ means / weights.sum(axis=1)
    value = float(means.mean())
    low, high, note = resamples.interval(value, drawn, level=level, scale=scale)
    score = Score(name, value, low, high, level=level, note=note)
    return replace(score, n_samples=len(numbers), n_patients=resamples.n_patients)
