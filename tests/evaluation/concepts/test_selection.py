"""The best latent is chosen on some images and scored on others, with an interval that covers."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from trilineage.core.errors import DataError
from trilineage.evaluation.concepts.selection import ScoredImages, area_interval, best_latents, held_out_score
from trilineage.evaluation.concepts.targets import attribute_targets, permuted_targets
from trilineage.evaluation.readers import read_attribute_tables


def images(seed: int, *, n_patients: int = 40, n_latents: int = 200, signal: float = 0.0) -> ScoredImages:
    """Draw patients with ten images each; latent 7 speaks more where the target holds."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), 10)
    holds = rng.random(len(patients)) < 0.4
    values = (
        rng.normal(size=(len(patients), n_latents)) + 0.5 * rng.normal(size=(n_patients, n_latents))[patients]
    )
    values[:, 7] += signal * holds
    return ScoredImages(sp.csr_array(np.maximum(values, 0.0)), {"t": holds}, patients)


def test_the_planted_latent_is_chosen_and_scored_on_the_other_images():
    test = images(1, signal=2.0)
    (found,) = best_latents(images(0, signal=2.0), test)
    assert (found.target, found.latent) == ("t", 7)
    expected = roc_auc_score(test.targets["t"], test.scores[:, [7]].toarray()[:, 0])
    assert found.score.value == pytest.approx(expected)
    assert found.score.low < found.score.value < found.score.high
    assert (found.score.n_samples, found.score.n_patients) == (400, 40)


def test_without_an_association_the_luckiest_latent_falls_back_to_chance():
    train = images(2)
    unrelated = permuted_targets(train.targets, train.patients, seed=0)
    (found,) = best_latents(ScoredImages(train.scores, unrelated, train.patients), images(3))
    assert found.train_auroc > 0.55
    assert found.score.low < 0.5 < found.score.high


def test_intervals_cover_in_about_95_of_100_studies():
    truth = held_out_score(
        *(lambda large: (large.scores, 7, large, "t"))(images(99, n_patients=4000, n_latents=8, signal=1.0))
    )
    holds = []
    for seed in range(200):
        study = images(seed, n_latents=8, signal=1.0)
        score = held_out_score(study.scores, 7, study, "t")
        holds.append(score.low <= truth.value <= score.high)
    assert 0.90 < np.mean(holds) < 0.99


def test_a_target_is_judged_only_on_images_where_it_is_known():
    study = images(4, signal=1.0)
    target = np.where(np.arange(400) < 200, study.targets["t"], -1)
    score = held_out_score(study.scores, 7, ScoredImages(study.scores, {"t": target}, study.patients), "t")
    assert (score.n_samples, score.n_patients) == (200, 20)


def test_a_target_that_the_test_images_lack_has_no_score():
    test = images(1)
    for targets in ({}, {"t": np.zeros(400, dtype=bool)}):
        (found,) = best_latents(images(0, signal=2.0), ScoredImages(test.scores, targets, test.patients))
        assert np.isnan(found.score.value)
        assert "the same in all test images" in found.score.note


def test_latents_of_too_few_patients_are_not_chosen():
    train = images(0)
    (found,) = best_latents(train, images(1), min_patients=41)
    assert found.latent == -1
    assert np.isnan(found.train_auroc)
    assert "no latent is active in enough" in found.score.note


def test_without_patients_the_note_says_so():
    test = images(1)
    (found,) = best_latents(images(0, signal=2.0), ScoredImages(test.scores, test.targets))
    assert "patients unknown" in found.score.note


@pytest.mark.parametrize(
    ("area", "error", "sides", "note"),
    [(0.7, 0.1, [1, 9], "1 patient on one side"), (0.5, 0.0, [9, 9], "the same in every patient")],
)
def test_where_nothing_varies_there_is_no_interval(area, error, sides, note):
    low, high, said = area_interval(area, error, np.array(sides), 0.95)
    assert (low, high) == (None, None)
    assert note in said


def test_a_perfect_area_has_a_bound_of_as_many_patients_all_right():
    low, high, note = area_interval(1.0, 0.0, np.array([20, 50]), 0.95)
    assert (round(low, 3), high) == (0.832, 1.0)  # 0.025^(1/20)
    assert area_interval(0.0, 0.0, np.array([20, 50]), 0.95)[:2] == pytest.approx((0.0, 1.0 - low))
    assert "no pair is wrong" in note


def test_codes_of_another_autoencoder_are_refused():
    with pytest.raises(DataError, match="200 latents on the training images and 50 on the test images"):
        best_latents(images(0), images(1, n_latents=50))


def test_attributes_of_real_cells_are_found_by_a_second_annotator(real_data):
    """The second annotation, taken for latents: each value of an attribute is found best by itself, in the order."""
    folder = real_data / "images" / "pbc_barcelona"
    if not (folder / "wbcatt_reannotations.csv").exists():
        pytest.skip("the second annotation is not there")
    tables = read_attribute_tables(folder / "metadata_all.csv", folder / "wbcatt_reannotations.csv")
    columns = {name: table.labels_of("first") for name, table in tables.items()}
    targets = attribute_targets(columns, min_images=20)
    other = np.stack(
        [tables[name.split("=")[0]].labels_of("second") == name.split("=")[1] for name in targets], axis=1
    )
    half = np.arange(len(other)) % 2 == 0
    sides = [
        ScoredImages(sp.csr_array(other[rows].astype(float)), {n: t[rows] for n, t in targets.items()})
        for rows in (half, ~half)
    ]
    found = best_latents(*sides)
    assert len(targets) > 20
    own = [
        best.latent == place or other[:, best.latent].tolist() == other[:, place].tolist()
        for place, best in enumerate(found)
    ]
    assert np.mean(own) > 0.9
    assert min(best.score.value for best in found) > 0.6
