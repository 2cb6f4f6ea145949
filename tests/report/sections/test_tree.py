"""The tree with its scores: every node once, indented, with what stands beside it."""

import pytest

from trilineage.report.blocks import Figure, Fold
from trilineage.report.nouns import Nouns
from trilineage.report.sections import tree
from trilineage.report.sections.tree import INDENT, node_table, tree_figure, tree_section
from trilineage.report.tree_shape import TreeShape

IMAGES = Nouns("image", "patient")


@pytest.fixture
def shape(image_run):
    return TreeShape.of(image_run.read_json("nodes.json"))


def test_every_node_is_drawn_with_its_number_of_images(shape):
    svg = tree_figure(shape, IMAGES).svg
    assert all(f"{row['node']}  ({row['n_samples']})" in svg for row in shape.rows)
    assert all(f">{title}<" in svg for title in ("Recall", "Precision", "AUROC"))


def test_the_drawing_is_also_in_words(shape):
    recall = shape.rows[1]["scores"]["recall"]["value"]
    assert f"normal: recall {recall:.2f}, precision" in tree_figure(shape, IMAGES).description


def test_the_table_is_indented_and_carries_titles(shape):
    cells = {row[0][0]: row[0][1] for row in node_table(shape, IMAGES).rows}
    assert cells[f"{INDENT * 2}acute"] == f"{INDENT * 2}acute leukemia"
    assert f"{INDENT * 3}AML" in cells


def test_a_node_under_two_parents_is_said_to_be(shape):
    rows = [*shape.rows, {**shape.rows[-1], "node": "mixed", "parents": ["acute", "chronic"]}]
    graph = TreeShape.of(rows)
    cells = {row[0][0].strip(): row[0][1].strip() for row in node_table(graph, IMAGES).rows}
    assert "also under chronic" in cells["mixed"]
    assert "A node with several parents" in tree_figure(graph, IMAGES).caption


def test_a_tree_too_tall_to_draw_is_listed(image_run, monkeypatch):
    monkeypatch.setattr(tree, "MAX_ROWS_DRAWN", 3)
    blocks = tree_section(image_run).blocks
    assert not any(isinstance(block, Figure) for block in blocks)
    assert any(isinstance(block, Fold) for block in blocks)


def test_a_node_without_images_has_no_mark(shape):
    bare = {**shape.rows[0], "node": "rare", "parents": ["diagnosis"], "n_samples": 0, "scores": {}}
    described = tree_figure(TreeShape.of([*shape.rows, bare]), IMAGES).description
    assert "rare" not in described
