"""Heads give coherent probabilities of every node, stay sound at extreme logits, and fit their taxonomy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.models.hierarchy import (
    HierarchySettings,
    branch_codes,
    branch_settings,
    branch_taxonomy,
    build_head,
    build_parent_head,
)
from trilineage.models.node_probabilities import compose_conditionals

LEUKEMIA = load_taxonomy("leukemia")
CROSSED = load_taxonomy("lymphoid_myeloid")
TREE_VARIANTS = ["flat", "multilabel", "conditional", "hxe"]
CHAIN = Taxonomy.from_parents(
    "chain", {"r": (), "a": ("r",), "b": ("a",), "c": ("r",), "d": ("c",), "e": ("c",)}
)


def head(variant, taxonomy=LEUKEMIA, d_in=12, **options):
    torch.manual_seed(0)
    return build_head(HierarchySettings(variant=variant, **options), taxonomy, d_in)


def features(n_images=6, d_in=12, scale=30.0):
    return scale * torch.randn(n_images, d_in, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("taxonomy", [LEUKEMIA, CHAIN, load_taxonomy("white_cells")])
@pytest.mark.parametrize("variant", TREE_VARIANTS)
def test_children_sum_to_their_parent_and_the_root_is_one(variant, taxonomy):
    found = head(variant, taxonomy).node_log_probabilities(features()).exp()
    assert (found[:, 0] == 1).all()
    for parent in taxonomy.inner:
        node = taxonomy.index(parent)
        children = found[:, list(taxonomy.children_of(node))].sum(dim=1)
        torch.testing.assert_close(children, found[:, node], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("variant", ["flat", "max_constrained"])
def test_no_node_of_a_graph_is_likelier_than_one_above_it(variant):
    found = head(variant, CROSSED).node_log_probabilities(features())
    above = torch.from_numpy(CROSSED.ancestors)
    assert (found[:, None, :] >= found[:, :, None] - 1e-6)[:, above].all()


def test_maximum_of_descendants_by_hand():
    tree = head("max_constrained", CHAIN)
    logits = torch.tensor([[1.0, 3.0, -2.0, -5.0, 0.0]])  # a, b, c, d, e in the order of the nodes
    order = [CHAIN.index(name) for name in "abcde"]
    placed = torch.empty(1, 5)
    placed[:, [node - 1 for node in order]] = logits
    found = tree.log_probabilities(placed)[0, order]
    torch.testing.assert_close(found, torch.sigmoid(torch.tensor([3.0, 3.0, 0.0, -5.0, 0.0])).log())


def test_two_lineages_may_be_likely_at_once():
    crossed = head("max_constrained", CROSSED)
    logits = torch.full((1, CROSSED.n_nodes - 1), -8.0)
    logits[0, CROSSED.index("MPAL") - 1] = 4.0
    found = crossed.log_probabilities(logits)[0].exp()
    assert min(found[CROSSED.index(name)] for name in ("lymphoid", "myeloid", "acute")) > 0.95
    assert found[CROSSED.index("chronic")] < 0.01


def test_a_product_of_conditionals_by_hand():
    tree = head("conditional")
    logits = torch.zeros(1, LEUKEMIA.n_nodes - 1)
    found = tree.log_probabilities(logits)[0].exp()
    expected = {"normal": 1 / 3, "leukemia": 1 / 3, "acute": 1 / 6, "ALL": 1 / 18, "CLL": 1 / 12}
    for name, value in expected.items():
        assert found[LEUKEMIA.index(name)] == pytest.approx(value, rel=1e-6)


def test_the_models_of_base_compose_to_the_conditional_softmax():
    tree = head("conditional")
    logits = tree(features())
    parts = [torch.log_softmax(part, dim=1) for part in logits.split(tree.nodes.sizes, dim=1)]
    torch.testing.assert_close(compose_conditionals(parts, LEUKEMIA), tree.log_probabilities(logits))


@pytest.mark.parametrize("widths", [[3, 2, 3], [3, 2, 2, 3], []])
def test_models_that_are_not_those_of_the_tree_are_refused(widths):
    with pytest.raises(ConfigError, match="do not fit the taxonomy"):
        compose_conditionals([torch.zeros(1, width) for width in widths], LEUKEMIA)


@pytest.mark.parametrize("variant", [*TREE_VARIANTS, "max_constrained"])
@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_extreme_logits_give_finite_log_probabilities_and_gradients(variant, size):
    tree = head(variant)
    logits = torch.zeros_like(tree(features(2))).requires_grad_()
    pushed = logits + size * torch.arange(logits.shape[1])
    found = tree.log_probabilities(pushed)
    found.sum().backward()
    assert found.isfinite().all()
    assert (found <= 0).all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("variant", [*TREE_VARIANTS, "max_constrained"])
def test_half_precision_around_the_head_does_not_reach_the_probabilities(variant):
    tree, inputs = head(variant), features(scale=1.0)
    expected = tree.node_log_probabilities(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = tree.node_log_probabilities(inputs)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_head_in_half_precision_answers_in_single():
    tree = head("multilabel").bfloat16()
    assert tree.node_log_probabilities(features()).dtype == torch.float32


@given(st.integers(1, 9), st.sampled_from([*TREE_VARIANTS, "max_constrained"]))
def test_images_do_not_see_each_other(n_images, variant):
    tree, inputs = head(variant), features(9)
    together = tree.node_log_probabilities(inputs)[:n_images]
    torch.testing.assert_close(tree.node_log_probabilities(inputs[:n_images]), together)


def test_an_empty_batch_gives_an_empty_table():
    assert head("multilabel").node_log_probabilities(torch.zeros(0, 12)).shape == (0, LEUKEMIA.n_nodes)


def test_isolation_changes_gradients_and_not_probabilities():
    plain, isolated = head("multilabel"), head("multilabel", isolation="heads")
    inputs = features()
    torch.testing.assert_close(plain.node_log_probabilities(inputs), isolated.node_log_probabilities(inputs))


def test_under_fine_to_coarse_finer_heads_read_less():
    logits = head("multilabel", d_in=14, isolation="fine_to_coarse").logits
    assert [layer.in_features for layer in logits.heads] == [14, 10, 6, 6]
    assert [logits.own_features(level) for level in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 14)]


def test_a_branch_has_the_children_as_leaves_and_their_labels():
    branch = branch_taxonomy(LEUKEMIA, "leukemia")
    names = np.array(["acute", "CML", "APML", "normal", "leukemia", ""])
    codes = branch_codes(LEUKEMIA.codes(names), LEUKEMIA, "leukemia")
    assert branch.nodes == ("leukemia", "acute", "chronic")
    assert codes.tolist() == [1, 2, 1, -1, -1, -1]
    assert build_parent_head(LEUKEMIA, "acute", 12).node_log_probabilities(features()).shape == (6, 4)


def test_weights_by_hand_go_with_their_branch():
    settings = HierarchySettings(variant="base", alpha_values=tuple(range(1, 11)))
    expected = tuple(float(LEUKEMIA.index(name)) for name in ("CLL", "CML"))
    assert branch_settings(settings, LEUKEMIA, "chronic").alpha_values == expected
    assert branch_settings(HierarchySettings(), LEUKEMIA, "chronic") == HierarchySettings()


@pytest.mark.parametrize("variant", ["multilabel", "conditional", "hxe"])
def test_variants_with_conditionals_refuse_a_graph(variant):
    with pytest.raises(ConfigError, match=r"need a tree.*MPAL.*max_constrained"):
        head(variant, CROSSED)


def test_base_has_no_single_head_and_a_leaf_no_branch():
    with pytest.raises(ConfigError, match="one for every parent"):
        head("base")
    with pytest.raises(ConfigError, match="no children"):
        branch_taxonomy(LEUKEMIA, "ALL")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "flat", "isolation": "heads"}, "levels to isolate"),
        ({"variant": "flat", "level_weights": (1.0,)}, "no levels to weigh"),
        ({"level_weights": (1.0, -1.0, 1.0)}, "not negative"),
        ({"alpha": "balanced", "alpha_values": (1.0,)}, "given twice"),
        ({"level_weights": (1.0,)}, "3 for leukemia"),
        ({"alpha_values": (1.0,)}, "10 for leukemia"),
        ({"isolation": "fine_to_coarse"}, "fewer features than levels"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build_head(HierarchySettings(**options), LEUKEMIA, 2)
