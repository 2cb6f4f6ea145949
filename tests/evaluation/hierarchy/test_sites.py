"""Sites are scored one by one, and stains that differ between them are seen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.evaluation.hierarchy.scores import score_nodes
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.hierarchy.sites import site_scores, stain_shift
from trilineage.evaluation.settings import EvaluationSettings

QUICK = NodeEvaluationSettings(n_bootstrap=100, metrics=("leaf_accuracy",))
FEW = EvaluationSettings(n_bootstrap=100)


def draw_stains(seed: int, shift: float, n_patients: int = 20, n_each: int = 6):
    """Draw two stain features of two sites that differ in the first."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_patients), n_each)
    values = rng.normal(size=(len(codes), 2)) + 0.3 * rng.normal(size=(n_patients, 2))[codes]
    values[:, 0] += shift * (codes % 2)
    return values, np.array(["Lyon", "Paris"])[codes % 2], np.array([f"p{i}" for i in codes])


def test_each_site_is_scored_by_itself(sure, leukemia):
    prediction = sure(["ALL", "AML", "ALL", "CLL"], ["ALL", "AML", "CLL", "CLL"])
    prediction = replace(prediction, sites=np.array(["Lyon", "Lyon", "Paris", "Paris"]))
    found = site_scores(prediction, leukemia, settings=QUICK)
    assert {site: scores[0].value for site, scores in found.items()} == {"Lyon": 1.0, "Paris": 0.5}
    assert found["Paris"][0].population == "site Paris"


def test_the_only_site_has_the_scores_of_all(draw, leukemia):
    prediction = replace(draw(0), sites=np.full(len(draw(0).samples), "Lyon"))
    (alone,) = site_scores(prediction, leukemia, settings=QUICK)["Lyon"]
    (overall,) = score_nodes(prediction, leukemia, settings=QUICK)
    assert replace(alone, population="all") == overall


def test_a_site_without_labels_is_left_out(sure, leukemia):
    prediction = replace(sure(["ALL", "", "AML"], ["ALL"] * 3), sites=np.array(["a", "b", "a"]))
    assert set(site_scores(prediction, leukemia, settings=QUICK)) == {"a"}


def test_a_prediction_without_sites_is_refused(sure, leukemia):
    with pytest.raises(CohortError, match="without sites"):
        site_scores(sure(["ALL"], ["ALL"]), leukemia)


def test_a_shifted_stain_is_measured_in_standard_deviations_and_tells_the_site():
    values, sites, patients = draw_stains(0, shift=3.0)
    shift = stain_shift(values, ("haematoxylin", "eosin"), sites, patients, settings=FEW)
    assert shift.differences[1, 0] == pytest.approx(3.0, abs=0.6)
    assert abs(shift.differences[1, 1]) < 0.6
    assert shift.separability.value > 0.95
    assert shift.separability.low > 0.7


def test_the_same_stain_does_not_tell_the_site():
    values, sites, patients = draw_stains(1, shift=0.0, n_patients=60)
    shift = stain_shift(values, ("haematoxylin", "eosin"), sites, patients, settings=FEW)
    assert shift.separability.low < 0.5
    assert "below 0.5 means no more than 0.5" in shift.separability.note


def test_patients_do_not_tell_on_themselves():
    """Ten images each and a strong effect of the patient: a split of images would tell every site."""
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(24), 10)
    values = 5.0 * rng.normal(size=(24, 20))[codes] + 0.1 * rng.normal(size=(240, 20))
    patients, sites = np.array([f"p{i}" for i in codes]), np.array(["a", "b"])[codes % 2]
    shift = stain_shift(values, tuple(map(str, range(20))), sites, patients, settings=FEW)
    assert shift.separability.value < 0.8


def test_every_patient_weighs_the_same_in_a_mean():
    values = np.array([[0.0], [2.0], [2.0], [2.0], [5.0], [7.0]])
    sites, patients = np.array(["a"] * 4 + ["b"] * 2), np.array(list("pqqqrs"))
    shift = stain_shift(values, ("x",), sites, patients, settings=FEW)
    assert shift.means[:, 0] == pytest.approx([1.0, 6.0])
    assert shift.deviations[:, 0] == pytest.approx([1.0, 1.0])
    assert shift.differences[:, 0] == pytest.approx([-5.0, 5.0])


def test_the_report_is_plain_json():
    shift = stain_shift(*_with_names(draw_stains(0, 1.0)), settings=FEW)
    report = json.loads(json.dumps(shift.to_dict(), allow_nan=False))
    assert [row["site"] for row in report["sites"]] == ["Lyon", "Paris"]
    assert report["sites"][0]["n_patients"] == 10


def test_one_site_cannot_be_compared():
    values, sites, patients = draw_stains(0, 1.0)
    with pytest.raises(CohortError, match="cannot be compared between sites"):
        stain_shift(values, ("x", "y"), np.full(len(sites), "a"), patients)


def _with_names(parts):
    return parts[0], ("x", "y"), *parts[1:]
