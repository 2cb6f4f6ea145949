"""Taxonomies: reference heights, names in any spelling, costs, restriction, and what ships against public labels."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilineage.core.errors import LabelError, NewerVersionError, TaxonomyError
from trilineage.data.sources.aml_hehr import BAGS
from trilineage.data.taxonomy import UNKNOWN, Taxonomy, load_taxonomy, shipped_taxonomies

LEAVES = ("normal", "reactive", "ALL", "AML", "APML", "CLL", "CML")
PBC = ["basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet"]


@pytest.fixture(scope="module")
def leukemia():
    return load_taxonomy("leukemia")


@pytest.fixture(scope="module")
def cells():
    return load_taxonomy("white_cells")


def small(**parts):
    parents = {"any": (), "a": ("any",), "b": ("any",), "c": ("b",), "d": ("b",)}
    return Taxonomy.from_parents("small", parents, **parts)


def test_the_leukemia_tree_has_seven_leaves_and_four_parents(leukemia):
    assert leukemia.leaves == LEAVES
    assert leukemia.inner == ("diagnosis", "leukemia", "acute", "chronic")
    assert (leukemia.is_tree, leukemia.height, leukemia.root) == (True, 3, "diagnosis")
    assert leukemia.depth[leukemia.leaf_nodes].tolist() == [1, 1, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("leaf", "row"),
    [
        ("normal", [0, 3, 3, 3, 3, 3, 3]),
        ("ALL", [3, 3, 0, 1, 1, 2, 2]),
        ("CLL", [3, 3, 2, 2, 2, 0, 1]),
    ],
)
def test_heights_of_lowest_common_ancestors_are_the_published_rows(leukemia, leaf, row):
    assert leukemia.lca_heights[leukemia.index(leaf), leukemia.leaf_nodes].tolist() == row


def test_distances_count_edges(leukemia):
    between = {
        (one, other): leukemia.distances[leukemia.index(one), leukemia.index(other)]
        for one, other in [("ALL", "AML"), ("ALL", "CLL"), ("ALL", "normal"), ("ALL", "acute")]
    }
    assert list(between.values()) == [2, 4, 4, 1]


def test_paths_and_children_by_hand(leukemia):
    path = [leukemia.nodes[node] for node in leukemia.path(leukemia.index("APML"))]
    assert path == ["diagnosis", "leukemia", "acute", "APML"]
    acute = leukemia.index("acute")
    assert [leukemia.nodes[child] for child in leukemia.children_of(acute)] == ["ALL", "AML", "APML"]


def test_a_level_and_the_leaves_above_it_divide_all_leaves(leukemia):
    for depth in range(1, 4):
        assert (leukemia.leaf_sets[list(leukemia.level_nodes(depth))].sum(axis=0) == 1).all()
    assert [leukemia.nodes[node] for node in leukemia.level_nodes(1)] == ["normal", "reactive", "leukemia"]


def test_the_graph_crosses_lineage_and_course():
    graph = load_taxonomy("lymphoid_myeloid")
    above = graph.ancestors[graph.index("MPAL")]
    assert not graph.is_tree
    assert {graph.nodes[node] for node in np.flatnonzero(above)} >= {"lymphoid", "myeloid", "acute"}
    assert graph.lca_heights[graph.index("ALL"), graph.index("CLL")] == 1
    assert [graph.nodes[node] for node in graph.path(graph.index("CML"))][-2:] == ["myeloid", "CML"]


def test_apml_may_stand_under_aml():
    tree = load_taxonomy("leukemia_apml_under_aml")
    assert len(tree.leaves) == 7
    assert "AML" in tree.inner
    assert tree.codes(np.array(["AML", "M3"])).tolist() == [tree.index("AML"), tree.index("APML")]


@pytest.mark.parametrize("name", ["leukemia", "leukemia_apml_under_aml", "lymphoid_myeloid"])
def test_missing_apml_costs_most_and_normal_for_reactive_least(name):
    tree = load_taxonomy(name)
    leaves = tree.cost[np.ix_(tree.leaf_nodes, tree.leaf_nodes)]
    wrong = leaves[~np.eye(len(leaves), dtype=bool)]
    assert tree.cost[tree.index("APML"), tree.index("normal")] == leaves.max()
    assert tree.cost[tree.index("normal"), tree.index("reactive")] == wrong.min() > 0
    assert leaves[2:5, :2].min() > leaves[-2:, :2].max()  # a missed acute leukemia, a missed chronic one
    assert (np.diag(tree.cost) == 0).all()
    assert "laboratory" in tree.notes


def test_costs_of_inner_nodes_are_means_over_leaves():
    tree = small(costs={"a": {"b": 6}, "b": {"a": 2, "b": 1}, "c": {"a": 4}})
    a, b, c, d = (tree.index(name) for name in "abcd")
    assert (tree.cost[c, a], tree.cost[d, a], tree.cost[b, a]) == (4, 2, 3)
    assert (tree.cost[c, d], tree.cost[c, b], tree.cost[b, b], tree.cost[a, b]) == (1, 0.5, 0, 6)


def test_without_costs_a_mistake_costs_its_height():
    np.testing.assert_array_equal(small().cost, small().lca_heights)


@pytest.mark.parametrize("label", ["apml", " APML ", "Acute_Promyelocytic-Leukemia", "APL", "m3"])
def test_labels_are_found_in_any_spelling(leukemia, label):
    assert leukemia.resolve(label) == "APML"


def test_codes_stop_at_inner_nodes_and_know_what_is_unknown(leukemia):
    codes = leukemia.codes(np.array(["ALL", "acute", "", "ALL"]))
    assert codes.tolist() == [leukemia.index("ALL"), leukemia.index("acute"), UNKNOWN, leukemia.index("ALL")]


def test_a_label_map_comes_before_names(cells):
    labels = np.array(["BLA", "NIF", "ngs"])
    expected = [cells.index("blast"), UNKNOWN, cells.index("segmented_neutrophil")]
    assert cells.codes(labels, "bmc").tolist() == expected
    assert cells.codes(np.array(["x"]), {"x": "monocyte"}).tolist() == [cells.index("monocyte")]


@pytest.mark.parametrize(
    ("source", "n_labels"),
    [
        ("lmu", 15),
        ("bmc", 21),
        ("mll23", 18),
        ("bloodmnist", 8),
        ("wbcatt", 5),
        ("taleqani", 4),
        ("all_idb", 2),
    ],
)
def test_label_maps_cover_the_classes_of_the_public_sets(cells, source, n_labels):
    assert len(cells.label_maps[source]) == n_labels


def test_sets_of_patients_map_onto_every_leukemia_taxonomy():
    for name in ("leukemia", "leukemia_apml_under_aml", "lymphoid_myeloid"):
        tree = load_taxonomy(name)
        assert {"aml_hehr", "c_nmc", "all_idb", "taleqani"} == set(tree.label_maps)
        assert tree.resolve("PML_RARA", "aml_hehr") == "APML"


@pytest.mark.parametrize("name", shipped_taxonomies())
def test_what_ships_reads_back_what_it_writes(name):
    taxonomy = load_taxonomy(name)
    assert taxonomy.name == name
    assert Taxonomy.from_toml(taxonomy.to_toml()) == taxonomy


def test_the_subtypes_of_aml_stand_below_it_beside_healthy_donors():
    tree = load_taxonomy("aml_subtypes")
    assert tree.leaves == ("control", "CBFB::MYH11", "NPM1", "PML::RARA", "RUNX1::RUNX1T1")
    for names, label_map in ((BAGS, "aml_hehr"), (("CBFB-MYH11", "npm1", "APL", "t(8;21)", "normal"), None)):
        assert [tree.resolve(name, label_map) for name in names] == [*tree.leaves[1:], "control"]
    assert tree.cost.max() == tree.cost[tree.index("PML::RARA"), tree.index("control")]


def test_a_taxonomy_is_read_from_any_file(tmp_path, leukemia):
    (tmp_path / "own.toml").write_text(leukemia.to_toml())
    assert load_taxonomy(tmp_path / "own.toml") == leukemia


def test_a_restricted_tree_reads_finer_and_merged_labels(cells):
    tree = cells.restricted_to(PBC)
    assert len(tree.leaves) == 8
    assert tree.codes(np.array(["SNE", "BNE"])).tolist() == [tree.index("neutrophil")] * 2
    assert tree.resolve("erythroid") == "erythroblast"  # its only child was left
    assert all(len(tree.children_of(tree.index(name))) > 1 for name in tree.inner)
    assert tree.resolve("PMY", "acevedo") == "immature_granulocyte"


def test_a_restricted_tree_keeps_its_costs(leukemia):
    tree = leukemia.restricted_to(["normal", "ALL", "CLL"])
    assert tree.nodes == ("diagnosis", "normal", "leukemia", "ALL", "CLL")
    assert tree.cost[tree.index("ALL"), tree.index("normal")] == 20
    assert tree.resolve("acute") == "ALL"


def test_a_named_inner_node_stays_above_a_named_leaf():
    tree = load_taxonomy("leukemia_apml_under_aml").restricted_to(["normal", "AML", "APML"])
    assert [tree.nodes[node] for node in tree.path(tree.index("APML"))] == ["diagnosis", "AML", "APML"]


def test_the_root_merges_with_an_only_branch(cells):
    tree = cells.restricted_to(["eosinophil", "basophil"])
    assert tree.nodes == ("blood_cell", "eosinophil", "basophil")
    assert tree.resolve("granulocyte") == "blood_cell"


def test_what_was_cut_off_is_no_label_any_more(cells):
    with pytest.raises(LabelError, match="no node of the taxonomy white_cells"):
        cells.restricted_to(PBC).resolve("plasma cell")


def test_a_taxonomy_of_one_node_is_refused(cells):
    with pytest.raises(TaxonomyError, match="fewer than two"):
        cells.restricted_to(["SNE", "sne"])


def test_an_unknown_label_is_answered_with_the_nearest(cells):
    with pytest.raises(LabelError, match="Write 'neutrophil'"):
        cells.codes(np.array(["neutrofil"]))


def test_an_unknown_node_and_an_unknown_map_are_named(leukemia):
    with pytest.raises(LabelError, match="Perhaps 'ALL' was meant"):
        leukemia.index("all")
    with pytest.raises(LabelError, match="no label map 'cnmc'.*c_nmc"):
        leukemia.resolve("all", "cnmc")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("a = {}\nb = { parents = ['c'] }\nc = { parents = ['b'] }", "cycle.*b -> c -> b"),
        ("a = {}\nb = { parents = 'x' }", "orphan.*seen: x"),
        ("a = {}\nb = {}", "one root.*seen: a, b"),
        ("a = {}\nb = { parents = ['a', 'a'] }", "names a parent twice"),
        ("a = {}\nb = { parents = 'a', synonyms = ['A'] }", "'A' has two meanings"),
        ("a = {}\na = {}", "names a node twice"),
        ("a = { parent = 'b' }", "seen: parent.*'parents' was meant"),
        ("a = 3", "'a' of the taxonomy cannot be read"),
        ("a = { synonyms = [1] }", "'synonyms' of 'a' cannot be read"),
        ("", "has no nodes"),
    ],
)
def test_files_that_are_no_taxonomy_are_refused(nodes, message):
    with pytest.raises(TaxonomyError, match=message):
        Taxonomy.from_toml(f"name = 'x'\n[nodes]\n{nodes}")


def test_a_file_of_another_kind_or_a_newer_version_is_refused():
    with pytest.raises(TaxonomyError, match="no taxonomy"):
        Taxonomy.from_toml("kind = 'other'")
    with pytest.raises(NewerVersionError, match="newer trilineage"):
        Taxonomy.from_toml("version = 2")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"costs": {"a": {"b": 1}}}, "cost is missing.*truth 'c', decision 'a'"),
        ({"label_maps": {"s": {"x": "nothing"}}}, "leads to what is no node"),
        ({"synonyms": {"z": ("y",)}}, "synonyms are given for what is no node"),
    ],
)
def test_parts_that_do_not_fit_the_nodes_are_refused(parts, message):
    with pytest.raises(TaxonomyError, match=message):
        small(**parts)


def test_costs_of_equal_reach_must_agree():
    parents = {"r": (), "p": ("r",), "q": ("r",), "a": ("p",), "b": ("p",), "c": ("q",), "d": ("q",)}
    with pytest.raises(TaxonomyError, match="groups of equal size"):
        Taxonomy.from_parents("x", parents, costs={"r": {"r": 1}, "p": {"c": 2}, "a": {"q": 3}})


@pytest.mark.parametrize("cost", ["-1", "true", "inf", "'x'"])
def test_a_cost_is_a_number_from_0(cost):
    with pytest.raises(TaxonomyError, match="a number from 0"):
        Taxonomy.from_toml(f"[nodes]\na = {{}}\nb = {{ parents = 'a' }}\n[cost.a]\nb = {cost}")


def test_a_taxonomy_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TaxonomyError, match="Perhaps 'leukemia' was meant"):
        load_taxonomy("leukaemia")
    (tmp_path / "big.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(TaxonomyError, match="too large"):
        load_taxonomy(tmp_path / "big.toml")
    (tmp_path / "image.toml").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(TaxonomyError, match="cannot read"):
        load_taxonomy(tmp_path / "image.toml")


def test_an_error_says_which_file(tmp_path):
    (tmp_path / "own.toml").write_text("name = 'x'\n[nodes]\na = {}\nb = {}")
    with pytest.raises(TaxonomyError) as caught:
        load_taxonomy(tmp_path / "own.toml")
    assert "own.toml" in caught.value.__notes__[0]


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=2), min_size=1, max_size=9))
def test_order_ancestors_and_leaf_sets_agree_in_any_graph(draws):
    parents = {"n0": ()}
    for node, above in enumerate(draws, 1):
        parents[f"n{node}"] = tuple({f"n{place % node}" for place in above})
    taxonomy = Taxonomy.from_parents("any", dict(reversed(parents.items())))
    assert all(max(above, default=-1) < node for node, above in enumerate(taxonomy.parents))
    assert taxonomy.leaf_sets[0].all()
    below = taxonomy.ancestors.T @ taxonomy.leaf_sets
    np.testing.assert_array_equal(below, taxonomy.leaf_sets)
    assert (taxonomy.lca_heights == taxonomy.lca_heights.T).all()
    assert taxonomy.distances[0].tolist() == taxonomy.depth.tolist()


def test_every_label_of_the_barcelona_cells_is_a_node(real_data, cells):
    with open(real_data / "images" / "pbc_barcelona" / "metadata_all.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    coarse = cells.codes(np.array([row["class"] for row in rows]))
    fine = cells.codes(np.array([row["subclass"] for row in rows]))
    assert cells.ancestors[fine, coarse].all()
    assert len({cells.nodes[code] for code in fine}) == 13
    tree = cells.restricted_to(np.unique([cells.nodes[code] for code in fine]).tolist())
    assert sorted(np.unique(tree.codes(np.array([row["subclass"] for row in rows])))) != [0]
    assert len(tree.leaves) == 11


def test_every_label_of_the_bccd_cells_is_a_node(real_data, cells):
    with open(real_data / "images" / "bccd" / "labels.csv", newline="") as stream:
        labels = [row["wbc_type_label"] for row in csv.DictReader(stream)]
    single = np.array([label for label in labels if "," not in label])
    assert (cells.codes(single, "bccd") != 0).all()
