"""What a page about images says first: the unit, the cost, the sites, and every reason to doubt it."""

import pytest

from trilineage.core.records import Comparison, Score
from trilineage.report.image_findings import (
    calibration_error,
    calibration_notice,
    comparisons_of,
    image_headline,
    image_notices,
    lead_notices,
    site_name,
    site_sentence,
)
from trilineage.report.nouns import Nouns
from trilineage.report.scoreboard import boards

KNOWN = Nouns("image", "patient")


def site(name: str, value: float, low: float, high: float) -> Score:
    return Score(
        "leaf_balanced_accuracy", value, low, high, population=f"site {name}", n_samples=40, n_patients=10
    )


def bins(*rows: tuple[int, float, float]) -> list[dict]:
    return [{"n_samples": n, "mean_probability": said, "share": was} for n, said, was in rows]


def test_the_headline_counts_patients_and_stands_beside_the_majority(image_run):
    first = image_headline(image_run)[0]
    assert first.startswith("On 42 held-out patients the model's leaf balanced accuracy is ")
    assert "the best baseline, majority, reaches 0.14" in first


def test_the_headline_says_that_patients_are_unknown(patientless_run):
    assert image_headline(patientless_run)[0].startswith("On 168 held-out images of unknown patients ")


def test_the_summary_names_what_mistakes_cost_and_where_training_was(image_run):
    summary = " ".join(image_headline(image_run))
    assert "levels of the tree from the truth on average" in summary
    assert "their mean clinical cost is " in summary
    assert (
        "Trained at site A only. From site to site the leaf balanced accuracy per image goes from" in summary
    )


def test_a_tree_without_costs_is_not_said_to_have_any(costless_run):
    assert "clinical cost" not in " ".join(image_headline(costless_run))


def test_a_run_without_scores_has_no_headline(bare_image_run):
    assert image_headline(bare_image_run) == []
    assert [notice.level for notice in image_notices(bare_image_run)] == ["danger"]


def test_a_drop_between_sites_beyond_their_intervals_is_a_warning(image_run):
    (notice,) = (notice for notice in image_notices(image_run) if "drops by" in notice.text)
    assert notice.level == "caution"
    assert "at site A to" in notice.text


def test_sites_that_overlap_are_named_without_a_warning(bare_image_run):
    bare_image_run.add_scores([Score("leaf_balanced_accuracy", 0.7, 0.6, 0.8, n_samples=80, n_patients=20)])
    bare_image_run.add_scores([site("A", 0.8, 0.6, 0.9), site("B", 0.7, 0.5, 0.85)])
    assert not any("drops" in notice.text for notice in image_notices(bare_image_run))
    assert "0.80 (0.60–0.90) at site A to 0.70" in site_sentence(bare_image_run.scores(), KNOWN)[0]


def test_one_site_has_nothing_to_be_compared_with():
    assert site_sentence([site("A", 0.8, 0.7, 0.9)], KNOWN) == []


def test_the_calibration_error_weighs_bins_by_their_images():
    assert calibration_error(bins((3, 0.9, 0.5), (1, 0.2, 0.2))) == pytest.approx(0.3)
    assert calibration_error([]) is None


@pytest.mark.parametrize(("said", "was", "words"), [(0.9, 0.6, "too sure"), (0.4, 0.7, "not sure enough")])
def test_probabilities_that_are_off_are_warned_of_with_their_direction(said, was, words):
    (notice,) = calibration_notice({"decision": bins((10, said, was))})
    assert words in notice.text
    assert "off by 0.30" in notice.text


def test_probabilities_that_hold_are_not_warned_of():
    assert calibration_notice({"decision": bins((10, 0.8, 0.75))}) == []
    assert calibration_notice({}) == []


def lead(low: float | None, p_value: float) -> list[str]:
    sizes = {"n_samples": 40, "n_patients": 10}
    note = "" if low is not None else "no interval: every resample of the patients gives the same value"
    scores = [
        Score("leaf_balanced_accuracy", 0.4, low, None if low is None else 0.5, note=note, **sizes),
        Score("leaf_balanced_accuracy", 0.1, 0.1, 0.1, "baseline: majority", **sizes),
    ]
    row = Comparison("leaf_balanced_accuracy", "model", "baseline: majority", 0.3, 0.2, 0.4, p_value)
    (board,) = boards(scores, KNOWN)
    return [notice.text for notice in lead_notices(board, [row])]


def test_a_leading_score_without_interval_is_said_to_have_none():
    assert lead(None, 0.01) == [
        "The score per image has no interval: every resample of the patients gives the same value."
    ]


def test_an_advantage_that_exchanging_does_not_show_is_said_not_to_be_shown():
    assert lead(0.3, 0.4) == [
        "The advantage per image is not shown: exchanging it with majority patient by patient gives p = 0.400."
    ]
    assert lead(0.3, 0.01) == []


def test_an_interval_of_no_width_is_no_interval(bare_image_run):
    rows = [
        Comparison("kappa", "a", "b", 0.1, 0.1, 0.1 + 1e-17),
        Comparison("leaf_mcc", "a", "b", 0.1, 0.0, 0.2),
    ]
    bare_image_run.add_comparisons(rows)
    assert [(row.low, row.high) for row in comparisons_of(bare_image_run)] == [(None, None), (0.0, 0.2)]


def test_a_site_is_called_a_site_once():
    assert [site_name(name) for name in ("A", "site-1", "Site 3")] == ["site A", "site-1", "Site 3"]


def test_cells_of_several_kinds_in_a_patient_are_a_remark_not_a_doubt(bare_image_run):
    bare_image_run.write_json("cohort.json", {"has_patients": True})
    bare_image_run.add_scores([Score("leaf_accuracy", 0.7, 0.6, 0.8, n_samples=80, n_patients=20)])
    (notice,) = (n for n in image_notices(bare_image_run) if "different labels" in n.text)
    assert notice.level == "note"
    assert "images of one patient carry" in notice.text
