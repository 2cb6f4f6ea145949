"""Maps: bounded pictures, scores beside noise and chance, and warnings where a map means nothing."""

import math

import pytest

from trilineage.report.blocks import Fold, Gallery, Notice, Table
from trilineage.report.nouns import Nouns
from trilineage.report.sections.saliency import (
    curve_blocks,
    panel_blocks,
    randomisation_blocks,
    region_blocks,
    region_notices,
    saliency_section,
)

IMAGES = Nouns("image", "patient")


def test_the_first_sheet_is_open_and_the_others_folded(image_run):
    gallery, fold = panel_blocks(image_run)
    assert isinstance(gallery, Gallery)
    assert gallery.is_wide
    assert isinstance(fold, Fold)
    assert fold.title == "1 more sheet of maps"


def test_scores_stand_beside_noise_and_chance(image_runs):
    (table,) = region_blocks(image_runs.map_scores(), IMAGES)
    assert table.columns == ("", "Grad-CAM", "Random map", "By chance")
    assert table.rows[0][1:] == (("0.900", "0.850–0.950"), ("0.250", "0.200–0.300"), "0.250")
    assert "16 images of 8 patients" in table.caption


def test_maps_on_the_background_are_a_warning(image_runs):
    assert region_notices(image_runs.map_scores(inside=0.8)) == []
    (notice,) = region_notices(image_runs.map_scores(inside=0.27))
    assert "no more than by chance" in notice.text


@pytest.mark.parametrize(
    ("deletion", "insertion", "words"),
    [
        (0.5, 0.7, "By deletion the"),
        (0.2, 0.3, "By insertion the"),
        (0.5, 0.3, "By deletion and insertion the"),
    ],
)
def test_maps_no_better_than_noise_are_a_warning(image_runs, deletion, insertion, words):
    *_, notice = curve_blocks(image_runs.map_scores(deletion=deletion, insertion=insertion), IMAGES)
    assert notice.text.startswith(words)


def test_maps_better_than_noise_are_no_warning(image_runs):
    (table,) = curve_blocks(image_runs.map_scores(), IMAGES)
    assert isinstance(table, Table)


def test_empty_maps_are_said_to_be_empty(image_runs):
    _, notice = curve_blocks(image_runs.map_scores(deletion=math.nan), IMAGES)
    assert notice.text.startswith("The maps are empty")


def randomised(run, *correlations):
    found = {"parts": [f"part {n}" for n in range(len(correlations))], "correlations": list(correlations)}
    run.write_json("explain/randomisation.json", found)
    return randomisation_blocks(run)


def test_what_is_left_of_the_maps_is_drawn_and_in_words(bare_image_run):
    (figure,) = randomised(bare_image_run, 0.4, None, -0.05)
    assert figure.description.endswith("part 0 0.40; part 2 −0.05.")


def test_maps_that_outlive_their_weights_are_a_warning(bare_image_run):
    _, notice = randomised(bare_image_run, 0.9, 0.8)
    assert isinstance(notice, Notice)
    assert "show the image more than what was learned" in notice.text


def test_maps_that_are_empty_after_shuffling_leave_nothing_to_draw(bare_image_run):
    (text,) = randomised(bare_image_run, None, None)
    assert "nothing is left to compare" in text.text


def test_a_run_that_was_not_explained_has_no_section(bare_image_run):
    assert saliency_section(bare_image_run) is None
