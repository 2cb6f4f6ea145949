"""Claims hold or fail by what is found, against truths made by hand."""

import numpy as np
import pandas as pd
import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Comparison, Prediction, Score
from trilineage.data.simulate.settings import SimulationSettings
from trilineage.data.simulate.truth import build_truth
from trilineage.data.simulate.world import asked_donors, draw_donor, draw_world
from trilineage.demo.checks import gain_claim, gain_of, maps_claim, score_claim, with_truth
from trilineage.demo.claims import Claim, read_claims, write_claims
from trilineage.demo.truths import (
    genes_claim,
    parts_claim,
    sets_claim,
    signs_claim,
    unknown_claim,
    written_claim,
)


class Nothing(Settings):
    """Stands for the options of a recipe."""


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", kind="any", config=Nothing(), seed=0, command="", data={})


@pytest.fixture(scope="module")
def truth():
    settings = SimulationSettings(n_classes=3, n_donors_per_class=1, n_genes=200, n_cells_per_donor=1)
    world = draw_world(settings)
    donors = [draw_donor(world, settings, asked) for asked in asked_donors(settings)]
    return build_truth(world, donors, settings)


def prediction(right: int, n_patients: int = 12) -> Prediction:
    """Return patients of two diagnoses, of whom the first are decided rightly; labels say nothing."""
    truth = np.arange(n_patients) % 2
    called = np.where(np.arange(n_patients) < right, truth, 1 - truth)
    p = np.where(np.eye(2)[called] == 1, 0.9, 0.1)
    names = np.array([f"P{n}" for n in range(n_patients)])
    return Prediction(names, names, ("a", "b"), p, np.zeros(n_patients, dtype=np.int64))


DIAGNOSES = {f"P{n}": "ab"[n % 2] for n in range(12)}


@pytest.mark.parametrize(("right", "holds"), [(12, True), (6, False)])
def test_a_score_is_that_against_the_truth_not_against_the_labels_of_the_run(run, right, holds):
    run.write_predictions(prediction(right))
    claim = score_claim(run, "rna", DIAGNOSES)
    assert claim.holds is holds
    assert f"{right / 12:.2f}" in claim.found


@pytest.mark.parametrize(("has_patients", "noun"), [(True, "patients"), (False, "images")])
def test_images_without_patients_are_called_images(tmp_path, has_patients, noun):
    run = Run.create(tmp_path / "run", kind="images", config=Nothing(), seed=0, command="", data={})
    run.write_json("cohort.json", {"has_patients": has_patients})
    run.write_predictions(prediction(12))
    assert f"on 12 held-out {noun}" in score_claim(run, "images", DIAGNOSES).text


def test_patients_whose_diagnosis_is_no_class_are_unknown():
    found = with_truth(prediction(12, 3), {"P0": "b", "P1": "c"})
    assert found.labels.tolist() == [1, -1, -1]


@pytest.mark.parametrize(("low", "holds"), [(0.4, True), (0.2, False)])
def test_maps_must_beat_maps_of_noise(run, low, holds):
    scores = [
        Score("energy_inside", 0.5, low, 0.6, subject="gradcam"),
        Score("energy_inside", 0.3, 0.2, 0.4, subject="random map"),
    ]
    run.add_scores(scores, "explain/scores.json")
    assert maps_claim(run).holds is holds


def test_maps_that_were_held_against_nothing_are_not_checked(run):
    assert maps_claim(run).holds is None


def gain(low: float, *, n_patients: int = 10, population: str = "all", second: str = "rna") -> Comparison:
    return Comparison(
        "balanced_accuracy", "fused", second, 0.1, low, 0.2, population=population, n_patients=n_patients
    )


@pytest.mark.parametrize(("low", "holds"), [(0.01, True), (-0.01, False)])
def test_a_gain_holds_if_its_interval_lies_above_nothing(run, low, holds):
    run.add_comparisons([gain(low)])
    claim = gain_claim(run, "rna")
    assert claim.holds is holds
    assert "+0.10" in claim.found


def test_the_gain_is_over_the_best_lineage_on_as_many_patients_as_both_know():
    found = [
        gain(0.1, n_patients=5),
        gain(0.2, n_patients=9, population="with rna"),
        gain(0.3, second="images"),
    ]
    assert gain_of(found, "rna").low == 0.2
    assert gain_of(found, "concepts") is None


def test_what_is_lost_against_another_lineage_stands_beside_the_gain(run):
    run.add_comparisons(
        [gain(0.05), gain(-0.2, second="images"), gain(-0.3, second="images", n_patients=4, population="few")]
    )
    claim = gain_claim(run, "rna")
    assert claim.found == "+0.10 (+0.05 to +0.20) balanced accuracy over expression"
    assert claim.note.endswith("validation patients; +0.10 (-0.20 to +0.20) over cell images")


def test_a_gain_over_nobody_is_not_checked(run):
    run.add_comparisons([gain(0.1)])
    assert gain_claim(run, "concepts").holds is None


