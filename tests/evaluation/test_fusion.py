"""Evidence of lineages: clipped, spread over shared classes, laid side by side."""

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.evaluation.fusion import Evidence, align, clipped, divergence, spread

CLASSES = ("normal", "AML", "APML")
EVEN = np.full(3, 1 / 3)


def evidence(lineage, patients, probabilities, *, prior=EVEN, labels=None, classes=CLASSES):
    labels = None if labels is None else np.array(labels)
    return Evidence(lineage, np.array(patients), classes, np.array(probabilities, dtype=float), prior, labels)


def test_clipping_raises_what_is_small_and_keeps_what_is_not():
    said = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    found = clipped(said, 0.01)
    np.testing.assert_allclose(found[0], said[0])
    np.testing.assert_allclose(found[1], [1 / 1.02, 0.01 / 1.02, 0.01 / 1.02])


def test_a_coarse_class_is_divided_as_the_prior_is():
    holds = np.array([[True, False, False], [False, True, True]])
    found = spread(np.array([[0.4, 0.6]]), holds, np.array([0.5, 0.3, 0.2]))
    np.testing.assert_allclose(found, [[0.4, 0.6 * 0.6, 0.6 * 0.4]])


def test_a_class_that_a_lineage_was_never_shown_keeps_its_prior():
    holds = np.array([[True, False, False], [False, True, False]])
    found = spread(np.array([[0.9, 0.1]]), holds, np.array([0.5, 0.3, 0.2]))
    np.testing.assert_allclose(found, [[0.8 * 0.9, 0.8 * 0.1, 0.2]])


def test_the_same_classes_come_back_as_they_are():
    said = np.array([[0.7, 0.2, 0.1]])
    np.testing.assert_allclose(spread(said, np.eye(3, dtype=bool), np.array([0.5, 0.3, 0.2])), said)


@pytest.mark.parametrize(
    "holds", [[[True, True, False], [False, True, False]], [[True, False, False], [False, False, False]]]
)
def test_classes_that_overlap_or_hold_nothing_are_refused(holds):
    with pytest.raises(CohortError, match="overlap"):
        spread(np.array([[0.5, 0.5]]), np.array(holds), EVEN)


def test_a_lineage_that_does_not_know_a_patient_contributes_nothing():
    one = evidence("rna", ["b", "a"], [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2]], labels=[0, 1])
    other = evidence("images", ["c"], [[0.2, 0.2, 0.6]], labels=[2])
    found = align([one, other])
    assert found.patients.tolist() == ["a", "b", "c"]
    assert found.labels.tolist() == [1, 0, 2]
    assert found.has.tolist() == [[True, True, False], [False, False, True]]
    np.testing.assert_allclose(found.ratios[0, 2], 0.0)
    np.testing.assert_allclose(found.ratios[0, 1], np.log([1.8, 0.6, 0.6]))


def test_a_label_that_one_lineage_knows_is_enough():
    rows = [[0.6, 0.2, 0.2]]
    found = align([evidence("rna", ["a"], rows, labels=[-1]), evidence("images", ["a"], rows, labels=[2])])
    assert found.labels.tolist() == [2]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"labels": [1]}, "another label in another lineage"),
        ({"classes": ("x", "y", "z")}, "laid side by side"),
        ({"lineage": "rna"}, "laid side by side"),
    ],
)
def test_evidence_that_contradicts_itself_is_refused(second, message):
    rows = [[0.6, 0.2, 0.2]]
    values = {"lineage": "images", "patients": ["a"], "probabilities": rows, "labels": [0]} | second
    with pytest.raises(CohortError, match=message):
        align([evidence("rna", ["a"], rows, labels=[0]), evidence(**values)])


@pytest.mark.parametrize("row", [[1.0, 0.0, 0.0], [0.5, 0.3, 0.3]])
def test_what_is_no_probability_above_zero_is_refused(row):
    with pytest.raises(CohortError, match="cannot be pooled"):
        evidence("rna", ["a"], [row])


def test_a_patient_twice_is_refused():
    with pytest.raises(CohortError, match="more than once"):
        evidence("rna", ["a", "a"], [[0.6, 0.2, 0.2]] * 2)


def test_divergence_is_nothing_for_equals_and_one_for_opposites():
    assert divergence(np.array([[0.6, 0.4], [0.6, 0.4]])) == pytest.approx(0.0, abs=1e-12)
    assert divergence(np.eye(3)) == pytest.approx(1.0)
    assert divergence(np.array([[0.9, 0.1]])) == 0.0
    half = divergence(np.array([[0.9, 0.1], [0.1, 0.9]]))
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert half == pytest.approx(1.0 - entropy / np.log(2))
