"""Tables for a Run are plain JSON and count what they say."""

import json

import numpy as np
import pytest

from trilineage.evaluation.hierarchy.patients import Decided, decide
from trilineage.evaluation.hierarchy.per_node import node_scores
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.hierarchy.tables import (
    hierarchical_confusion,
    node_table,
    reliability_table,
    worst_mistakes,
)

QUICK = NodeEvaluationSettings(n_bootstrap=100)


@pytest.fixture
def decided(sure, leukemia):
    """Return five decisions: one right, two mistakes, one stopped early, one without label."""
    prediction = sure(["ALL", "ALL", "APML", "CLL", ""], ["ALL", "CML", "normal", "CLL", "ALL"])
    return Decided(prediction, leukemia.codes(np.array(["ALL", "CML", "normal", "chronic", "ALL"])))


def test_every_table_is_plain_json(draw, leukemia):
    prediction = draw(0)
    decided = decide(prediction, leukemia)
    tables = (
        node_table(prediction, leukemia, node_scores(prediction, leukemia, settings=QUICK)),
        hierarchical_confusion(decided, leukemia),
        reliability_table(decided, leukemia, n_bootstrap=100),
        worst_mistakes(decided, leukemia),
    )
    assert json.loads(json.dumps(tables, allow_nan=False))


def test_a_node_has_its_place_its_numbers_and_its_scores(decided, leukemia):
    rows = {row["node"]: row for row in node_table(decided.prediction, leukemia, {})}
    assert (rows["acute"]["n_samples"], rows["acute"]["n_labelled_here"], rows["acute"]["n_patients"]) == (
        3,
        0,
        3,
    )
    assert (rows["acute"]["parents"], rows["acute"]["depth"], rows["acute"]["is_leaf"]) == (
        ["leukemia"],
        2,
        False,
    )
    assert rows["acute"]["title"] == "acute leukemia"


def test_confusion_counts_nodes_levels_and_children(decided, leukemia):
    table = hierarchical_confusion(decided, leukemia)
    counts = np.array(table["counts"])
    assert (table["n_samples"], counts.sum()) == (4, 4)
    assert counts[leukemia.index("APML"), leukemia.index("normal")] == 1
    second, third = table["levels"][1], table["levels"][2]
    assert second["nodes"] == ["normal", "reactive", "acute", "chronic"]
    assert second["counts"] == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1], [0, 0, 0, 1]]
    assert third["n_stopped_above"] == 1
    leukemias = next(row for row in table["parents"] if row["parent"] == "leukemia")
    assert leukemias["counts"] == [[1, 1, 1], [0, 1, 0]]  # acute, chronic, elsewhere


def test_reliability_compares_what_was_said_with_what_happened(sure, leukemia):
    prediction = sure(["ALL"] * 3 + ["AML"], ["ALL"] * 4)
    table = reliability_table(decide(prediction, leukemia), leukemia, n_bootstrap=100)
    (row,) = table["decision"]
    assert (row["n_samples"], row["n_patients"], row["share"]) == (4, 4, 0.75)
    assert row["mean_probability"] == pytest.approx(0.94)
    assert row["low"] < 0.75 < row["high"]
    assert [bin_["share"] for bin_ in table["nodes"]["AML"]] == [0.25]


def test_the_costliest_mistakes_come_first(decided, leukemia):
    rows = worst_mistakes(decided, leukemia)
    assert [(row["label"], row["decision"], row["cost"]) for row in rows] == [
        ("APML", "normal", 30.0),
        ("ALL", "CML", 10.0),
        ("CLL", "chronic", 1.5),
    ]
    assert [row["position"] for row in rows] == [2, 1, 3]
    assert rows[0]["label_path"] == ["diagnosis", "leukemia", "acute", "APML"]


def test_of_equal_mistakes_the_surest_comes_first(sure, leukemia):
    prediction = sure(["ALL", "ALL"], ["normal", "normal"])
    prediction.probabilities[1, leukemia.index("normal")] += 0.01
    (row,) = worst_mistakes(decide(prediction, leukemia), leukemia, n_mistakes=1)
    assert row["position"] == 1
