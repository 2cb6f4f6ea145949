"""Scores are grouped, ordered and laid out the way they are read."""

import math

from trilineage.core.records import Comparison, Score
from trilineage.report.scoreboard import (
    boards,
    comparison_table,
    lead_metric,
    role_of,
    score_table,
    subject_name,
)


def score(subject: str, value: float = 0.5, metric: str = "accuracy", **fields) -> Score:
    return Score(
        metric, value, value - 0.1, value + 0.1, subject=subject, n_samples=9, n_patients=3, **fields
    )


def test_models_come_before_baselines_before_nulls_before_what_leaks():
    names = ["null: permuted patients", "model on training patients (leaky)", "baseline: majority", "model"]
    (board,) = boards([score(name) for name in names])
    assert board.subjects == ("model", "baseline: majority", "null: permuted patients", names[1])


def test_patients_come_before_samples_in_each_population():
    found = boards([score("model", population=p, unit=u) for p in ("B", "A") for u in ("sample", "patient")])
    assert [(b.population, b.unit) for b in found] == [
        ("B", "patient"), ("B", "sample"), ("A", "patient"), ("A", "sample"),
    ]  # fmt: skip


def test_metrics_stand_in_their_usual_order_and_unknown_ones_last():
    (board,) = boards([score("model", metric=name) for name in ("recall", "ece", "accuracy", "mcc")])
    assert board.metrics == ("accuracy", "mcc", "ece", "recall")


def test_the_best_of_a_metric_where_lower_is_better_is_the_lowest():
    (board,) = boards([score("baseline: a", 0.3, "ece"), score("baseline: b", 0.1, "ece")])
    assert board.best("baseline", "ece").subject == "baseline: b"


def test_an_undefined_score_is_never_the_best():
    (board,) = boards([score("baseline: a", math.nan), score("baseline: b", 0.1)])
    assert board.best("baseline", "accuracy").subject == "baseline: b"


def test_the_model_called_model_leads_whatever_else_was_trained():
    (board,) = boards([score("model", 0.5), score("trained on this population", 0.9)])
    assert board.best("model", "accuracy").subject == "model"


def test_the_leading_metric_is_balanced_accuracy_where_there_is_one():
    assert (
        lead_metric([score("model", metric="mcc"), score("model", metric="balanced_accuracy")])
        == "balanced_accuracy"
    )


def test_roles_follow_from_names():
    assert [role_of(name) for name in ("model", "baseline: majority", "null: permuted patients", "n_latent=8")] == [
        "model", "baseline", "null", "model",
    ]  # fmt: skip


def test_a_subject_loses_its_role_but_not_its_colons():
    assert subject_name("baseline: a: b") == "a: b"
    assert subject_name("hybrid: refined") == "hybrid: refined"


def test_a_cell_holds_the_score_and_its_interval_and_a_dash_where_there_is_none():
    (board,) = boards([score("model"), score("model", 0.2, "mcc"), score("baseline: majority")])
    table = score_table(board)
    assert table.columns == ("Subject", "Accuracy", "MCC")
    assert table.rows == (
        ("model", ("0.500", "0.400–0.600"), ("0.200", "0.100–0.300")),
        ("baseline: majority", ("0.500", "0.400–0.600"), "–"),
    )
    assert table.strong_rows == {0}


def test_a_comparison_has_one_row_with_sign_interval_and_p():
    row = Comparison(
        "accuracy", "model", "baseline: majority", 0.25, 0.1, 0.4, 0.0004, "patient", n_patients=17
    )
    assert comparison_table([row]).rows == (
        ("model − baseline: majority", "patient", "Accuracy", ("+0.250", "0.100–0.400"), "< 0.001", "17"),
    )
