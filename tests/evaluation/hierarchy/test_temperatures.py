"""Temperatures of a tree are recovered, never shared between softmaxes, and keep the tree consistent."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import load_taxonomy
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.temperatures import apply_node_temperatures, fit_node_temperatures

TREE = load_taxonomy("leukemia")
TRUE = {"diagnosis": 2.0, "leukemia": 0.6, "acute": 1.0, "chronic": 3.0}


def draw_calibrated(seed: int, temperatures: dict[str, float], n_samples: int = 8000):
    """Draw labels from a tree of softmaxes and return over- or under-confident log-probabilities of its nodes."""
    rng = np.random.default_rng(seed)
    said, labels = np.zeros((n_samples, TREE.n_nodes)), np.zeros(n_samples, dtype=np.int64)
    for parent, children in Relations(TREE).children:
        logits = 1.5 * rng.normal(size=(n_samples, len(children)))
        p = np.exp(log_softmax(logits, axis=1))
        drawn = children[(p.cumsum(axis=1) < rng.random((n_samples, 1))).sum(axis=1)]
        labels = np.where(labels == parent, drawn, labels)
        sure = log_softmax(logits * temperatures[TREE.nodes[parent]], axis=1)
        said[:, children] = said[:, parent, None] + sure
    return said, labels, np.array([f"p{i % 200}" for i in range(n_samples)])


def test_the_temperature_of_each_softmax_is_recovered():
    said, labels, patients = draw_calibrated(0, TRUE)
    fitted = fit_node_temperatures(said, labels, patients, TREE)
    assert fitted.temperatures == pytest.approx(TRUE, rel=0.15)
    assert fitted.ece_after["diagnosis"] < fitted.ece_before["diagnosis"] / 2


def test_scaling_undoes_what_was_done_to_each_softmax():
    said, labels, patients = draw_calibrated(0, TRUE, 500)
    meant, _, _ = draw_calibrated(0, dict.fromkeys(TRUE, 1.0), 500)
    exact = replace(fit_node_temperatures(said, labels, patients, TREE), temperatures=TRUE)
    assert apply_node_temperatures(said, exact, TREE) == pytest.approx(meant)


@pytest.mark.parametrize("scope", ["parents", "leaves"])
def test_children_still_sum_to_their_parent(scope):
    said, labels, patients = draw_calibrated(1, TRUE, 400)
    p = np.exp(
        apply_node_temperatures(said, fit_node_temperatures(said, labels, patients, TREE, scope=scope), TREE)
    )
    for parent, children in Relations(TREE).children:
        assert p[:, children].sum(axis=1) == pytest.approx(p[:, parent])


def test_a_flat_softmax_has_one_temperature():
    rng = np.random.default_rng(3)
    logits = 1.5 * rng.normal(size=(6000, 7))
    p = np.exp(log_softmax(logits, axis=1))
    labels = TREE.leaf_nodes[(p.cumsum(axis=1) < rng.random((6000, 1))).sum(axis=1)]
    leaves = np.exp(log_softmax(2.5 * logits, axis=1))
    said = np.log(leaves @ TREE.leaf_sets.T)
    fitted = fit_node_temperatures(said, labels, np.arange(6000).astype(str), TREE, scope="leaves")
    assert fitted.temperatures == pytest.approx({"leaves": 2.5}, rel=0.1)


def test_sigmoids_of_a_graph_share_one_temperature_and_keep_their_order(crossed):
    rng = np.random.default_rng(4)
    labels = rng.choice(crossed.leaf_nodes, 4000)
    truth = crossed.ancestors[labels]
    share = np.clip(truth.mean(axis=0), 0.01, 0.99)
    seen = np.where(truth, 1.0, -1.0) + rng.normal(size=truth.shape)  # likelihood ratio exp(2 x)
    said = -np.logaddexp(0.0, -3.0 * (np.log(share / (1.0 - share)) + 2.0 * seen))
    said[:, 0] = 0.0
    fitted = fit_node_temperatures(said, labels, np.arange(4000).astype(str), crossed)
    assert fitted.temperatures["nodes"] == pytest.approx(3.0, rel=0.1)
    scaled = apply_node_temperatures(said, fitted, crossed)
    assert np.array_equal(scaled[:, 1:].argsort(axis=1), said[:, 1:].argsort(axis=1))
    assert fitted.ece_after["nodes"] < fitted.ece_before["nodes"]


def test_labels_at_inner_nodes_teach_the_softmaxes_above_them():
    said, labels, patients = draw_calibrated(0, TRUE)
    stopped = np.where(TREE.ancestors[labels, TREE.index("leukemia")], TREE.index("leukemia"), labels)
    fitted = fit_node_temperatures(said, stopped, patients, TREE)
    assert fitted.temperatures["diagnosis"] == pytest.approx(2.0, rel=0.15)
    assert fitted.temperatures["acute"] == 1.0
    assert fitted.to_dict()["ece_before"]["acute"] is None


def test_probabilities_of_0_are_scaled_to_finite_numbers():
    said = np.full((1, TREE.n_nodes), -np.inf)
    said[0, [0, TREE.index("normal")]] = 0.0
    fitted = fit_node_temperatures(said, np.array([-1]), np.array(["p"]), TREE)
    assert np.isfinite(apply_node_temperatures(said, fitted, TREE)).all()


@pytest.mark.parametrize("labels", [[-1, -1], [0, 0]])
def test_without_labels_nothing_changes(crossed, labels):
    said = np.log(np.full((2, crossed.n_nodes), 0.5))
    fitted = fit_node_temperatures(said, np.array(labels), np.array(["p", "q"]), crossed)
    assert fitted.temperatures == {"nodes": 1.0}


def test_temperatures_of_parents_are_refused_in_a_graph(crossed):
    said = np.zeros((1, crossed.n_nodes))
    with pytest.raises(ConfigError, match="need a tree"):
        fit_node_temperatures(said, np.array([1]), np.array(["p"]), crossed, scope="parents")
