"""Scores and comparisons on a taxonomy: reference values, hiclass, scikit-learn, inner labels, honest intervals."""

import importlib
import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from trilineage.core.errors import CohortError
from trilineage.core.records import NodePrediction
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.scores import compare_nodes, score_decided, score_nodes
from trilineage.evaluation.hierarchy.settings import METRIC_NAMES, NodeEvaluationSettings

QUICK = NodeEvaluationSettings(n_bootstrap=200, n_permutations=199)
TRUTH = ["ALL", "ALL", "ALL", "AML", "AML", "APML", "APML", "CLL", "CLL", "CML", "CML", "CML"]
CALLS = ["ALL", "AML", "CLL", "AML", "APML", "APML", "CML", "CLL", "CML", "CML", "ALL", "CML"]
STOPPED = ["acute", "AML", "CLL", "AML", "APML", "APML", "CML", "chronic", "CML", "CML", "ALL", "CML"]


def values(scores) -> dict[str, float]:
    return {score.metric: score.value for score in scores}


@pytest.fixture
def score(sure, leukemia):
    """Return the scores of decisions for labels, both by name."""

    def make(labels, decisions, metrics=METRIC_NAMES):
        prediction = sure(labels, ["normal"] * len(labels))
        decided = Decided(prediction, leukemia.codes(np.array(decisions)))
        return values(score_decided(decided, leukemia, settings=QUICK.replace(metrics=metrics)))

    return make


