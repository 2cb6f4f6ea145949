"""Filters keep what was asked for and say what was left out; incomplete columns are refused or named."""

import numpy as np
import pytest

from trilineage.core.errors import ColumnError, ConfigError
from trilineage.data.images.listing import Listing, completed, filtered
from trilineage.data.images.settings import ImageDataSettings


@pytest.fixture
def listing():
    return Listing(
        names=np.array([f"{n}.png" for n in range(6)]),
        labels=np.array(["a", "a", "a", "b", "b", ""]),
        patients=np.array(["P0", "P0", "P1", "P2", "P2", "P3"]),
        sites=np.array(["x", "x", "y", "y", "", "z"]),
        columns={"group": np.array(["A", "A", "A", "B", "B", "C"])},
    )


def test_conditions_keep_rows_and_say_what_was_left_out(listing):
    kept = filtered(listing, ImageDataSettings(keep=("group=A|B", "site=y")))
    assert kept.names.tolist() == ["2.png", "3.png"]
    assert kept.notes == ("1 images left out: not group=A|B", "3 images left out: not site=y")


def test_classes_keep_their_images_only(listing):
    assert filtered(listing, ImageDataSettings(classes=("b",))).names.tolist() == ["3.png", "4.png"]


def test_a_limit_takes_the_same_images_whatever_else_is_there(listing):
    few = filtered(listing, ImageDataSettings(limit_per_class=1))
    without = filtered(listing, ImageDataSettings(limit_per_class=1, classes=("a",)))
    assert sorted(few.labels.tolist()) == ["", "a", "b"]
    assert without.names[0] in few.names


def test_a_condition_without_a_value_is_refused(listing):
    with pytest.raises(ConfigError, match="not of the form column=value"):
        filtered(listing, ImageDataSettings(keep=("group",)))


def test_a_condition_on_no_column_is_answered_with_the_columns(listing):
    with pytest.raises(ColumnError, match="no column 'scanner'.*group, label, patient, site"):
        filtered(listing, ImageDataSettings(keep=("scanner=1",)))


def test_a_condition_that_nothing_meets_is_answered_with_the_values(listing):
    with pytest.raises(ColumnError, match="no image has group=Z.*A, B, C"):
        filtered(listing, ImageDataSettings(keep=("group=Z",)))


def test_a_class_that_does_not_occur_is_answered_with_those_that_do(listing):
    with pytest.raises(ConfigError, match="seen: c; allowed: a, b"):
        filtered(listing, ImageDataSettings(classes=("a", "c")))


def test_a_missing_site_is_unknown_and_counted(listing):
    whole = completed(listing)
    assert whole.sites[4] == "unknown"
    assert "1 images name no site" in whole.notes[-1]


def test_some_patients_without_others_are_refused(listing):
    gap = Listing(names=listing.names, labels=listing.labels, patients=np.array(["P0", "", "", "", "", "P1"]))
    with pytest.raises(ColumnError, match="4 of 6 images"):
        completed(gap)
