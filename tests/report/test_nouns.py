"""What observations are called follows from the Run."""

import pytest

from trilineage.core.records import Score
from trilineage.report.nouns import SAMPLES, Nouns, nouns_of


def test_other_kinds_of_runs_have_samples_and_patients(bare_run):
    assert nouns_of(bare_run) == SAMPLES


@pytest.mark.parametrize(("known", "patient"), [(True, "patient"), (False, "image")])
def test_images_have_patients_if_the_cohort_says_so(bare_image_run, known, patient):
    bare_image_run.write_json("cohort.json", {"has_patients": known})
    nouns = nouns_of(bare_image_run)
    assert (nouns, nouns.knows_patients) == (Nouns("image", patient), known)


@pytest.mark.parametrize(("n_patients", "known"), [(20, False), (5, True)])
def test_without_a_cohort_the_scores_tell_whether_images_are_grouped(bare_image_run, n_patients, known):
    bare_image_run.add_scores([Score("leaf_accuracy", 0.5, 0.4, 0.6, n_samples=20, n_patients=n_patients)])
    assert nouns_of(bare_image_run).knows_patients == known


def test_the_unit_of_a_score_becomes_a_noun():
    assert [Nouns("image", "patient").of(unit) for unit in ("sample", "patient")] == ["image", "patient"]
