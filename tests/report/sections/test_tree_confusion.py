"""Who is taken for what: hand-made counts come out as counted, and the costliest mistakes first."""

import pytest

from trilineage.report.sections.tree_confusion import (
    confusion_figure,
    fork_figure,
    has_mistakes,
    mistake_table,
    tree_confusion_section,
)
from trilineage.report.tree_shape import TreeShape

NODES = ["root", "normal", "sick", "x", "y"]
PARENTS = {"root": [], "normal": ["root"], "sick": ["root"], "x": ["sick"], "y": ["sick"]}
SHAPE = TreeShape.of([{"node": name, "parents": parents} for name, parents in PARENTS.items()])
COUNTS = [
    [0, 0, 0, 0, 0],
    [0, 5, 0, 2, 0],
    [0, 0, 0, 3, 0],
    [0, 1, 0, 6, 4],
    [0, 0, 0, 0, 7],
]
"""Labels are rows: normal, sick (an inner node), x, y."""
FORKS = [{"parent": "sick", "children": ["x", "y"], "counts": [[6, 4, 1], [0, 7, 0]]}]
CONFUSION = {"nodes": NODES, "n_samples": 28, "counts": COUNTS, "parents": FORKS}


def test_a_decision_below_its_label_is_no_mistake():
    pairs = [row[:2] for row in mistake_table("image", CONFUSION, SHAPE).rows]
    assert ("sick", "x") not in pairs
    assert pairs == [("x", "y"), ("normal", "x"), ("x", "normal")]


def test_mistakes_carry_their_number_and_their_share_of_the_label():
    assert mistake_table("image", CONFUSION, SHAPE).rows[0] == ("x", "y", "4", "36.4 %")


def test_where_costs_are_known_the_costliest_come_first():
    costs = [[0.0] * 5 for _ in NODES]
    costs[3][1], costs[3][4], costs[1][3] = 20.0, 1.0, 3.0
    table = mistake_table("image", {**CONFUSION, "costs": costs}, SHAPE)
    assert [row[:2] for row in table.rows] == [("x", "normal"), ("normal", "x"), ("x", "y")]
    assert table.rows[0][4:] == ("20.0", "20", "66.7 %")


def test_the_matrix_is_in_words_and_counts_what_is_right():
    figure = confusion_figure("image", CONFUSION, SHAPE)
    assert figure.description == "Called right: normal 5 of 7; sick 3 of 3; x 6 of 11; y 7 of 7."


def test_forks_are_in_words():
    assert fork_figure("image", CONFUSION).description == "sick: x 6 of 11, y 7 of 7."


@pytest.mark.parametrize(("place", "found"), [((3, 3), False), ((2, 4), False), ((4, 2), True)])
def test_a_decision_above_its_label_is_a_mistake(place, found):
    counts = [[int((i, j) == place) for j in range(5)] for i in range(5)]
    assert has_mistakes({"nodes": NODES, "counts": counts}, SHAPE) is found


def test_patients_come_before_images(image_run):
    names = [figure.name for figure in tree_confusion_section(image_run).figures()]
    assert names == ["confusion-patient", "confusion-image", "forks-patient", "forks-image"]
