"""Each node is scored as a yes-or-no question, as scikit-learn does, on the labels that answer it."""

import numpy as np
import pytest
from sklearn import metrics as reference

from trilineage.evaluation.hierarchy.per_node import NODE_SCALES, node_scores
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings

QUICK = NodeEvaluationSettings(n_bootstrap=100)


def found(scores, node) -> dict[str, float]:
    return {score.metric: score.value for score in scores[node]}


def test_areas_and_brier_score_are_those_of_scikit_learn(draw, leukemia):
    prediction = draw(2, signal=1.0)
    scores = node_scores(prediction, leukemia, settings=QUICK)
    for node in ("acute", "APML"):
        column = leukemia.index(node)
        truth, p = leukemia.ancestors[prediction.labels, column], prediction.probabilities[:, column]
        ours = found(scores, node)
        assert ours["auroc"] == pytest.approx(reference.roc_auc_score(truth, p))
        assert ours["auprc"] == pytest.approx(reference.average_precision_score(truth, p))
        assert ours["brier"] == pytest.approx(reference.brier_score_loss(truth, p))


def test_decisions_for_a_node_count_with_all_below_it(draw, leukemia):
    prediction = draw(2, signal=1.0)
    ours = found(node_scores(prediction, leukemia, settings=QUICK), "chronic")
    is_below = leukemia.ancestors[:, leukemia.index("chronic")]
    called = leukemia.leaf_nodes[prediction.probabilities[:, leukemia.leaf_nodes].argmax(axis=1)]
    pair = (is_below[prediction.labels], is_below[called])
    assert ours["precision"] == pytest.approx(reference.precision_score(*pair))
    assert ours["recall"] == pytest.approx(reference.recall_score(*pair))
    assert ours["f1"] == pytest.approx(reference.f1_score(*pair))


def test_the_calibration_error_of_a_case_counted_by_hand(sure, leukemia):
    """Three samples at .94 of ALL of which two are, five at .01 of which none is."""
    prediction = sure(["ALL", "ALL", "AML"] + ["CLL"] * 5, ["ALL"] * 3 + ["CLL"] * 5)
    ours = found(node_scores(prediction, leukemia, settings=QUICK), "ALL")
    assert ours["ece"] == pytest.approx((3 * abs(2 / 3 - 0.94) + 5 * 0.01) / 8)


def test_a_label_above_a_node_does_not_answer_for_it(sure, leukemia):
    prediction = sure(["acute", "ALL", "CLL"], ["ALL", "ALL", "CLL"])
    scores = node_scores(prediction, leukemia, settings=QUICK)
    sizes = {node: scores[node][0].n_samples for node in ("acute", "ALL", "CLL")}
    assert sizes == {"acute": 3, "ALL": 2, "CLL": 3}


def test_every_node_but_the_root_has_every_score_with_its_interval(draw, leukemia):
    scores = node_scores(draw(0, signal=1.0), leukemia, settings=QUICK)
    assert tuple(scores) == leukemia.nodes[1:]
    for of_node in scores.values():
        assert [score.metric for score in of_node] == list(NODE_SCALES)
        assert all(score.low <= score.value <= score.high for score in of_node)


def test_a_node_that_nobody_has_says_so(sure, leukemia):
    scores = node_scores(sure(["ALL", "AML", "ALL"], ["ALL"] * 3), leukemia, settings=QUICK)
    assert np.isnan(found(scores, "CML")["auroc"])
    assert "no sample of the node" in scores["CML"][0].note


def test_one_patient_has_no_interval(sure, leukemia):
    scores = node_scores(
        sure(["ALL", "ALL"], ["ALL"] * 2, ["p", "p"]), leukemia, unit="patient", settings=QUICK
    )
    assert scores["ALL"][2].low is None
    assert "no interval: 1 patient" in scores["ALL"][2].note


def test_patients_are_scored_by_their_mean_probability(draw, leukemia):
    scores = node_scores(draw(0), leukemia, unit="patient", settings=QUICK)
    assert (scores["acute"][0].n_samples, scores["acute"][0].unit) == (28, "patient")
