"""Paired comparison of two models on the same patients: differences with intervals and permutation p-values."""

import numpy as np

from trilineage.core.errors import CohortError
from trilineage.core.records import Comparison, Prediction, Unit
from trilineage.core.seeding import generator
from trilineage.evaluation.intervals import aggregate_patients, labelled
from trilineage.evaluation.metrics import classification_metrics
from trilineage.evaluation.paired import difference_interval, swap_p_value, swap_weights
from trilineage.evaluation.patient_sums import PatientSums, patient_sums, reweighted_metrics
from trilineage.evaluation.resampling import interval_weights, patient_strata
from trilineage.evaluation.settings import EvaluationSettings


def compare_predictions(
    first: Prediction,
    second: Prediction,
    *,
    names: tuple[str, str] = ("model", "baseline"),
    unit: Unit = "sample",
    settings: EvaluationSettings | None = None,
    seed: int = 0,
    population: str = "all",
) -> list[Comparison]:
    """Compare two sets of predictions of the same samples, metric by metric, first minus second.

    The interval resamples the same patients for both. The p-value swaps the two models' predictions patient by
    patient: if neither is better, every swap is as likely as what was seen (two-sided; exact up to 12 patients).

    Parameters
    ----------
    first, second
        Predictions of the same samples in the same order, with the same labels.
    names
        Subjects of the two, copied into the result.
    unit
        What one observation is.
    settings
        Metrics, level, number of resamples and of permutations.
    seed
        The same seed gives the same numbers.
    population
        Copied into the result.

    Raises
    ------
    CohortError
        The two are not about the same samples, patients, labels and classes.
    """
    settings = settings or EvaluationSettings()
    _require_same_samples(first, second)
    pair = [labelled(first)[0], labelled(second)[0]]
    if unit == "patient":
        pair = [aggregate_patients(prediction) for prediction in pair]
    sums = patient_sums(pair, settings.metrics)
    one, other = (classification_metrics(_labels(p), p.probabilities) for p in pair)
    ends = _intervals({name: one[name] - other[name] for name in settings.metrics}, sums, settings, seed)
    p_values = _p_values(sums, settings, seed)
    return [
        Comparison(
            metric=metric,
            first=names[0],
            second=names[1],
            difference=one[metric] - other[metric],
            low=ends[metric][0],
            high=ends[metric][1],
            p_value=p_values[metric],
            unit=unit,
            population=population,
            n_patients=len(sums[0].patients),
            level=settings.level,
        )
        for metric in settings.metrics
    ]


def _require_same_samples(first: Prediction, second: Prediction) -> None:
    differing = [
        name
        for name in ("samples", "patients", "classes", "labels")
        if not np.array_equal(getattr(first, name), getattr(second, name))
    ]
    if differing or first.labels is None:
        raise CohortError(
            "two sets of predictions that cannot be paired",
            seen=f"different {', '.join(differing)}" if differing else "no labels",
            allowed="the same samples, patients, labels and classes in the same order",
            remedy="predict the same samples with both models",
        )


def _labels(prediction: Prediction) -> np.ndarray:
    assert prediction.labels is not None
    return prediction.labels


def _intervals(
    differences: dict[str, float],
    sums: tuple[PatientSums, ...],
    settings: EvaluationSettings,
    seed: int,
) -> dict[str, tuple[float | None, float | None]]:
    strata = patient_strata(sums[0].class_counts)
    n_patients = len(strata.codes)
    if strata.degrees_of_freedom < 1:
        return dict.fromkeys(settings.metrics, (None, None))
    every = interval_weights(strata, settings.n_bootstrap, rng=generator(seed, "bootstrap", n_patients))
    one, other = (reweighted_metrics([(own, every)], settings.metrics) for own in sums)
    return {
        name: difference_interval(difference, one[name] - other[name], strata=strata, level=settings.level)
        for name, difference in differences.items()
    }


def _p_values(
    sums: tuple[PatientSums, ...], settings: EvaluationSettings, seed: int
) -> dict[str, float | None]:
    one, other = sums
    keeps = swap_weights(len(one.patients), settings.n_permutations, generator(seed, "swap"))
    first = reweighted_metrics([(one, keeps), (other, 1.0 - keeps)], settings.metrics)
    second = reweighted_metrics([(one, 1.0 - keeps), (other, keeps)], settings.metrics)
    return {name: swap_p_value(first[name], second[name]) for name in settings.metrics}
