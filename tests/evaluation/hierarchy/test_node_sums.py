"""Sums by patient give the totals of any reweighting of the patients, and of two models swapped by patient."""

import numpy as np
import pytest

from trilineage.evaluation.hierarchy.node_metrics import node_metrics
from trilineage.evaluation.hierarchy.node_sums import node_sums, samples_at
from trilineage.evaluation.hierarchy.patients import Decided, decide
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.scores import reweighted_node_metrics
from trilineage.evaluation.hierarchy.settings import METRIC_NAMES


def metrics_of(decided: Decided, relations: Relations, metrics) -> dict[str, float]:
    sums = node_sums(decided, relations, (1, 3))
    found = reweighted_node_metrics([(sums, np.ones((1, len(sums.patients))))], metrics)
    return {name: float(value[0]) for name, value in found.items()}


def test_reweighted_metrics_equal_those_of_the_repeated_patients(draw, leukemia):
    relations, decided = Relations(leukemia), decide(draw(0, signal=1.0), leukemia)
    metrics = node_metrics(relations, METRIC_NAMES, (1, 3))
    sums = node_sums(decided, relations, (1, 3))
    weights = np.random.default_rng(0).integers(0, 4, (70, len(sums.patients))).astype(float)
    found = reweighted_node_metrics([(sums, weights)], metrics)
    of_sample = np.searchsorted(sums.patients, decided.prediction.patients)
    for row in (0, 69):
        repeated = np.repeat(np.arange(len(of_sample)), weights[row].astype(int)[of_sample])
        again = Decided(samples_at(decided.prediction, repeated), decided.decisions[repeated])
        expected = metrics_of(again, relations, metrics)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_swapped_models_are_scored_as_the_mixture_of_their_decisions(draw, leukemia):
    relations, prediction = Relations(leukemia), draw(0, signal=1.0)
    first, second = (decide(prediction, leukemia, rule=rule) for rule in ("leaf_argmax", "majority_path"))
    metrics = node_metrics(relations, METRIC_NAMES, (1, 3))
    one, other = (node_sums(decided, relations, (1, 3)) for decided in (first, second))
    keeps = np.random.default_rng(1).integers(0, 2, (5, len(one.patients))).astype(float)
    found = reweighted_node_metrics([(one, keeps), (other, 1.0 - keeps)], metrics)
    is_kept = keeps[3][np.searchsorted(one.patients, prediction.patients)] == 1.0
    mixed = Decided(prediction, np.where(is_kept, first.decisions, second.decisions))
    assert {name: values[3] for name, values in found.items()} == pytest.approx(
        metrics_of(mixed, relations, metrics)
    )
