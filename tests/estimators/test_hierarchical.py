"""The hierarchical head as an estimator: probabilities of a tree, labels at any node, honest inner splits."""

import numpy as np
import pytest

import trilineage
from trilineage import HierarchicalClassifier
from trilineage.core.errors import ConfigError, LabelError
from trilineage.data.taxonomy import load_taxonomy

QUICK = {"epochs": 12, "batch_size": 64, "learning_rate": 0.1, "device": "cpu"}


@pytest.fixture(scope="module")
def fitted(cells):
    features, labels, patients = cells
    return HierarchicalClassifier("leukemia", **QUICK).fit(features, labels, patients=patients)


def test_it_learns_the_diagnoses(fitted, cells):
    assert fitted.score(cells[0], cells[1]) > 0.95


def test_classes_are_the_sorted_leaves_and_probabilities_stand_in_their_order(fitted, cells):
    tree = load_taxonomy("leukemia")
    assert fitted.classes_.tolist() == sorted(tree.leaves)
    p, nodes = fitted.predict_proba(cells[0]), fitted.predict_node_proba(cells[0])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    place = fitted.classes_.tolist().index("CLL")
    np.testing.assert_allclose(p[:, place], nodes[:, tree.index("CLL")], atol=1e-6)


def test_children_sum_to_their_parent_also_after_calibration(fitted, cells):
    tree, nodes = fitted.taxonomy_, fitted.predict_node_proba(cells[0])
    assert any(t != 1.0 for t in fitted.calibration_.temperatures.values())
    for name in tree.inner:
        children = list(tree.children_of(tree.index(name)))
        np.testing.assert_allclose(nodes[:, children].sum(axis=1), nodes[:, tree.index(name)], atol=1e-6)


def test_a_label_at_an_inner_node_teaches_what_it_knows(cells):
    features, labels, patients = cells
    coarse = np.where(labels == "APML", "acute", labels)
    model = HierarchicalClassifier("leukemia", **QUICK).fit(features, coarse, patients=patients)
    acute = model.predict_node_proba(features)[:, model.taxonomy_.index("acute")]
    assert acute[labels == "APML"].mean() > 0.9


def test_a_rule_may_stop_at_an_inner_node(cells):
    features, labels, patients = cells
    model = HierarchicalClassifier("leukemia", rule="majority_path", **QUICK)
    far = model.fit(features, labels, patients=patients).predict(np.concatenate([features, features[:1] * 0]))
    assert set(far) <= set(model.taxonomy_.nodes)


def test_without_a_taxonomy_labels_keep_their_type(cells):
    codes = np.unique(cells[1], return_inverse=True)[1] * 10
    model = HierarchicalClassifier(**QUICK).fit(cells[0], codes)
    assert model.classes_.tolist() == [0, 10, 20, 30]
    assert (model.predict(cells[0]) == codes).mean() > 0.95


def test_labels_that_are_no_node_are_named(cells):
    with pytest.raises(LabelError, match="AMM"):
        HierarchicalClassifier("leukemia").fit(cells[0][:4], ["AML", "AMM", "AML", "CLL"])


def test_the_variant_of_one_model_per_parent_is_refused(cells):
    with pytest.raises(ConfigError, match="base"):
        HierarchicalClassifier("leukemia", variant="base").fit(cells[0], cells[1])


def test_a_rule_that_may_stop_above_the_leaves_needs_a_taxonomy(cells):
    with pytest.raises(ConfigError, match="needs a taxonomy"):
        HierarchicalClassifier(rule="majority_path").fit(cells[0], cells[1])


def test_the_package_names_estimators_lazily_and_says_what_there_is():
    assert trilineage.HierarchicalClassifier is HierarchicalClassifier
    assert "DiseaseClassifier" in dir(trilineage)
    with pytest.raises(AttributeError, match="BarcodeClassifier"):
        trilineage.NoClassifier  # noqa: B018
