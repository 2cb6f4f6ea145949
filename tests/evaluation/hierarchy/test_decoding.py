"""Five rules decide as counted by hand, agree where they must, and are best at what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import ConfigError, UnknownOptionError
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.evaluation.hierarchy.decoding import RULES, decode
from trilineage.evaluation.hierarchy.relations import Relations

TREE = load_taxonomy("leukemia")


def random_shares(seed: int, n_samples: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(7, 0.6), n_samples)


def up(shares: np.ndarray) -> np.ndarray:
    return shares @ TREE.leaf_sets.T


def called(shares: list[float], rule: str) -> str:
    return TREE.nodes[int(decode(up(np.array([shares])), TREE, rule)[0])]


def test_normal_is_the_likeliest_leaf_but_leukemia_the_likelier_branch():
    shares = [0.4, 0, 0.2, 0.1, 0.1, 0.1, 0.1]
    assert called(shares, "leaf_argmax") == "normal"
    assert called(shares, "top_down") == "ALL"
    assert called(shares, "majority_path") == "leukemia"


def test_the_majority_path_goes_as_deep_as_one_half_allows():
    assert called([0.1, 0, 0.6, 0.1, 0.1, 0.1, 0], "majority_path") == "ALL"
    assert called([0.1, 0, 0.3, 0.3, 0.2, 0.1, 0], "majority_path") == "acute"
    assert called([0.5, 0.5, 0, 0, 0, 0, 0], "majority_path") == "diagnosis"


def test_expected_cost_prefers_the_diagnosis_that_must_not_be_missed():
    """A missed APML costs 30: 5 x .8 for the false alarm against 30 x .2."""
    shares = [0.8, 0, 0, 0, 0.2, 0, 0]
    assert called(shares, "leaf_argmax") == "normal"
    assert called(shares, "expected_cost") == "APML"


def test_the_f1_rule_stops_where_two_leaves_are_even():
    assert called([0, 0, 0.34, 0.33, 0.33, 0, 0], "optimal_hf") == "acute"
    assert called([0, 0, 0.9, 0.05, 0.05, 0, 0], "optimal_hf") == "ALL"


@given(seed=st.integers(0, 10_000))
def test_with_costs_of_0_and_1_expected_cost_is_the_likeliest_leaf(seed):
    costs = {one: {other: 1.0 for other in TREE.leaves if other != one} for one in TREE.leaves}
    text = TREE.to_text()._replace(costs=costs, label_maps={})
    probabilities = up(random_shares(seed))
    assert np.array_equal(
        decode(probabilities, Taxonomy.from_text(text), "expected_cost"), decode(probabilities, TREE)
    )


@given(seed=st.integers(0, 10_000))
def test_no_leaf_costs_less_than_that_of_expected_cost(seed):
    shares, leaves = random_shares(seed), TREE.leaf_nodes
    costs = shares @ TREE.cost[np.ix_(leaves, leaves)]
    place = np.searchsorted(leaves, decode(up(shares), TREE, "expected_cost"))
    assert np.take_along_axis(costs, place[:, None], axis=1)[:, 0] == pytest.approx(costs.min(axis=1))


@given(seed=st.integers(0, 10_000))
def test_no_node_has_a_greater_expected_f1_than_that_of_optimal_hf(seed):
    """Every node is tried with sets of names, without the tables of the program."""
    shares = random_shares(seed, 3)
    sets = [set(np.flatnonzero(row).tolist()) - {0} for row in TREE.ancestors]
    best = decode(up(shares), TREE, "optimal_hf")
    for row, node in zip(shares, best, strict=True):
        expected = [
            sum(
                p * 2 * len(sets[leaf] & claimed) / (len(sets[leaf]) + len(claimed))
                for p, leaf in zip(row, TREE.leaf_nodes, strict=True)
            )
            for claimed in sets
        ]
        assert expected[node] == pytest.approx(max(expected))


@pytest.mark.parametrize("rule", RULES.names())
def test_a_sure_model_is_believed_by_every_rule(rule):
    assert [called(row, rule) for row in np.eye(7)] == list(TREE.leaves)


@pytest.mark.parametrize("rule", RULES.names())
def test_every_rule_decides_in_a_graph(rule, crossed, draw):
    probabilities = draw(0, taxonomy=crossed).probabilities
    found = decode(probabilities, crossed, rule)
    assert found.shape == (len(probabilities),)
    assert (Relations(crossed).sizes[found] > 0).mean() > 0.9


def test_leaves_of_sigmoids_that_are_all_0_are_held_even(crossed):
    assert decode(np.zeros((1, crossed.n_nodes)), crossed, "expected_cost").shape == (1,)


def test_an_unknown_rule_is_answered_with_the_nearest():
    with pytest.raises(UnknownOptionError, match="Perhaps 'majority_path' was meant"):
        decode(up(random_shares(0)), TREE, "majority_pat")


def test_probabilities_of_leaves_only_are_refused():
    with pytest.raises(ConfigError, match="another number of nodes.*seen: 7; allowed: 11"):
        decode(random_shares(0), TREE)
