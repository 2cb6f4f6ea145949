"""Agreement of readers as it was measured, and where the model is no reader among others."""

import pytest

from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Fold, Notice
from trilineage.report.sections.agreement import agreement_section


@pytest.fixture
def run(bare_image_run):
    sizes = {"n_samples": 30, "n_patients": 10}
    scores = [
        Score("agreement", 0.9, 0.8, 1.0, "Ann ~ model", **sizes),
        Score("cohen_kappa", 0.6, 0.5, 0.7, "Ann ~ model", **sizes),
        Score("agreement", 0.95, 0.9, 1.0, "Ann ~ Bob", **sizes),
    ]
    bare_image_run.add_scores(scores, "agreement/scores.json")
    counts = {"first": "Ann", "second": "Bob", "categories": ["ALL", "AML"], "counts": [[20, 1], [3, 6]]}
    bare_image_run.write_json("agreement/tables.json", [counts])
    return bare_image_run


def test_a_row_for_each_pair_and_a_column_for_each_measure(run):
    table = agreement_section(run).blocks[1]
    assert table.columns == ("Readers", "Images", "Agreement", "Cohen's kappa")
    assert table.rows[0][:2] == ("Ann ~ model", "30")
    assert table.rows[1] == ("Ann ~ Bob", "30", ("0.950", "0.900–1.000"), "–")


def test_where_two_readers_differ_is_listed_most_frequent_first(run):
    (fold,) = (block for block in agreement_section(run).blocks if isinstance(block, Fold))
    assert fold.blocks[0].caption == "Ann and Bob: the same label on 26 of 30 images."
    assert fold.blocks[0].rows == (("AML", "ALL", "3"), ("ALL", "AML", "1"))


@pytest.mark.parametrize(("high", "level"), [(-0.05, "caution"), (0.1, "note")])
def test_a_model_that_agrees_less_than_people_do_is_a_warning(run, high, level):
    row = Comparison("cohen_kappa", "model", "readers", -0.2, -0.3, high)
    run.add_comparisons([row], "agreement/comparisons.json")
    (notice,) = (block for block in agreement_section(run).blocks if isinstance(block, Notice))
    assert notice.level == level


def test_without_readers_there_is_no_section(bare_image_run):
    assert agreement_section(bare_image_run) is None
