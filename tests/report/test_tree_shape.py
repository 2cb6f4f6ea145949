"""The tree as it is drawn: branches together, graphs by first parents, paths from below the root."""

from trilineage.report.tree_shape import TreeShape


def node(name: str, *parents: str) -> dict:
    return {"node": name, "parents": list(parents)}


TREE = TreeShape.of(
    [node("root"), node("a", "root"), node("b", "root"), node("a1", "a"), node("b1", "b"), node("a2", "a")]
)
GRAPH = TreeShape.of([node("root"), node("a", "root"), node("b", "root"), node("both", "a", "b")])


def test_every_branch_is_drawn_as_one_block():
    assert TREE.names == ("root", "a", "a1", "a2", "b", "b1")
    assert TREE.depths == (0, 1, 2, 2, 1, 2)


def test_paths_begin_below_the_root():
    assert (TREE.path("a2"), TREE.path("root"), TREE.path("nowhere")) == (("a", "a2"), (), ())
    assert (TREE.branch("b1"), TREE.branch("root")) == ("b", "root")


def test_a_decision_at_or_below_its_label_is_right():
    assert TREE.is_right("a", "a2")
    assert TREE.is_right("a", "a")
    assert not TREE.is_right("a2", "a")
    assert not TREE.is_right("a", "b1")


def test_in_a_graph_a_node_is_below_each_of_its_parents():
    assert not GRAPH.is_tree
    assert TREE.is_tree
    assert GRAPH.names == ("root", "a", "both", "b")
    assert GRAPH.is_right("b", "both")


def test_without_nodes_only_the_same_name_is_right():
    empty = TreeShape.of([])
    assert empty.names == ()
    assert empty.is_right("x", "x")
    assert not empty.is_right("x", "y")
