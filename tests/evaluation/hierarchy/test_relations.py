"""How decisions stand to labels: known, unknown and claimed nodes of trees and graphs."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.evaluation.hierarchy.relations import Relations, require_nodes


def names(taxonomy, row) -> set[str]:
    return {taxonomy.nodes[node] for node in np.flatnonzero(row)}


def test_the_root_is_never_known(leukemia):
    known = Relations(leukemia).known
    assert names(leukemia, known[leukemia.index("ALL")]) == {"leukemia", "acute", "ALL"}
    assert not known[0].any()


def test_below_an_inner_label_everything_is_unknown(leukemia):
    unknown = Relations(leukemia).unknown
    assert names(leukemia, unknown[leukemia.index("acute")]) == {"ALL", "AML", "APML"}
    assert not unknown[leukemia.leaf_nodes].any()


def test_in_a_graph_the_other_parents_of_possible_leaves_are_unknown(crossed):
    """A lymphoid leukemia may be acute or chronic, and myeloid too where it is of mixed phenotype."""
    unknown = Relations(crossed).unknown[crossed.index("lymphoid")]
    assert names(crossed, unknown) == {"ALL", "MPAL", "CLL", "acute", "chronic", "myeloid"}


def test_heights_of_the_reference_rows(leukemia):
    heights = Relations(leukemia).heights[np.ix_(leukemia.leaf_nodes, leukemia.leaf_nodes)]
    rows = dict(zip(leukemia.leaves, heights.tolist(), strict=True))
    assert leukemia.leaves == ("normal", "reactive", "ALL", "AML", "APML", "CLL", "CML")
    assert rows["normal"] == [0, 3, 3, 3, 3, 3, 3]
    assert rows["ALL"] == [3, 3, 0, 1, 1, 2, 2]
    assert rows["CLL"] == [3, 3, 2, 2, 2, 0, 1]


def test_a_decision_below_the_label_is_right_and_costs_nothing(leukemia):
    relations, pair = Relations(leukemia), (leukemia.index("acute"), leukemia.index("APML"))
    assert relations.is_right[pair]
    assert relations.costs[pair] == relations.heights[pair] == 0.0
    assert not relations.is_right[pair[::-1]]


def test_nodes_in_another_order_are_refused(sure, leukemia):
    prediction = replace(sure(["ALL"], ["ALL"]), nodes=leukemia.nodes[::-1])
    with pytest.raises(CohortError, match="does not belong to the taxonomy leukemia"):
        require_nodes(prediction, leukemia)