@pytest.mark.parametrize(
    ("label", "decision", "expected"),
    [
        ("ALL", "AML", (2 / 3, 2 / 3, 2 / 3)),
        ("ALL", "CLL", (1 / 3, 1 / 3, 1 / 3)),
        ("ALL", "normal", (0, 0, 0)),
        ("ALL", "acute", (1, 2 / 3, 0.8)),
        ("normal", "ALL", (0, 0, 0)),
        ("acute", "ALL", (1, 1, 1)),
        ("acute", "CLL", (1 / 3, 1 / 2, 0.4)),
        ("ALL", "diagnosis", (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("average", ["", "_sample_macro", "_class_macro"])
def test_precision_recall_and_f1_of_one_decision_are_those_counted_by_hand(
    score, label, decision, expected, average
):
    found = score([label], [decision])
    parts = [found[f"hierarchical_{part}{average}"] for part in ("precision", "recall", "f1")]
    assert parts == pytest.approx(expected)


def hiclass_scores(decisions: list[str], average: str) -> list[float]:
    """Return hiclass's precision, recall and F1 on the two levels acute/chronic and leaf."""
    metrics = importlib.import_module("hiclass.metrics")
    path = dict.fromkeys(("ALL", "AML", "APML", "acute"), "acute") | dict.fromkeys(
        ("CLL", "CML", "chronic"), "chronic"
    )
    truth, calls = (
        np.array([[path[name], name if name not in path.values() else ""] for name in names])
        for names in (TRUTH, decisions)
    )
    both = [metric(truth, calls, average) for metric in (metrics.precision, metrics.recall)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a sample with nothing right
        return [*both, metrics.f1(truth, calls, average)]


@pytest.mark.parametrize(
    ("decisions", "average", "recorded"),
    [
        (CALLS, "micro", (0.625, 0.625, 0.625)),
        (CALLS, "macro", (0.625, 0.625, 0.625)),
        (STOPPED, "micro", (0.5909090909090909, 0.5416666666666666, 0.5652173913043478)),
        (STOPPED, "macro", (0.625, 0.5416666666666666, 0.5694444444444444)),
    ],
)
def test_a_uniform_tree_scores_as_in_hiclass(sure, decisions, average, recorded):
    """The figures were computed with hiclass 5.0.8; where it is installed it is asked again."""
    two_levels = Taxonomy.from_parents(
        "two levels",
        {"leukemia": (), "acute": ("leukemia",), "chronic": ("leukemia",)}
        | dict.fromkeys(("ALL", "AML", "APML"), ("acute",))
        | dict.fromkeys(("CLL", "CML"), ("chronic",)),
    )
    prediction = sure(TRUTH, ["ALL"] * len(TRUTH))
    shape = {"nodes": two_levels.nodes, "probabilities": np.ones((len(TRUTH), two_levels.n_nodes))}
    prediction = replace(prediction, labels=two_levels.codes(np.array(TRUTH)), **shape)
    found = values(score_decided(Decided(prediction, two_levels.codes(np.array(decisions))), two_levels))
    suffix = "" if average == "micro" else "_sample_macro"
    ours = [found[f"hierarchical_{part}{suffix}"] for part in ("precision", "recall", "f1")]
    assert ours == pytest.approx(recorded)
    if importlib.util.find_spec("hiclass") is not None:
        assert ours == pytest.approx(hiclass_scores(decisions, average))


def test_leaf_metrics_are_those_of_scikit_learn(draw, leukemia):
    prediction = draw(3, signal=1.0)
    found = values(score_nodes(prediction, leukemia, settings=QUICK))
    called = decode(prediction.probabilities, leukemia)
    pair = (prediction.labels, called)
    assert found["leaf_accuracy"] == pytest.approx(reference.accuracy_score(*pair))
    assert found["leaf_balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(*pair))
    assert found["leaf_macro_f1"] == pytest.approx(reference.f1_score(*pair, average="macro"))
    assert found["leaf_mcc"] == pytest.approx(reference.matthews_corrcoef(*pair))
    assert found["kappa"] == pytest.approx(reference.cohen_kappa_score(*pair))


def test_the_mean_over_nodes_of_the_f1_is_that_of_scikit_learns_multilabel_f1(draw, leukemia):
    prediction = draw(3, signal=1.0)
    found = values(score_nodes(prediction, leukemia, settings=QUICK.replace(metrics=("node_macro_f1",))))
    paths = leukemia.ancestors[:, 1:].astype(int)
    truth, called = paths[prediction.labels], paths[decode(prediction.probabilities, leukemia)]
    assert found["node_macro_f1"] == pytest.approx(reference.f1_score(truth, called, average="macro"))


def test_distance_severity_and_cost_of_a_case_counted_by_hand(score):
    found = score(["ALL", "ALL", "CLL", "APML"], ["ALL", "AML", "ALL", "normal"])
    assert found["hierarchical_distance"] == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert found["mistake_severity"] == pytest.approx((1 + 2 + 3) / 3)
    assert found["clinical_cost"] == pytest.approx((0 + 4 + 4 + 30) / 4)
    assert found["full_path_accuracy"] == 0.25


def test_levels_end_to_end_count_the_labels_that_reach_them(score):
    found = score(["ALL", "ALL", "CLL", "normal"], ["ALL", "CML", "acute", "reactive"])
    levels = [found[f"accuracy_level_{level}_end_to_end"] for level in (1, 2, 3)]
    assert levels == pytest.approx([3 / 4, 1 / 3, 1 / 3])


def test_levels_given_the_parent_forgive_mistakes_above(sure, leukemia):
    """Surely normal, but of the acute leukemias ALL: right given acute, wrong end to end."""
    prediction = sure(["ALL"], ["normal"])
    prediction.probabilities[0, leukemia.index("ALL")] += 1e-4
    prediction.probabilities[0, leukemia.index("acute")] += 1e-4
    found = values(score_nodes(prediction, leukemia, settings=QUICK))
    assert [found[f"accuracy_level_{level}_conditional"] for level in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert [found[f"accuracy_level_{level}_end_to_end"] for level in (1, 2, 3)] == [0.0, 0.0, 0.0]


def test_what_lies_below_a_label_is_never_wrong(score):
    found = score(["acute", "leukemia", "ALL"], ["APML", "CLL", "ALL"])
    for name in ("hierarchical_f1", "full_path_accuracy", "leaf_accuracy", "accuracy_level_2_end_to_end"):
        assert found[name] == 1.0
    assert found["clinical_cost"] == found["hierarchical_distance"] == 0.0
    assert np.isnan(found["mistake_severity"])


def test_stopping_above_the_label_is_incomplete_not_free(score):
    found = score(["ALL"], ["acute"])
    assert (found["full_path_accuracy"], found["leaf_accuracy"]) == (0.0, 0.0)
    assert found["hierarchical_distance"] == 1.0
    assert found["clinical_cost"] == pytest.approx((0 + 4 + 3) / 3)  # drawn among the leaves it leaves open


def test_distance_at_k_averages_over_the_most_probable_leaves(sure, leukemia):
    settings = QUICK.replace(metrics=("hierarchical_distance_at_k",), top_k=(1, 2, 7))
    prediction = sure(["ALL"], ["ALL"])
    prediction.probabilities[0, leukemia.index("CML")] += 0.005
    found = values(score_nodes(prediction, leukemia, settings=settings))
    assert found["hierarchical_distance_at_1"] == 0.0
    assert found["hierarchical_distance_at_2"] == 1.0
    assert found["hierarchical_distance_at_7"] == pytest.approx((3 + 3 + 0 + 1 + 1 + 2 + 2) / 7)


def test_levels_that_contradict_each_other_are_inconsistent(leukemia, sure):
    """Leukemia is likeliest as a whole while normal is the likeliest leaf: the levels do not lie on one path."""
    shares = np.array([[0.4, 0, 0.12, 0.12, 0.12, 0.12, 0.12], [0.9, 0, 0.02, 0.02, 0.02, 0.02, 0.02]])
    prediction = replace(sure(["ALL"] * 2, ["ALL"] * 2), probabilities=shares @ leukemia.leaf_sets.T)
    found = values(score_nodes(prediction, leukemia, settings=QUICK.replace(metrics=("path_inconsistency",))))
    assert found["path_inconsistency"] == 0.5


def test_log_loss_of_an_inner_label_is_that_of_the_node(sure, leukemia):
    prediction = sure(["acute", "ALL"], ["ALL", "ALL"])
    found = values(score_nodes(prediction, leukemia, settings=QUICK.replace(metrics=("log_loss",))))
    assert found["log_loss"] == pytest.approx(-(np.log(0.96) + np.log(0.94)) / 2)


def test_costs_weigh_the_kappa(draw, leukemia):
    prediction = draw(3, signal=1.0)
    found = values(score_nodes(prediction, leukemia, settings=QUICK))
    counts = reference.confusion_matrix(
        prediction.labels, decode(prediction.probabilities, leukemia), labels=leukemia.leaf_nodes
    )
    costs = leukemia.cost[np.ix_(leukemia.leaf_nodes, leukemia.leaf_nodes)]
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    by_hand = 1 - (costs * counts).sum() / (costs * expected).sum()
    assert found["cost_weighted_kappa"] == pytest.approx(by_hand)


def test_a_graph_with_several_parents_is_scored(crossed):
    """ALL is {leukemia, lymphoid, acute, ALL}; AML shares leukemia and acute with it."""
    prediction = NodePrediction(
        samples=np.array(["s"]),
        patients=np.array(["p"]),
        nodes=crossed.nodes,
        probabilities=np.full((1, crossed.n_nodes), 0.5),
        labels=crossed.codes(np.array(["ALL"])),
    )
    decided = Decided(prediction, crossed.codes(np.array(["AML"])))
    found = values(score_decided(decided, crossed, settings=QUICK))
    assert found["hierarchical_f1"] == pytest.approx(0.5)
    assert (found["accuracy_level_1_end_to_end"], found["accuracy_level_2_end_to_end"]) == (1.0, 0.0)


def test_every_score_has_its_value_inside_its_interval_over_patients(draw, leukemia):
    scores = score_nodes(draw(0, signal=1.0), leukemia, settings=QUICK)
    assert all(score.low <= score.value <= score.high for score in scores)
    assert {score.n_patients for score in scores} == {28}
    assert {len(METRIC_NAMES) + 2 + 2 + 1} == {len(scores)}  # three levels twice, two k


def test_resamples_are_the_metrics_of_repeated_patients(draw, leukemia):
    """Repeating every patient leaves each metric as it is: sums by patient lose nothing."""
    prediction = draw(1, signal=1.0)
    twice = replace(
        prediction,
        samples=np.tile(prediction.samples, 2),
        patients=np.concatenate([prediction.patients, np.char.add(prediction.patients, "b")]),
        probabilities=np.tile(prediction.probabilities, (2, 1)),
        labels=np.tile(prediction.labels, 2),
    )
    one, two = (values(score_nodes(p, leukemia, settings=QUICK)) for p in (prediction, twice))
    assert one == pytest.approx(two)


def test_patients_are_scored_by_the_mode_of_their_images(sure, leukemia):
    prediction = sure(["ALL"] * 3 + ["CLL"], ["ALL", "ALL", "AML", "CML"], ["p", "p", "p", "q"])
    scores = score_nodes(prediction, leukemia, unit="patient", settings=QUICK)
    found = {score.metric: score for score in scores}
    assert found["leaf_accuracy"].value == 0.5
    assert (found["leaf_accuracy"].n_samples, found["leaf_accuracy"].n_patients) == (4, 2)


def test_samples_without_label_or_with_the_root_are_left_out(sure, leukemia):
    prediction = sure(["ALL", "", "diagnosis", "CLL"], ["ALL", "ALL", "ALL", "ALL"])
    score = score_nodes(prediction, leukemia, settings=QUICK.replace(metrics=("full_path_accuracy",)))[0]
    assert (score.value, score.n_samples) == (0.5, 2)
    assert "2 samples without label left out" in score.note


def test_nothing_labelled_is_refused(sure, leukemia):
    with pytest.raises(CohortError, match="no sample has a label"):
        score_nodes(sure([""], ["ALL"]), leukemia)


def test_a_prediction_of_another_taxonomy_is_refused(sure, crossed):
    with pytest.raises(CohortError, match="does not belong to the taxonomy lymphoid_myeloid"):
        score_nodes(sure(["ALL"], ["ALL"]), crossed)


def test_a_rule_is_compared_with_another_on_the_same_patients(draw, leukemia):
    prediction = draw(0, signal=1.0)
    settings = QUICK.replace(metrics=("clinical_cost", "leaf_accuracy"))
    rules = ("expected_cost", "leaf_argmax")
    cost, accuracy = compare_nodes(prediction, prediction, leukemia, rules=rules, settings=settings)
    assert cost.difference < 0 < -accuracy.difference + 1e-9
    assert cost.low <= cost.difference <= cost.high
    assert 0 < cost.p_value <= 1


def test_a_model_does_not_differ_from_itself(draw, leukemia):
    found = compare_nodes(draw(0), draw(0), leukemia, settings=QUICK)
    assert all((c.difference, c.low, c.high, c.p_value) == (0, 0, 0, 1) for c in found)


def test_a_comparison_is_the_difference_of_the_scores(draw, leukemia):
    first = draw(0)
    second = replace(first, probabilities=np.roll(first.probabilities, 3, axis=0))
    found = compare_nodes(first, second, leukemia, unit="patient", settings=QUICK)
    scores = [values(score_nodes(p, leukemia, unit="patient", settings=QUICK)) for p in (first, second)]
    for comparison in found:
        expected = scores[0][comparison.metric] - scores[1][comparison.metric]
        assert comparison.difference == pytest.approx(expected, nan_ok=True)


def test_predictions_of_other_samples_cannot_be_paired(draw, leukemia):
    first = draw(0)
    with pytest.raises(CohortError, match="cannot be paired; seen: different samples"):
        compare_nodes(first, replace(first, samples=first.samples[::-1]), leukemia)


def test_intervals_cover_the_truth_in_about_95_of_100_simulated_studies(draw, leukemia):
    metrics = ("hierarchical_f1", "hierarchical_distance", "clinical_cost", "log_loss")
    settings = NodeEvaluationSettings(n_bootstrap=200, metrics=metrics)
    shape = {"n_each": 6, "signal": 1.2}
    large = draw(10**6, n_patients=14_000, **shape)
    truth = values(score_nodes(large, leukemia, settings=settings.replace(n_bootstrap=100)))
    holds = []
    for study in range(120):
        scores = score_nodes(draw(study, n_patients=56, **shape), leukemia, settings=settings, seed=study)
        holds.append([score.low <= truth[score.metric] <= score.high for score in scores])
    shares = np.mean(holds, axis=0)
    assert (shares >= 0.89).all()  # three standard errors of 120 studies below 95 %
