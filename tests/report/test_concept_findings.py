"""The first sentences of pages about concepts."""

from trilineage.report.concept_findings import compare_headline, concept_headline, subtype_headline
from trilineage.report.concept_results import targets_of


def test_the_first_sentence_counts_the_concepts(concept_run):
    assert concept_headline(concept_run)[0].startswith("Of 768 latents 290 are strong and 86 are concepts")


def test_classes_and_attributes_stand_beside_the_controls(concept_run):
    classes, attributes = concept_headline(concept_run)[1:3]
    assert "3 classes apart with a mean AUROC of 0.80, from 0.70 for platelet to 0.90 for basophil" in classes
    assert "raw neurons 0.70, principal components 0.70 and random dictionary 0.70" in classes
    assert "For 1 attribute the mean over their values is 0.75" in attributes


def test_what_is_explained_and_kept_is_said_together(concept_run):
    sentence = concept_headline(concept_run)[3]
    assert "With 8 active latents per token they explain 0.80 of the variance" in sentence
    assert "keeps 0.68 (0.66–0.70)" in sentence


def test_patients_told_apart_come_last(concept_run):
    assert concept_headline(concept_run)[4:] == subtype_headline(concept_run)
    assert "the barcode classifier's balanced accuracy is 0.80" in subtype_headline(concept_run)[0]


def test_a_run_without_results_has_no_headline(bare_concept_run):
    assert concept_headline(bare_concept_run) == []
    assert compare_headline(bare_concept_run) == []


def test_pairs_are_compared_in_a_sentence_each(concept_runs, tmp_path):
    cohorts, dictionaries = compare_headline(concept_runs.compared_run(tmp_path / "compared"))
    assert (
        "Between north and south the strengths of 270 latents correlate at 0.70 (95 % interval 0.67–0.72)"
        in cohorts
    )
    assert "2 are lost and 0 new" in cohorts
    assert "Of 290 strong latents of north, 85 % come back in west" in dictionaries


def test_a_mean_is_over_targets_that_every_subject_has(concept_runs, bare_concept_run):
    concept_runs.write_targets(bare_concept_run, merit=0.1)
    rows = bare_concept_run.read_json("targets.json")
    rows = [
        row | {"value": None} if (row["latent"], row["target"]) == (5, "class=basophil") else row
        for row in rows
    ]
    bare_concept_run.write_json("targets.json", rows)
    targets = targets_of(bare_concept_run)
    assert abs(targets.mean("autoencoder", targets.classes) - 0.75) < 1e-12
    assert targets.mean("autoencoder", ("class=basophil",)) is None
