"""The sentences at the top say what the scores say, and warn where they must."""

from dataclasses import replace

import pytest

from trilineage.core.records import Comparison, Score
from trilineage.report.findings import (
    chance_notices,
    cohort_notices,
    headline,
    score_notices,
    study_headline,
    transfer_sentences,
)
from trilineage.report.scoreboard import boards


def score(value: float, low: float | None, high: float | None, subject: str = "model", **fields) -> Score:
    defaults = {"metric": "balanced_accuracy", "unit": "patient", "n_samples": 340, "n_patients": 17}
    return Score(value=value, low=low, high=high, subject=subject, **{**defaults, **fields})


MODEL = score(0.93, 0.85, 0.98)
BASELINE = score(0.91, 0.80, 0.97, "baseline: PCA + logistic regression")
NULL = score(0.33, 0.20, 0.45, "null: permuted patients")
DIFFERENCE = Comparison("balanced_accuracy", "model", BASELINE.subject, 0.02, -0.03, 0.06, 0.41, "patient")


def texts(notices) -> str:
    return " ".join(notice.text for notice in notices)


def test_the_headline_names_patients_score_interval_and_best_baseline():
    assert headline([MODEL, BASELINE, NULL], [])[0] == (
        "On 17 held-out patients the model's balanced accuracy is 0.93 (95 % interval 0.85–0.98); "
        "the best baseline, PCA + logistic regression, reaches 0.91 (0.80–0.97)."
    )


def test_the_headline_takes_the_better_of_two_baselines():
    worse = score(0.5, 0.4, 0.6, "baseline: majority")
    assert "PCA + logistic regression, reaches 0.91" in headline([MODEL, worse, BASELINE], [])[0]


def test_the_paired_difference_and_the_null_follow_the_headline():
    assert headline([MODEL, BASELINE, NULL], [DIFFERENCE])[1:] == [
        "The paired difference on the same patients is +0.02 (−0.03 to 0.06), p = 0.410.",
        "With labels exchanged between patients the same procedure reaches 0.33 (0.20–0.45).",
    ]


def test_scores_per_patient_come_before_scores_per_sample():
    per_sample = replace(MODEL, value=0.7, low=0.6, high=0.8, unit="sample")
    assert "is 0.93" in headline([per_sample, MODEL], [])[0]


def test_a_score_per_sample_says_so():
    per_sample = replace(MODEL, unit="sample")
    assert "balanced accuracy, counted by sample, is 0.93" in headline([per_sample], [])[0]


def test_without_an_interval_the_headline_says_that_there_is_none():
    assert "(no interval could be computed)" in headline([score(0.9, None, None)], [])[0]


def test_without_a_model_there_is_no_headline():
    assert headline([BASELINE], []) == []


def test_a_model_that_reaches_its_null_is_not_told_apart_from_chance():
    notices = score_notices([score(0.5, 0.4, 0.6), BASELINE, NULL], [])
    assert notices[0].level == "danger"
    assert "Not told apart from chance" in notices[0].text


@pytest.mark.parametrize(("null_value", "n_notices"), [(0.84, 0), (0.86, 1)])
def test_a_null_without_interval_counts_by_its_value(null_value, n_notices):
    (board,) = boards([MODEL, score(null_value, None, None, "null: permuted patients")])
    assert len(chance_notices(board)) == n_notices


def test_a_model_above_its_null_gives_no_such_warning():
    assert "chance" not in texts(score_notices([MODEL, BASELINE, NULL], []))


def test_a_leaky_null_is_not_what_a_model_is_held_against():
    (board,) = boards([MODEL, NULL, score(0.9, 0.8, 1.0, "null: permuted patients, on training patients")])
    assert chance_notices(board) == []


def test_a_baseline_that_does_as_well_is_named():
    assert "A simpler model does as well per patient: PCA" in texts(
        score_notices([score(0.9, 0.8, 0.95), BASELINE], [])
    )


def test_a_difference_that_includes_zero_is_no_clear_advantage():
    notices = score_notices([MODEL, BASELINE], [DIFFERENCE])
    assert "No clear advantage over PCA + logistic regression per patient" in texts(notices)


