"""A comparison of variants: short names, two figures, paired differences."""

import pytest

from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Table
from trilineage.report.sections.image_study import image_study_headline, image_study_section, short_names


@pytest.fixture(scope="module")
def compared(image_runs, tmp_path_factory):
    return image_runs.compared_run(tmp_path_factory.mktemp("study") / "compared")


def test_variants_are_called_by_the_values_in_which_they_differ(compared):
    assert short_names(compared) == {
        "hierarchy.variant=flat": "flat",
        "hierarchy.variant=multilabel": "multilabel",
    }


def test_values_that_do_not_tell_variants_apart_are_not_their_names(bare_image_run):
    columns = {"variant": ["a", "b"], "run": ["x", "y"], "seed": ["0", "0"]}
    bare_image_run.write_table("variants.csv", columns)
    assert short_names(bare_image_run) == {}


def test_accuracy_and_distance_are_both_drawn(compared):
    assert [figure.name for figure in image_study_section(compared).figures()] == ["study", "study-distance"]


def test_the_open_differences_are_of_accuracy_and_distance(compared):
    tables = [block for block in image_study_section(compared).blocks if isinstance(block, Table)]
    assert {row[2] for row in tables[-1].rows} == {"Leaf balanced accuracy", "Hierarchical distance"}
    assert tables[-1].rows[0][0] == "multilabel − flat"


def test_the_best_is_compared_with_the_next_best_whichever_was_first(bare_image_run):
    sizes = {"n_samples": 40, "n_patients": 10}
    values = {"a": 0.7, "b": 0.3, "c": 0.6}
    bare_image_run.add_scores(
        [Score("leaf_balanced_accuracy", v, v - 0.1, v + 0.1, name, **sizes) for name, v in values.items()]
    )
    row = Comparison("leaf_balanced_accuracy", "c", "a", -0.1, -0.2, -0.03)
    bare_image_run.add_comparisons([row])
    assert image_study_headline(bare_image_run)[1] == (
        "The paired difference from the next best, c, is +0.10 (0.03–0.20): a clear difference."
    )


def test_unknown_patients_are_named_in_the_summary(bare_image_run):
    sizes = {"n_samples": 40, "n_patients": 40}
    bare_image_run.add_scores(
        [
            Score("leaf_balanced_accuracy", v, v - 0.1, v + 0.1, name, **sizes)
            for name, v in (("a", 0.5), ("b", 0.7))
        ]
    )
    assert image_study_headline(bare_image_run) == [
        "Of 2 variants, b scores highest on 40 held-out images: leaf balanced accuracy 0.70 (0.60–0.80).",
        "The patients are not known: intervals are over images and too narrow.",
    ]
