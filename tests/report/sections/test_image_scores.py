"""Scores on the tree: six open, all by group in a fold, none of a site among them."""

from trilineage.report.blocks import Fold, Table, Text
from trilineage.report.metrics import GROUPS
from trilineage.report.sections.image_scores import image_scores_section


def of(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def test_six_metrics_are_open_accuracy_beside_distance_and_severity(image_run):
    table = of(image_scores_section(image_run), Table)[0]
    assert len(table.columns) == 7
    assert table.columns[4:6] == ("Hierarchical distance\xa0↓", "Mistake severity\xa0↓")
    assert [row[0] for row in table.rows] == ["model", "baseline: majority"]


def test_every_metric_stands_in_the_fold_once_in_its_group(image_run):
    fold = next(fold for fold in of(image_scores_section(image_run), Fold) if "per patient" in fold.title)
    assert [table.caption.split(". ")[0] for table in fold.blocks] == list(GROUPS)
    named = [row[0][0] for table in fold.blocks for row in table.rows]
    metrics = {score.metric for score in image_run.scores() if score.unit == "patient"}
    assert len(named) == len(set(named)) == len(metrics)


def test_the_fold_shows_the_paired_difference_with_its_p(image_run):
    fold = next(fold for fold in of(image_scores_section(image_run), Fold) if "per image" in fold.title)
    assert fold.blocks[0].columns == ("Metric", "Model", "Majority", "Model − majority", "p")
    assert fold.blocks[0].rows[0][3][0].startswith("+0.")


def test_scores_of_single_sites_stand_elsewhere(image_run):
    captions = [table.caption for table in of(image_scores_section(image_run), Table)]
    assert not any("site" in caption for caption in captions)


def test_where_the_tree_has_no_costs_the_page_says_so(costless_run):
    section = image_scores_section(costless_run)
    assert "no clinical costs of its own" in of(section, Text)[0].text
    assert "Clinical cost\xa0↓" not in of(section, Table)[0].columns
