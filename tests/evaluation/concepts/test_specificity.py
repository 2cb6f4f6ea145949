"""Spread of latents over classes agrees with hand-computed cases."""

import numpy as np
import pytest

from trilineage.core.errors import DataError, LabelError
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.evaluation.concepts.specificity import specificity

TREE = Taxonomy.from_parents(
    "blood",
    {
        "blood": [],
        "myeloid": ["blood"],
        "neutrophil": ["myeloid"],
        "eosinophil": ["myeloid"],
        "blast": ["blood"],
    },
)
CLASSES = ("neutrophil", "eosinophil", "blast")


def test_entropy_is_zero_for_one_class_and_full_for_all_alike():
    found = specificity(np.array([[2.0, 0.0, 0.0], [3.0, 3.0, 3.0], [0.5, 0.5, 0.0]]))
    assert found.entropy == pytest.approx([0.0, np.log(3), np.log(2)])
    assert found.relative_entropy == pytest.approx([0.0, 1.0, np.log(2) / np.log(3)])
    assert found.spread is None


def test_near_lineages_spread_less_than_far_ones():
    shares = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]])
    # Two edges between the granulocytes, three between neutrophil and blast; each pair is drawn half of the time.
    assert specificity(shares, classes=CLASSES, taxonomy=TREE).spread == pytest.approx([0.0, 1.0, 1.5])


def test_dead_latents_are_unknown_and_never_nan():
    found = specificity(np.zeros((1, 3)), classes=CLASSES, taxonomy=TREE)
    assert (found.entropy[0], found.spread[0], found.is_known[0]) == (0.0, 0.0, False)
    assert np.isnan(found.figures()["spread"][0])


def test_classes_are_found_by_their_synonyms():
    tree = load_taxonomy("leukemia")
    synonym = next(name for names in tree.synonyms.values() for name in names)
    named = specificity(np.ones((1, 2)), classes=(synonym, "normal"), taxonomy=tree)
    node = specificity(np.ones((1, 2)), classes=(tree.resolve(synonym), "normal"), taxonomy=tree)
    assert named.spread == pytest.approx(node.spread)


@pytest.mark.parametrize("wrong", [np.nan, -1.0])
def test_shares_that_are_none_are_refused(wrong):
    with pytest.raises(DataError, match="shares of classes that are none"):
        specificity(np.array([[1.0, wrong]]))


def test_names_must_fit_the_shares_and_the_tree():
    with pytest.raises(DataError, match="2 names for 3 columns"):
        specificity(np.ones((1, 3)), classes=CLASSES[:2], taxonomy=TREE)
    with pytest.raises(LabelError):
        specificity(np.ones((1, 3)), classes=(*CLASSES[:2], "platelet"), taxonomy=TREE)
