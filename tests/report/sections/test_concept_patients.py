"""Sections on cohorts and patients: shift, cells that are enough, subtypes, what marks each disease, pairs."""

import pytest

from trilineage.report.blocks import Fold, Notice, Table, Text
from trilineage.report.concept_results import out_of_fold
from trilineage.report.sections.cells import cells_section, said
from trilineage.report.sections.concept_pairs import cohort_pairs_section, dictionary_pairs_section
from trilineage.report.sections.disease import disease_section
from trilineage.report.sections.shift import shift_section
from trilineage.report.sections.subtype import subtype_section


def first(section, kind):
    return next(block for block in section.blocks if isinstance(block, kind))


def test_each_site_has_a_line_and_a_far_one_a_warning(concept_run):
    section = shift_section(concept_run)
    rows = first(section, Table).rows
    assert [row[0] for row in rows] == [("Held-out images", "60 images"), ("Site B", "60 images")]
    assert rows[1][1] == ("0.600", "0.570–0.620")
    assert rows[1][4:] == (("270", "290 and 280"), "2", "0", "3")
    (notice,) = [block for block in section.blocks if isinstance(block, Notice)]
    assert notice.text.startswith("Site B: the strengths of the latents correlate at 0.60 only.")


def test_lost_latents_are_named(concept_run):
    texts = [block.text for block in shift_section(concept_run).blocks if isinstance(block, Text)]
    assert "Lost, site B: latents 5: small granules (draft) and 11." in texts


@pytest.mark.parametrize(
    ("reaching", "needed", "words"),
    [
        (30, 20, "20 cells are enough for half of the 30 patients"),
        (25, 20, "5 patients did not reach it"),
        (0, None, "In none of 30 patients"),
    ],
)
def test_it_is_said_how_many_cells_are_enough(reaching, needed, words):
    about = {"against": "its other cells", "agreement": 0.9, "n_patients": 30}
    assert words in said({**about, "n_reaching": reaching, "median_needed": needed})


def test_every_number_of_cells_has_a_row(concept_run, bare_concept_run):
    assert first(cells_section(concept_run), Table).rows[1] == ("20", ("0.92", "0.82–0.97"), "30")
    bare_concept_run.write_json("cells.json", {"steps": []})
    assert cells_section(bare_concept_run) is None


def test_patients_are_scored_beside_competitors_class_by_class(concept_run):
    section = subtype_section(concept_run)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert [row[0] for row in tables[0].rows] == ["model", "baseline: mean-pooled CLS"]
    assert tables[-1].columns == ("Class", "Barcode", "Mean-pooled CLS")
    assert tables[-1].rows[0] == ("basophil", ("0.800", "0.700–0.900"), ("0.700", "0.600–0.800"))


def test_the_call_is_that_of_the_mean_over_repeats(concept_run):
    prediction = out_of_fold(concept_run)
    assert prediction.probabilities.shape == (30, 3)
    assert "basophil 9 of 10" in next(
        f.description for f in subtype_section(concept_run).figures() if f.name == "confusion"
    )


def test_each_disease_has_its_concepts_or_a_reason(concept_run):
    section = disease_section(concept_run)
    rows = first(section, Table).rows
    assert rows[0] == (("AML", "10 against 20 patients"), "5: small granules (draft)", "1", "280")
    assert rows[1][1] == "none"
    assert first(section, Notice).text == "CLL: too few patients have it."
    assert first(section, Fold).blocks[0].rows[0][1:] == (
        ("1.40", "0.90–1.90"),
        "0.90",
        "0.001",
        "0.004",
        "0.020",
    )


def test_pairs_are_cohorts_or_dictionaries(concept_runs, tmp_path):
    run = concept_runs.compared_run(tmp_path / "compared")
    assert [row[0] for row in first(cohort_pairs_section(run), Table).rows] == ["North and south"]
    there, back = first(dictionary_pairs_section(run), Table).rows
    assert there == ("north", "west", "290", "85 %", "90 %", "0.80", "0.25")
    assert back[:2] == ("west", "north")