@pytest.mark.parametrize(("moved", "holds"), [("", True), ("P1", False)])
def test_a_patient_in_another_part_than_dealt_is_found(run, moved, holds):
    patients = pd.DataFrame({"patient": ["P0", "P1", "P2"], "part": ["train", "valid", "test"]})
    parts = ["train", "train" if moved else "valid", "unused"]
    run.write_table("split.csv", {"patient": ["P0", "P1", "P2"], "part": parts})
    assert parts_claim({"rna": run}, patients).holds is holds


@pytest.mark.parametrize(("right", "holds"), [(20, True), (4, True), (3, False)])
def test_genes_are_counted_among_those_that_the_simulator_changed(truth, right, holds):
    strongest = {}
    for name in ("AML", "ALL"):
        inside = list(truth.program(name))
        outside = [gene for gene in truth.genes if gene not in inside]
        k = min(right, len(inside))
        strongest[name] = [*inside[:k], *outside][:20]
    n_program = len(truth.program("AML"))
    claim = genes_claim({**strongest, "healthy": list(truth.genes)}, truth)
    assert n_program == 10  # of 200: chance is one gene of the twenty
    assert claim.holds is holds
    assert "healthy" not in claim.note


def sign(name: str, value: float | None, low: float | None) -> dict[str, object]:
    return {"target": f"has_{name}=True", "subject": "autoencoder", "value": value, "low": low}


PLANTED = ("has_cup_nucleus", "has_rod_bundle", "has_single_rod")


@pytest.mark.parametrize(("area", "holds"), [(0.75, True), (0.65, False)])
def test_signs_are_found_by_their_area_and_those_beyond_doubt_are_named(area, holds):
    rows = [sign("cup_nucleus", 0.9, 0.8), sign("rod_bundle", area, 0.2), sign("single_rod", 0.6, 0.55)]
    claim = signs_claim(rows, PLANTED)
    assert claim.holds is holds
    assert claim.found.startswith("2 of 3" if holds else "1 of 3")
    assert "interval above one half: cup nucleus" in claim.note


def test_signs_that_too_few_cells_show_are_named_and_not_counted():
    claim = signs_claim([sign("cup_nucleus", 0.9, 0.8)], PLANTED)
    assert claim.holds
    assert "too few cells to test: rod bundle, single rod" in claim.note
    assert signs_claim([], PLANTED).holds is None


def test_other_subjects_and_the_absence_of_a_sign_do_not_count():
    row = sign("cup_nucleus", 0.9, 0.8)
    others = [{**row, "subject": "random"}, {**row, "target": "has_cup_nucleus=False"}]
    assert signs_claim(others, PLANTED).holds is None


def test_what_a_random_dictionary_finds_stands_beside_what_concepts_find():
    rows = [sign("cup_nucleus", 0.9, 0.8), sign("rod_bundle", 0.6, 0.4)]
    rows += [{**row, "subject": "random dictionary", "value": 0.75} for row in rows]
    assert signs_claim(rows, PLANTED).truth.endswith("; a random dictionary finds 2 of 2, mean area 0.75")
    written = written_claim(rows)
    assert written.found == "1 of 2 found, mean area 0.75"
    assert written.holds is False
    assert written.note == "interval above one half: 1; not found: has rod bundle: True 0.60"
    assert written_claim(rows[:1]).holds
    assert written_claim([]).holds is None


@pytest.mark.parametrize(("n_held", "holds"), [(25, True), (22, True), (19, False)])
def test_sets_fail_only_when_so_few_hits_would_be_a_strange_accident(n_held, holds):
    assert sets_claim([True] * n_held + [False] * (28 - n_held), 0.9).holds is holds


def test_sets_that_name_everything_are_said_to():
    assert "sets name 7.0 diagnoses on average" in sets_claim([True, True], 0.9, [7, 7]).note


def test_every_unknown_patient_must_look_unlike_training_to_somebody():
    diagnoses = {"P1": "MDS", "P2": "MPN"}
    seen = {"rna": {"P1": 95.0, "P2": 10.0}, "images": {"P1": 20.0, "P2": 91.0}}
    assert unknown_claim(seen, diagnoses, {}).holds
    assert unknown_claim({"rna": seen["rna"]}, diagnoses, {}).holds is False
    assert unknown_claim({}, diagnoses, {}).holds is None


def test_known_patients_who_are_called_unlike_training_are_told_beside():
    known = {"rna": {"T1": 95.0, "T2": 10.0}, "images": {"T1": 5.0, "T3": 100.0, "T4": 0.0}}
    claim = unknown_claim({"rna": {"P1": 95.0}, "images": {"P1": 0.0}}, {"P1": "MDS"}, known)
    assert claim.found.endswith("so are 2 of 4 held-out patients whose diagnosis was learned")
    assert "about 10% of patients like those of training" in claim.note


def test_claims_come_back_as_they_were_written(tmp_path):
    claims = (Claim("a", "text", "found", "truth", None, ("file",), "note"), Claim("b", "t", "f", "t", True))
    write_claims(tmp_path, claims)
    assert read_claims(tmp_path) == claims
