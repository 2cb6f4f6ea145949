"""Numbers are written the same way everywhere."""

import math

import pytest

from trilineage.core.records import Comparison, Score
from trilineage.report.numbers import (
    compared,
    counted,
    interval,
    listed,
    metric_heading,
    moment,
    number,
    percent,
    probability,
    scored,
    signed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9345, "0.934"), (-0.5, "−0.500"), (-0.0001, "0.000"), (math.nan, "–"), (None, "–"), (math.inf, "–")],
)
def test_a_number_has_three_decimals_a_true_minus_and_a_dash_where_there_is_none(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "+0.100"), (-0.1, "−0.100"), (0.0, "0.000"), (math.nan, "–")]
)
def test_a_difference_carries_its_sign(value, text):
    assert signed(value) == text


def test_an_interval_with_a_negative_end_is_written_with_to():
    assert interval(-0.1, 0.1, 1) == "−0.1 to 0.1"


@pytest.mark.parametrize("ends", [(None, 1.0), (0.0, None), (math.nan, 1.0)])
def test_an_interval_without_an_end_is_left_out(ends):
    assert interval(*ends) == ""


def test_a_score_without_interval_stands_alone():
    assert scored(Score("accuracy", 0.5, None, None)) == "0.500"
    assert scored(None) == "–"


def test_a_difference_is_followed_by_its_interval():
    assert compared(Comparison("accuracy", "a", "b", 0.02, -0.03, 0.06), 2) == "+0.02 (−0.03 to 0.06)"


@pytest.mark.parametrize(("p", "text"), [(0.0002, "< 0.001"), (0.001, "0.001"), (0.5, "0.500"), (None, "–")])
def test_small_p_values_are_not_written_as_zero(p, text):
    assert probability(p) == text


def test_counts_agree_with_their_noun():
    assert [counted(1, "sample"), counted(0, "sample"), counted(1200, "patient")] == [
        "1 sample", "0 samples", "1,200 patients",
    ]  # fmt: skip


def test_a_long_list_is_cut_and_says_so():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed([]) == "none"


def test_headings_mark_where_lower_is_better():
    assert [metric_heading(name) for name in ("ece", "auroc", "recall_at_10")] == [
        "Calibration error\N{NO-BREAK SPACE}↓", "AUROC", "Recall at 10",
    ]  # fmt: skip


def test_a_level_is_written_as_per_cent():
    assert [percent(0.95), percent(0.999)] == ["95 %", "99.9 %"]


def test_a_time_in_another_zone_is_written_in_utc():
    assert moment("2026-03-01T08:05:59+02:00") == "2026-03-01 06:05 UTC"
    assert moment("yesterday") == "yesterday"
    assert moment(None) == "unknown"
