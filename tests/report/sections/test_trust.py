"""Trust in single predictions: what sets promise and keep, what is far from training, what the Run checked."""

import pytest

from trilineage.core.records import Score
from trilineage.report.blocks import Notice, Table, Text
from trilineage.report.nouns import Nouns
from trilineage.report.sections.trust import (
    coverage_notice,
    novelty_blocks,
    self_test_blocks,
    set_blocks,
    trust_section,
)

IMAGES = Nouns("image", "patient")


def test_sets_are_shown_beside_their_promise_with_the_warning_of_shift(image_run):
    text, table, *notices = set_blocks(image_run, IMAGES)
    assert "holds the truth for 90 % of new patients" in text.text
    assert table.rows[0][1] == "90 %"
    assert notices[-1].text.startswith(
        "Shift: the coverage holds for new patients like those of the calibration"
    )


@pytest.mark.parametrize(("high", "n_warnings"), [(0.85, 1), (0.93, 0), (None, 0)])
def test_sets_that_keep_less_than_they_promise_are_a_warning(high, n_warnings):
    scores = [Score("set_coverage", 0.8, 0.7, high)]
    assert len(coverage_notice(scores, 0.9)) == n_warnings


def test_sets_that_were_not_fitted_say_why(bare_image_run):
    bare_image_run.write_json(
        "conformal.json", {"conformal": None, "note": "fewer than 10 validation patients"}
    )
    (text,) = set_blocks(bare_image_run, IMAGES)
    assert text == Text("No sets: Fewer than 10 validation patients.")


def test_a_site_far_from_training_is_a_warning(image_run):
    table, notice = novelty_blocks(image_run)
    assert table.rows == (("All test images", "84", "60", "2 %"), ("Site B", "84", "60", "31 %"))
    assert notice.text.startswith("31 % of the images of site B are unlike anything in training")


def test_the_self_test_lists_each_fit(bare_image_run):
    check = {"check": "children sum to it", "largest_error": 2e-16, "passed": True}
    for name in ("fold0", "final"):
        bare_image_run.write_json(f"self_test/{name}.json", {"passed": True, "checks": [check]})
    (table,) = self_test_blocks(bare_image_run)
    assert table.columns == ("Check", "final", "fold0")
    assert table.rows == (("Children sum to it", ("passed", "2e-16"), ("passed", "2e-16")),)


def test_a_failed_self_test_stops_the_reader(bare_image_run):
    check = {"check": "levels do not interfere", "max_on_other_heads": 0.3, "passed": False}
    bare_image_run.write_json("self_test/fold0.json", {"passed": False, "checks": [check]})
    table, notice = self_test_blocks(bare_image_run)
    assert isinstance(table, Table)
    assert table.rows[0][1] == ("FAILED", "0.3")
    assert isinstance(notice, Notice)
    assert notice.level == "danger"


def test_a_run_without_any_of_it_has_no_section(bare_image_run):
    assert trust_section(bare_image_run) is None