def test_a_difference_that_excludes_zero_is_an_advantage():
    clear = replace(DIFFERENCE, low=0.005)
    assert "advantage" not in texts(score_notices([MODEL, BASELINE], [clear]))


def test_a_missing_baseline_is_a_reason_to_doubt():
    assert "No baseline was scored" in texts(score_notices([MODEL], []))


def test_a_wide_interval_asks_for_more_patients():
    assert "0.40 wide: 17 patients are too few" in texts(score_notices([score(0.7, 0.5, 0.9), BASELINE], []))


def test_undefined_scores_per_patient_are_explained():
    per_sample = [replace(one, unit="sample") for one in (MODEL, BASELINE)]
    assert "no scores per patient" in texts(score_notices(per_sample, []))


def test_one_sample_per_patient_needs_no_scores_per_patient():
    alone = [replace(one, unit="sample", n_samples=17) for one in (MODEL, BASELINE)]
    assert "no scores per patient" not in texts(score_notices(alone, []))
    assert "counted by sample" not in headline(alone, [])[0]


def test_poor_calibration_is_a_reason_to_doubt():
    poor = score(0.2, 0.1, 0.3, metric="ece", unit="sample")
    assert "off by 0.20 on average per sample" in texts(score_notices([MODEL, BASELINE, poor], []))


def test_a_note_is_shown_once_for_all_its_metrics():
    noted = [
        replace(NULL, note="mean of 20 trainings", metric=name)
        for name in ("mcc", "auroc", "brier", "ece", "auprc")
    ]
    found = [
        notice.text for notice in score_notices([MODEL, BASELINE, *noted], []) if "trainings" in notice.text
    ]
    assert found == ["Null: permuted patients: mean of 20 trainings."]


def test_classes_with_fewer_than_ten_patients_are_named():
    (notice,) = cohort_notices([("healthy", 30), ("AML", 9), ("CLL", 10)])
    assert "Fewer than 10 patients in AML (9):" in notice.text


def test_classes_with_enough_patients_need_no_warning():
    assert cohort_notices([("healthy", 30), ("CLL", 10)]) == []


def test_a_study_names_its_best_variant_and_the_difference_from_the_first():
    variants = [score(0.80, 0.7, 0.9, "n_latent=128"), score(0.85, 0.7, 0.95, "n_latent=256")]
    row = Comparison("balanced_accuracy", "n_latent=256", "n_latent=128", 0.05, -0.01, 0.1, None, "patient")
    assert study_headline(variants, [row]) == [
        "Of 2 variants, n_latent=256 scores highest on 17 held-out patients: balanced accuracy 0.85 (0.70–0.95).",
        "The paired difference from n_latent=128 is +0.05 (−0.01 to 0.10): no clear difference.",
    ]


def test_transfer_is_told_for_each_population_once():
    found = [
        replace(MODEL, population=name, unit=unit)
        for name in ("Monocyte", "Lymphocyte")
        for unit in ("sample", "patient")
    ]
    assert transfer_sentences(found) == [
        f"Applied to {name} without retraining it reaches balanced accuracy 0.93 (0.85–0.98) per patient."
        for name in ("Monocyte", "Lymphocyte")
    ]


def test_all_models_of_a_board_that_reach_its_null_stand_in_one_warning():
    weak = [
        score(0.4, 0.3, 0.5, name, population="Monocyte")
        for name in ("zero-shot", "trained on this population")
    ]
    (board,) = boards([*weak, replace(NULL, population="Monocyte")])
    (notice,) = chance_notices(board, "caution")
    assert notice.level == "caution"
    assert (
        "population Monocyte: per patient, zero-shot (0.30–0.50) and trained on this population"
        in notice.text
    )


def test_a_baseline_that_wins_per_sample_only_is_still_named():
    per_sample = [
        replace(MODEL, value=0.5, low=0.45, high=0.55, unit="sample"),
        replace(BASELINE, unit="sample"),
    ]
    weak = replace(BASELINE, value=0.5, low=0.4, high=0.6)
    assert "A simpler model does as well per sample" in texts(score_notices([MODEL, weak, *per_sample], []))


def test_the_population_stands_in_brackets():
    progenitors = replace(MODEL, population="progenitors")
    assert "On 17 held-out patients (progenitors) the model's" in headline([progenitors], [])[0]
