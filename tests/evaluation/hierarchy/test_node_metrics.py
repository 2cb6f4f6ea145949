"""Metrics come by name in the order asked for, one for each level and each k, within their range."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.records import NodePrediction
from trilineage.data.taxonomy import load_taxonomy
from trilineage.evaluation.hierarchy.node_metrics import missing_node_reason, node_metrics
from trilineage.evaluation.hierarchy.node_sums import node_sums
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.scores import reweighted_node_metrics
from trilineage.evaluation.hierarchy.settings import METRIC_NAMES

TAXONOMIES = {name: load_taxonomy(name) for name in ("leukemia", "lymphoid_myeloid")}


def test_levels_and_k_become_metrics_of_their_own(leukemia):
    names = ("level_accuracy_conditional", "hierarchical_distance_at_k", "kappa")
    assert list(node_metrics(Relations(leukemia), names, (2, 5))) == [
        "accuracy_level_1_conditional",
        "accuracy_level_2_conditional",
        "accuracy_level_3_conditional",
        "hierarchical_distance_at_2",
        "hierarchical_distance_at_5",
        "kappa",
    ]


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(TAXONOMIES)))
def test_every_value_lies_in_the_range_of_its_metric(seed, name):
    """Random labels and decisions of any node, in a tree and in a graph."""
    taxonomy, rng = TAXONOMIES[name], np.random.default_rng(seed)
    labels, decisions = rng.integers(1, taxonomy.n_nodes, 12), rng.integers(0, taxonomy.n_nodes, 12)
    samples = np.arange(12).astype(str)
    probabilities = rng.random((12, taxonomy.n_nodes))
    prediction = NodePrediction(samples, samples, taxonomy.nodes, probabilities, labels)
    relations = Relations(taxonomy)
    sums = node_sums(Decided(prediction, decisions), relations, (1, 3))
    metrics = node_metrics(relations, METRIC_NAMES, (1, 3))
    for metric, values in reweighted_node_metrics([(sums, np.ones((1, 12)))], metrics).items():
        low, high = metrics[metric].scale.limits
        assert np.isnan(values[0]) or low - 1e-9 <= values[0] <= high + 1e-9, metric


def test_a_perfect_decision_is_perfect_in_every_metric(sure, leukemia):
    labels = list(leukemia.leaves)
    relations, prediction = Relations(leukemia), sure(labels, labels)
    sums = node_sums(Decided(prediction, prediction.labels), relations, (1,))
    metrics = node_metrics(relations, METRIC_NAMES, (1,))
    found = reweighted_node_metrics([(sums, np.ones((1, 7)))], metrics)
    for name in set(metrics) - {"mistake_severity", "log_loss"}:
        assert found[name][0] == (0.0 if metrics[name].scale.is_lower_better else 1.0), name
    assert np.isnan(found["mistake_severity"][0])
    assert missing_node_reason("mistake_severity") == "not computable: no mistake"
