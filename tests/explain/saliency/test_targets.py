"""Targets say what they explain, and their evidence is the log-odds they promise."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import load_taxonomy
from trilineage.explain.saliency.targets import NodeTarget, Targets, path_targets, siblings


def test_a_path_is_explained_node_by_node_without_the_root():
    tree = load_taxonomy("leukemia")
    targets = Targets.same(path_targets(tree, tree.index("ALL")), 1, tree.nodes)
    labels = [targets.label(0, place) for place in range(3)]
    assert labels[0].startswith("leukemia against")
    assert labels[1:] == ["acute against chronic", "ALL against AML, APML"]
    alone = path_targets(tree, tree.index("ALL"), against_siblings=False)
    assert [target.against for target in alone] == [(), (), ()]


def test_siblings_in_a_graph_are_those_under_any_parent(pictures):
    graph = pictures.Taxonomy.from_parents(
        "graph", {"r": [], "a": ["r"], "b": ["r"], "x": ["a", "b"], "y": ["a"], "z": ["b"]}
    )
    assert [graph.nodes[node] for node in siblings(graph, graph.index("x"))] == ["y", "z"]


def test_an_only_child_has_nothing_to_explain_against_its_siblings(pictures):
    chain = pictures.Taxonomy.from_parents("chain", {"r": [], "a": ["r"], "b": ["a"], "c": ["a"]})
    assert [target.node for target in path_targets(chain, chain.index("b"))] == [chain.index("b")]


def test_evidence_is_the_log_probability_or_the_log_odds():
    log_p = torch.tensor([[0.5, 0.3, 0.2]]).log()
    targets = Targets.same([NodeTarget(0), NodeTarget(1, (2,)), NodeTarget(2, (0, 1))], 1, ("a", "b", "c"))
    expected = torch.tensor([[0.5, 0.3 / 0.2, 0.2 / 0.8]])
    torch.testing.assert_close(targets.evidence(log_p).exp(), expected)
    torch.testing.assert_close(targets.probability(log_p), torch.tensor([[0.5, 0.6, 0.2]]))


def test_evidence_has_a_gradient_where_the_classifier_is_sure():
    logits = torch.tensor([[200.0, 0.0, -10.0]], requires_grad=True)
    for target, expected in ((NodeTarget(0), [0.0, 0.0, 0.0]), (NodeTarget(0, (1,)), [1.0, -1.0, 0.0])):
        evidence = Targets.same([target], 1, ("a", "b", "c")).evidence(logits.log_softmax(dim=1))
        (slope,) = torch.autograd.grad(evidence.sum(), logits)
        np.testing.assert_allclose(slope[0], expected, atol=1e-6)


def test_images_may_have_fewer_targets_than_others():
    targets = Targets.from_rows([[NodeTarget(0), NodeTarget(1)], [NodeTarget(1)]], ("a", "b"))
    assert targets.exists.tolist() == [[True, True], [True, False]]
    assert targets.label(1, 1) == ""
    assert targets.evidence(torch.zeros(2, 2) - 1).tolist() == [[-1.0, -1.0], [-1.0, 0.0]]


@pytest.mark.parametrize(
    "rows",
    [[], [[]], [[NodeTarget(2)]], [[NodeTarget(-1)]], [[NodeTarget(0, (0,))]], [[NodeTarget(0, (5,))]]],
)
def test_targets_that_do_not_exist_are_refused(rows):
    with pytest.raises(ConfigError, match="target"):
        Targets.from_rows(rows, ("a", "b"))
