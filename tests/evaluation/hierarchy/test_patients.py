"""Patients are decided by mode, mean or mean logarithm of their images, and labelled by the deepest label."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import CohortError, ConfigError
from trilineage.evaluation.hierarchy.patients import decide, decide_patients, patient_node_labels


def named(taxonomy, decided) -> list[str]:
    return [taxonomy.nodes[node] for node in decided.decisions]


@pytest.fixture
def of_leaves(sure, leukemia):
    """Return the images of one patient with given probabilities of normal, ALL and AML."""

    def make(rows):
        prediction = sure(["ALL"] * len(rows), ["ALL"] * len(rows), ["p"] * len(rows))
        shares = np.zeros((len(rows), 7))
        shares[:, [0, 2, 3]] = rows
        return replace(prediction, probabilities=shares @ leukemia.leaf_sets.T)

    return make


def test_the_mode_counts_images(of_leaves, leukemia):
    images = of_leaves([[0, 0.45, 0.55], [0, 0.45, 0.55], [0, 1.0, 0.0]])
    assert named(leukemia, decide_patients(images, leukemia, rule="mode")) == ["AML"]
    assert named(leukemia, decide_patients(images, leukemia, rule="mean")) == ["ALL"]


def test_of_equal_modes_the_likelier_on_average_wins(of_leaves, leukemia):
    images = of_leaves([[0, 0.45, 0.55], [0, 0.9, 0.1]])
    assert named(leukemia, decide_patients(images, leukemia)) == ["ALL"]
    assert named(leukemia, decide_patients(of_leaves([[0, 0.55, 0.45], [0, 0.1, 0.9]]), leukemia)) == ["AML"]


def test_the_mean_logarithm_multiplies_witnesses(of_leaves, leukemia):
    """Normal wins the mean (.5 against .35), but one image all but excludes it: .9 x .1 against .35 x .35."""
    images = of_leaves([[0.9, 0.1, 0.0], [0.02, 0.6, 0.38]])
    assert named(leukemia, decide_patients(images, leukemia, rule="mean")) == ["normal"]
    decided = decide_patients(images, leukemia, rule="mean_log")
    assert named(leukemia, decided) == ["ALL"]
    logs = np.sqrt([0.9 * 0.02, 0.1 * 0.6])
    shares = decided.prediction.probabilities[0, [leukemia.index("normal"), leukemia.index("ALL")]]
    assert shares[0] / shares[1] == pytest.approx(logs[0] / logs[1])


@pytest.mark.parametrize("rule", ["mode", "mean", "mean_log"])
def test_probabilities_of_patients_still_add_up(draw, leukemia, rule):
    probabilities = decide_patients(draw(0), leukemia, rule=rule).prediction.probabilities
    assert probabilities[:, 0] == pytest.approx(1.0)
    assert probabilities[:, leukemia.leaf_nodes].sum(axis=1) == pytest.approx(1.0)


def test_in_a_graph_the_mean_logarithm_keeps_parents_above_children(crossed, draw):
    decided = decide_patients(draw(0, taxonomy=crossed), crossed, rule="mean_log")
    p = decided.prediction.probabilities
    for node, above in enumerate(crossed.parents):
        assert all((p[:, parent] >= p[:, node] - 1e-12).all() for parent in above)


def test_patients_come_sorted_with_site_and_truth(sure, leukemia):
    prediction = replace(
        sure(["ALL", "CLL", "ALL"], ["ALL", "CLL", "ALL"], ["q", "p", "q"]), sites=np.array(["x", "y", "x"])
    )
    patients = decide_patients(prediction, leukemia).prediction
    assert patients.samples.tolist() == ["p", "q"]
    assert patients.sites.tolist() == ["y", "x"]
    assert [leukemia.nodes[label] for label in patients.labels] == ["CLL", "ALL"]


def test_the_deepest_label_on_one_way_is_the_patients(sure, leukemia):
    prediction = sure(["acute", "ALL", "", "leukemia"], ["ALL"] * 4, ["p", "p", "p", "q"])
    labels = patient_node_labels(prediction, leukemia)
    assert [leukemia.nodes[label] for label in labels] == ["ALL", "leukemia"]


def test_a_patient_without_label_has_none(sure, leukemia):
    assert patient_node_labels(sure(["", ""], ["ALL"] * 2, ["p", "p"]), leukemia).tolist() == [-1]
    assert patient_node_labels(replace(sure(["ALL"], ["ALL"]), labels=None), leukemia) is None


def test_labels_of_two_branches_are_refused_with_the_patient(sure, leukemia):
    with pytest.raises(CohortError, match="several labels.*seen: p;"):
        decide_patients(sure(["ALL", "AML"], ["ALL"] * 2, ["p", "p"]), leukemia)


def test_an_unknown_rule_is_refused(sure, leukemia):
    with pytest.raises(ConfigError, match="no rule 'median'.*mode, mean, mean_log"):
        decide_patients(sure(["ALL"], ["ALL"]), leukemia, rule="median")


def test_images_are_decided_one_by_one(sure, leukemia):
    assert named(leukemia, decide(sure(["ALL", "ALL"], ["CML", "AML"]), leukemia)) == ["CML", "AML"]
