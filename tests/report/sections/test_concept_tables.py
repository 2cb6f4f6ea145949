"""Tables of the sections on latents: concepts, controls, targets, reconstruction, place on the cell, pathways."""

from trilineage.report.blocks import Fold, Link, Notice, Table
from trilineage.report.sections.concept_cohort import concept_cohort_section
from trilineage.report.sections.concept_figures import concept_figures_section
from trilineage.report.sections.concept_focus import concept_focus_section, focus_notices
from trilineage.report.sections.concept_list import concept_list_section
from trilineage.report.sections.concept_targets import concept_targets_section
from trilineage.report.sections.pathways import pathways_section
from trilineage.report.sections.reconstruction import reconstruction_section
from trilineage.report.sections.recovered import recovered_section


def tables(section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def test_the_cohort_names_network_block_and_tokens(concept_run):
    rows = dict(concept_cohort_section(concept_run).blocks[-1].rows)
    assert rows["Tokens after block"] == "11"
    assert rows["Tokens of an image"] == "patches and CLS, 6 x 6 patches"
    assert rows["Tokens in all"] == "4,440 tokens of 120 images"


def test_concepts_are_listed_by_name_and_latents_that_are_none_are_not(concept_run):
    section = concept_list_section(concept_run)
    (table,) = tables(section)
    assert [row[0] for row in table.rows] == [("small granules", "latent 5, draft"), "latent 7"]
    assert table.rows[0][1:4] == (("platelet", "class"), ("0.97", "held out 0.94"), "40 %")
    assert [block.address for block in section.blocks if isinstance(block, Link)] == [
        "explain/atlas/index.html"
    ]


def test_one_target_that_is_easy_does_not_fill_the_table(bare_concept_run):
    n = 6
    columns = {
        "latent": list(range(n)),
        "is_concept": [True] * n,
        "best_target": ["class=platelet"] * (n - 1) + [""],
    }
    bare_concept_run.write_table("concepts.csv", {**columns, "auroc": [0.9] * n, "frequency": [0.1] * n})
    section = concept_list_section(bare_concept_run)
    assert [row[0] for row in tables(section)[0].rows] == ["latent 0", "latent 1", "latent 5"]
    (fold,) = [block for block in section.blocks if isinstance(block, Fold)]
    assert len(fold.blocks[0].rows) == n


def test_controls_stand_under_the_autoencoder(concept_run):
    counts, medians = tables(concept_figures_section(concept_run))
    assert [row[0] for row in counts.rows][:2] == ["Autoencoder", "Raw neurons"]
    assert counts.rows[0][4:] == (("86", "29.7 % of strong"), "50 %", ("85 %", "0.80 against 0.25"))
    assert counts.rows[1][6] == "–"
    assert medians.rows[0][1] == ("0.40", "0.30–0.50")
    assert "Lineage spread" not in medians.columns


def test_an_attribute_counts_with_the_mean_over_its_values(concept_run):
    section = concept_targets_section(concept_run)
    rows = {row[0]: row[1:] for row in tables(section)[0].rows}
    assert rows["cell size"] == ("0.75", "0.65", "0.65", "0.65")
    assert rows["basophil"][0] == ("0.90", "0.80–1.00")
    assert rows["Mean over classes"][0] == "0.80"
    values = section.blocks[-1].blocks[0]
    assert [row[0] for row in values.rows] == ["big", "small"]
    assert values.rows[0][1] == "5: small granules (draft)"


def test_reconstruction_keeps_kinds_of_tokens_apart(concept_run):
    section = reconstruction_section(concept_run)
    assert [row[1] for row in tables(section)[0].rows[:2]] == ["training", "held out"]
    assert section.blocks[-1].blocks[0].rows[0][1] == ("training", "CLS")


def test_what_a_classifier_keeps_has_its_interval(concept_run, bare_concept_run):
    assert tables(recovered_section(concept_run))[0].rows[-1][1] == ("0.680", "0.660–0.700")
    bare_concept_run.write_json("recovered.json", {"note": "the classifier has other labels", "scores": []})
    (block,) = recovered_section(bare_concept_run).blocks
    assert block.text == "Not measured: the classifier has other labels."


def test_place_on_the_cell_is_held_against_chance(concept_run):
    rows = tables(concept_focus_section(concept_run))[0].rows
    assert rows[0] == ("Autoencoder", "Cell", "100", ("0.75", "0.10–0.90"), "50 %", "1.5 x")


def test_latents_beside_the_cell_raise_a_doubt():
    row = {
        "subject": "autoencoder",
        "region": "background",
        "n_latents": 9,
        "share": [0.5, 0.9, 1.0],
        "area": 0.8,
    }
    (notice,) = focus_notices([row])
    assert "90 % or more of their activation in the background, which is 80 % of the image" in notice.text
    assert focus_notices([{**row, "share": [0.1, 0.7, 0.9]}]) == []
    assert focus_notices([{**row, "share": None, "area": None}]) == []


def test_decisions_name_the_latents_that_speak_for_them(concept_run):
    section = pathways_section(concept_run)
    row = tables(section)[0].rows[0]
    assert row == ("immature granulocyte", "5: small granules (draft)", "−0.030", "−0.020", "8 of 9")
    assert "0: 0.60, 1: 0.40, 5: 0.30" in section.figures()[0].description
    assert not [block for block in section.blocks if isinstance(block, Notice)]
