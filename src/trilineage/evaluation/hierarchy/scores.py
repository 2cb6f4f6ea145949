"""Scores on a taxonomy with intervals over patients, and paired comparisons of two models or two rules."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from trilineage.core.errors import CohortError
from trilineage.core.records import Comparison, NodePrediction, Score, Unit
from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.node_metrics import NodeMetric, missing_node_reason, node_metrics
from trilineage.evaluation.hierarchy.node_sums import (
    NodeSums,
    labelled_nodes,
    node_sums,
    resampled_totals,
    samples_at,
)
from trilineage.evaluation.hierarchy.patients import Decided, decide, decide_patients
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.paired import difference_interval, swap_p_value, swap_weights
from trilineage.evaluation.resampling import interval_weights, patient_strata, read_interval


def score_nodes(
    prediction: NodePrediction,
    taxonomy: Taxonomy,
    *,
    rule: str | None = None,
    unit: Unit = "sample",
    settings: NodeEvaluationSettings | None = None,
    seed: int = 0,
    subject: str = "model",
) -> list[Score]:
    """Score node probabilities and the decisions they lead to, with an interval over patients for every metric.

    Patients are resampled inside their label and bring all their images with them; the intervals are those of
    `trilineage.evaluation.intervals.score_predictions`. What each metric means, and does with labels that stop at an
    inner node, is written at `node_metrics`.

    Parameters
    ----------
    prediction
        Probabilities and labels; samples labelled -1 or with the root are left out and counted in the note.
    taxonomy
        Tree or DAG of the nodes.
    rule
        Decoding rule; None for that of the settings.
    unit
        Score images, or the decision and mean probability of each patient (`settings.patient_rule`).
    settings
        Metrics, level and number of resamples.
    seed
        The same seed gives the same intervals.
    subject
        Copied into the scores.

    Raises
    ------
    CohortError
        No sample has a label, the nodes are not those of the taxonomy, or unit `patient` where the labels of a
        patient contradict each other.
    """
    settings = settings or NodeEvaluationSettings()
    decided = decided_units(prediction, taxonomy, unit=unit, rule=rule or settings.rule, settings=settings)
    return score_decided(
        decided,
        taxonomy,
        unit=unit,
        settings=settings,
        seed=seed,
        subject=subject,
        n_samples=_n_known(prediction),
    )


def score_decided(
    decided: Decided,
    taxonomy: Taxonomy,
    *,
    unit: Unit = "sample",
    settings: NodeEvaluationSettings | None = None,
    seed: int = 0,
    subject: str = "model",
    n_samples: int | None = None,
) -> list[Score]:
    """Score decisions that are already made: by another rule, by attention pooling, or by people.

    `n_samples` is the number of labelled images behind patient decisions; the rest is as in `score_nodes`.
    """
    settings = settings or NodeEvaluationSettings()
    relations = Relations(taxonomy)
    is_known, note = labelled_nodes(decided.prediction)
    sums = node_sums(chosen(decided, is_known), relations, settings.top_k)
    metrics = node_metrics(relations, settings.metrics, settings.top_k)
    strata = patient_strata(sums.label_counts)
    has_interval = strata.degrees_of_freedom >= 1
    n_patients = len(sums.patients)
    weights = np.ones((1, n_patients))
    if has_interval:
        weights = interval_weights(strata, settings.n_bootstrap, rng=generator(seed, "bootstrap", n_patients))
    drawn = reweighted_node_metrics([(sums, weights)], metrics)
    scores = []
    for name, metric in metrics.items():
        value = float(drawn[name][0])
        low, high, own = None, None, f"no interval: {n_patients} patient"
        if has_interval:
            low, high, own = read_interval(
                value, drawn[name], strata=strata, level=settings.level, scale=metric.scale
            )
        reason = missing_node_reason(name) if np.isnan(value) else own
        scores.append(
            Score(
                metric=name,
                value=value,
                low=low,
                high=high,
                subject=subject,
                unit=unit,
                n_samples=int(is_known.sum()) if n_samples is None else n_samples,
                n_patients=n_patients,
                level=settings.level,
                note="; ".join(filter(None, (reason, note, strata.note))),
            )
        )
    return scores


def compare_nodes(  # noqa: PLR0913  (two predictions, two names and two rules are what a comparison is)
    first: NodePrediction,
    second: NodePrediction,
    taxonomy: Taxonomy,
    *,
    names: tuple[str, str] = ("model", "baseline"),
    rules: tuple[str | None, str | None] = (None, None),
    unit: Unit = "sample",
    settings: NodeEvaluationSettings | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """Compare two models, or two rules on one model, metric by metric, first minus second, on the same samples.

    The interval resamples the same patients for both; the p-value swaps the two patient by patient (two-sided, exact
    up to 12 patients), as in `trilineage.evaluation.comparison.compare_predictions`.

    Raises
    ------
    CohortError
        The two are not about the same samples, patients and labels, or have no labels.
    """
    settings = settings or NodeEvaluationSettings()
    _require_same_samples(first, second)
    relations = Relations(taxonomy)
    is_known, _ = labelled_nodes(first)
    pair = [
        decided_units(one, taxonomy, unit=unit, rule=rule or settings.rule, settings=settings)
        for one, rule in zip((samples_at(first, is_known), samples_at(second, is_known)), rules, strict=True)
    ]
    sums = [node_sums(decided, relations, settings.top_k) for decided in pair]
    metrics = node_metrics(relations, settings.metrics, settings.top_k)
    ends, differences = _difference_intervals(sums, metrics, settings, seed)
    p_values = _p_values(sums, metrics, settings, seed)
    return [
        Comparison(
            metric=name,
            first=names[0],
            second=names[1],
            difference=differences[name],
            low=ends[name][0],
            high=ends[name][1],
            p_value=p_values[name],
            unit=unit,
            n_patients=len(sums[0].patients),
            level=settings.level,
        )
        for name in metrics
    ]


def decided_units(
    prediction: NodePrediction,
    taxonomy: Taxonomy,
    *,
    unit: Unit,
    rule: str,
    settings: NodeEvaluationSettings,
) -> Decided:
    """Decide for each image or for each patient."""
    if unit == "patient":
        return decide_patients(prediction, taxonomy, rule=settings.patient_rule, decoding=rule)
    return decide(prediction, taxonomy, rule=rule)


def chosen(decided: Decided, keep: Bool[np.ndarray, " sample"]) -> Decided:
    """Return some of the observations."""
    return Decided(samples_at(decided.prediction, keep), decided.decisions[keep])


def reweighted_node_metrics(
    parts: Sequence[tuple[NodeSums, Float[np.ndarray, "resample patient"]]],
    metrics: Mapping[str, NodeMetric],
) -> dict[str, Float[np.ndarray, " resample"]]:
    """Return the metrics of each resample; the sums of several parts (two models, swapped by patient) are added."""
    values = {name: np.full(len(parts[0][1]), np.nan) for name in metrics}
    for rows, totals in resampled_totals(parts):
        for name, metric in metrics.items():
            values[name][rows] = metric.compute(totals)
    return values


def _n_known(prediction: NodePrediction) -> int:
    return 0 if prediction.labels is None else int((prediction.labels > 0).sum())


def _require_same_samples(first: NodePrediction, second: NodePrediction) -> None:
    differing = [
        name
        for name in ("samples", "patients", "nodes", "labels")
        if not np.array_equal(getattr(first, name), getattr(second, name))
    ]
    if differing or first.labels is None:
        raise CohortError(
            "two sets of predictions that cannot be paired",
            seen=f"different {', '.join(differing)}" if differing else "no labels",
            allowed="the same samples, patients, labels and nodes in the same order",
            remedy="predict the same samples with both models",
        )


def _difference_intervals(
    sums: Sequence[NodeSums], metrics: Mapping[str, NodeMetric], settings: NodeEvaluationSettings, seed: int
) -> tuple[dict[str, tuple[float | None, float | None]], dict[str, float]]:
    strata = patient_strata(sums[0].label_counts)
    n_patients = len(strata.codes)
    has_interval = strata.degrees_of_freedom >= 1
    weights = np.ones((1, n_patients))
    if has_interval:
        weights = interval_weights(strata, settings.n_bootstrap, rng=generator(seed, "bootstrap", n_patients))
    one, other = (reweighted_node_metrics([(own, weights)], metrics) for own in sums)
    drawn = {name: one[name] - other[name] for name in metrics}
    differences = {name: float(values[0]) for name, values in drawn.items()}
    if not has_interval:
        return dict.fromkeys(metrics, (None, None)), differences
    ends = {
        name: difference_interval(differences[name], values, strata=strata, level=settings.level)
        for name, values in drawn.items()
    }
    return ends, differences


def _p_values(
    sums: Sequence[NodeSums], metrics: Mapping[str, NodeMetric], settings: NodeEvaluationSettings, seed: int
) -> dict[str, float | None]:
    one, other = sums
    keeps = swap_weights(len(one.patients), settings.n_permutations, generator(seed, "swap"))
    first = reweighted_node_metrics([(one, keeps), (other, 1.0 - keeps)], metrics)
    second = reweighted_node_metrics([(one, 1.0 - keeps), (other, keeps)], metrics)
    return {name: swap_p_value(first[name], second[name]) for name in metrics}
