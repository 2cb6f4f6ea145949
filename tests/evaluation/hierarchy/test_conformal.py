"""Sets on the tree hold what was derived, cover new patients as promised, and say what breaks the promise."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import CohortError, ConfigError
from trilineage.evaluation.hierarchy.conformal import (
    Conformal,
    climb,
    conformal_scores,
    conformal_sets,
    fit_conformal,
    score_sets,
)
from trilineage.evaluation.hierarchy.node_sums import samples_at
from trilineage.evaluation.hierarchy.patients import decide_patients


@pytest.fixture
def unsure(leukemia):
    """Return probabilities whose climb is ALL .4, acute .7, leukemia .9, root 1."""
    return np.array([[0.1, 0, 0.4, 0.2, 0.1, 0.2, 0]]) @ leukemia.leaf_sets.T


def test_the_climb_goes_from_the_likeliest_leaf_to_the_root(unsure, leukemia):
    way, reached = climb(unsure, leukemia)
    assert [leukemia.nodes[node] for node in way[0]] == ["ALL", "acute", "leukemia", "diagnosis"]
    assert reached[0] == pytest.approx([0.4, 0.7, 0.9, 1.0])


@pytest.mark.parametrize(
    ("label", "node", "below"),
    [("ALL", 0.4, 0.0), ("AML", 0.7, 0.4), ("CLL", 0.9, 0.7), ("normal", 1.0, 0.9), ("acute", 0.7, 0.4)],
)
def test_the_score_is_the_probability_of_the_first_node_that_holds_the_label(
    unsure, leukemia, label, node, below
):
    code = np.array([leukemia.index(label)])
    assert conformal_scores(unsure, code, leukemia, score="node") == pytest.approx([node])
    assert conformal_scores(unsure, code, leukemia, score="below") == pytest.approx([below])


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [
        ("node", 0.3, "ALL"),
        ("node", 0.7001, "acute"),
        ("node", 0.99, "leukemia"),
        ("node", 1.0, "diagnosis"),
        ("below", 0.3, "ALL"),
        ("below", 0.5, "acute"),
        ("below", 0.95, "diagnosis"),
        ("below", float("inf"), "diagnosis"),
    ],
)
def test_the_set_is_widened_up_to_the_threshold(unsure, leukemia, score, threshold, expected):
    found = conformal_sets(unsure, leukemia, Conformal(0.9, score, threshold, 9, 9))
    assert leukemia.nodes[found[0]] == expected


@pytest.mark.parametrize("score", ["node", "below"])
@pytest.mark.parametrize("kind", ["leukemia", "lymphoid_myeloid"])
def test_a_set_holds_exactly_the_labels_whose_score_is_at_most_the_threshold(
    draw, leukemia, crossed, score, kind
):
    taxonomy = leukemia if kind == "leukemia" else crossed
    p = draw(0, taxonomy=taxonomy, signal=1.0).probabilities
    leaf = taxonomy.leaf_nodes[p[:, taxonomy.leaf_nodes].argmax(axis=1)]
    for threshold in (0.2, 0.5, 0.9, 1.0):
        sets = conformal_sets(p, taxonomy, Conformal(0.9, score, threshold, 9, 9))
        for label in taxonomy.leaf_nodes:
            labels = np.full(len(p), label)
            holds = conformal_scores(p, labels, taxonomy, score=score) <= threshold
            assert np.array_equal(taxonomy.ancestors[label, sets], holds | (leaf == label))


def test_the_threshold_is_the_quantile_of_one_score_per_patient(sure, leukemia):
    """Nine patients: the ninth smallest of nine scores is the 90 % quantile of ten, a tenth lying at infinity."""
    prediction = sure(["ALL"] * 8 + ["AML"], ["ALL"] * 9)
    assert fit_conformal(prediction, leukemia, coverage=0.9).threshold == pytest.approx(0.94)
    assert fit_conformal(prediction, leukemia, coverage=0.8).threshold == 0.0
    assert fit_conformal(prediction, leukemia, coverage=0.95).threshold == float("inf")


def test_a_patient_with_many_images_weighs_no_more_than_another(sure, leukemia):
    """Fifty wrong images of one patient of ten do not reach the 80 % quantile."""
    labels, leaves = ["ALL"] * 9 + ["AML"] * 50, ["ALL"] * 59
    patients = [f"p{i}" for i in range(9)] + ["q"] * 50
    fitted = fit_conformal(sure(labels, leaves, patients), leukemia, coverage=0.8)
    assert (fitted.threshold, fitted.n_patients, fitted.n_samples) == (0.0, 10, 59)


@pytest.mark.parametrize("unit", ["sample", "patient"])
@pytest.mark.parametrize("score", ["node", "below"])
def test_new_patients_are_covered_as_often_as_promised(draw, leukemia, unit, score):
    """Half of the patients calibrate, the other half is covered: the mean over 150 draws reaches the promise."""
    covered = []
    for seed in range(150):
        prediction = draw(seed, n_patients=42, n_each=5, patient_effect=1.5)
        if unit == "patient":
            prediction = decide_patients(prediction, leukemia, rule="mean").prediction
        names = np.unique(prediction.patients)
        calibrating = np.random.default_rng(seed).permutation(names)[:21]
        is_used = np.isin(prediction.patients, calibrating)
        fitted = fit_conformal(samples_at(prediction, is_used), leukemia, coverage=0.8, score=score)
        new = samples_at(prediction, ~is_used)
        holds = leukemia.ancestors[new.labels, conformal_sets(new.probabilities, leukemia, fitted)]
        _, codes = np.unique(new.patients, return_inverse=True)
        covered.append((np.bincount(codes, holds) / np.bincount(codes)).mean())
    assert np.mean(covered) > 0.8 - 3 * np.std(covered) / np.sqrt(150)
    assert score == "node" or np.mean(covered) < 0.88


def test_in_a_graph_the_climb_takes_the_narrower_parent(crossed):
    p = np.zeros((1, crossed.n_nodes))
    for name, value in {"diagnosis": 1, "leukemia": 0.9, "lymphoid": 0.8, "acute": 0.6, "ALL": 0.5}.items():
        p[0, crossed.index(name)] = value
    assert [crossed.nodes[node] for node in climb(p, crossed)[0][0]] == [
        "ALL",
        "acute",
        "leukemia",
        "diagnosis",
    ]


def test_nodes_that_contradict_each_other_still_grow(leukemia):
    p = np.zeros((1, leukemia.n_nodes))
    p[0, [leukemia.index("ALL"), leukemia.index("acute"), leukemia.index("leukemia")]] = 0.7, 0.2, 0.8
    assert climb(p, leukemia)[1][0] == pytest.approx([0.7, 0.7, 0.8, 1.0])


def test_sets_are_scored_by_coverage_and_size(sure, leukemia):
    prediction = sure(["ALL", "AML", "CLL", "normal"], ["ALL"] * 3 + ["normal"])
    fitted = Conformal(0.9, "below", 0.95, 9, 9)  # ALL .94, acute .96: three leaves
    found = {score.metric: score for score in score_sets(prediction, leukemia, fitted, n_bootstrap=100)}
    assert found["set_coverage"].value == 0.75
    assert found["set_size"].value == pytest.approx((3 * 3 + 7) / 4)
    assert (found["set_is_leaf"].value, found["set_is_root"].value) == (0.0, 0.25)
    assert found["set_coverage"].low < 0.75 < found["set_coverage"].high


def test_a_calibration_says_what_breaks_it(sure, leukemia):
    fitted = fit_conformal(sure(["ALL"], ["ALL"]), leukemia)
    assert "another stain" in fitted.to_dict()["warning"]
    assert fitted.to_dict()["threshold"] is None  # one patient promises nothing: every set is the root


@pytest.mark.parametrize("coverage", [0.0, 1.0])
def test_a_coverage_that_cannot_be_promised_is_refused(sure, leukemia, coverage):
    with pytest.raises(ConfigError, match="cannot be promised"):
        fit_conformal(sure(["ALL"], ["ALL"]), leukemia, coverage=coverage)


def test_calibrating_without_labels_is_refused(sure, leukemia):
    with pytest.raises(CohortError, match="no sample has a label"):
        fit_conformal(replace(sure(["ALL"], ["ALL"]), labels=None), leukemia)
