"""The monosemanticity score is its definition over all pairs, and chance is what random images get."""

import numpy as np
import pytest

from trilineage.core.errors import DataError
from trilineage.evaluation.concepts.monosemanticity import monosemanticity
from trilineage.evaluation.concepts.references import References

N_IMAGES = 60


def made(images) -> References:
    images = np.array(images, dtype=np.int64)
    scores = np.where(images >= 0, np.linspace(2, 1, images.shape[1]), 0).astype(np.float32)
    return References(images, scores, np.zeros(images.shape, dtype=np.int32))


@pytest.fixture
def features():
    """Features of three kinds of cells, twenty images each."""
    rng = np.random.default_rng(0)
    return (
        np.repeat(rng.normal(size=(3, 16)), 20, axis=0) + 0.3 * rng.normal(size=(N_IMAGES, 16)) + 2
    ).astype(np.float32)


def test_the_score_is_the_weighted_mean_cosine_over_pairs_of_different_patients(features):
    references, patients = made([[0, 1, 2, 25], [40, 41, -1, -1]]), np.arange(N_IMAGES) // 2
    found = monosemanticity(references, features, patients=patients, centred=False)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    total, weights, n_pairs = 0.0, 0.0, 0
    for i in range(4):
        for j in range(i):
            one, other = references.images[0, [i, j]]
            if patients[one] != patients[other]:
                weight = references.scores[0, i] * references.scores[0, j]
                total, weights, n_pairs = (
                    total + weight * units[one] @ units[other],
                    weights + weight,
                    n_pairs + 1,
                )
    assert found.score[0] == pytest.approx(total / weights, abs=1e-6)
    assert found.n_pairs.tolist() == [n_pairs, 0]  # images 40 and 41 are of one patient
    assert found.is_known.tolist() == [True, False]


def test_images_of_one_kind_score_above_chance_and_mixed_ones_do_not(features):
    rng = np.random.default_rng(1)
    found = monosemanticity(made([range(10), rng.permutation(N_IMAGES)[:10]]), features)
    assert found.above_chance[0] > 0.5
    assert found.p_value[0] < 0.001
    assert found.p_value[1] > 0.05


def test_p_values_of_random_references_are_even(features):
    rng = np.random.default_rng(2)
    random = made([rng.choice(N_IMAGES, 8, replace=False) for _ in range(800)])
    p_values = monosemanticity(random, features).p_value
    assert [np.mean(p_values <= bound) for bound in (0.1, 0.5, 0.9)] == pytest.approx(
        [0.1, 0.5, 0.9], abs=0.06
    )


def test_what_all_images_share_does_not_make_them_alike(features):
    plain = monosemanticity(made([range(10)]), features + 50, centred=False)
    centred = monosemanticity(made([range(10)]), features + 50)
    assert plain.chance > 0.99
    assert abs(centred.chance) < 0.1


def test_random_images_come_from_the_candidates(features):
    found = monosemanticity(made([range(10)]), features, candidates=np.arange(20), centred=False)
    everywhere = monosemanticity(made([range(10)]), features, centred=False)
    assert found.chance > everywhere.chance + 0.05
    assert found.chance == pytest.approx(found.score[0], abs=0.05)


def test_latents_without_a_pair_have_no_score_and_no_nan(features):
    found = monosemanticity(made([[-1, -1], [3, -1]]), features)
    assert found.score.tolist() == [0.0, 0.0]
    assert found.p_value.tolist() == [1.0, 1.0]
    assert np.isnan(found.figures()["monosemanticity"]).all()


def test_the_same_seed_gives_the_same_chance(features):
    references = made([range(10)])
    one, other, third = (monosemanticity(references, features, seed=seed) for seed in (5, 5, 6))
    assert one.chance == other.chance != third.chance


def test_features_that_do_not_belong_to_the_references_are_refused(features):
    with pytest.raises(DataError, match="image 60 among the references"):
        monosemanticity(made([[0, 60]]), features)
    with pytest.raises(DataError, match="59 patients"):
        monosemanticity(made([[0, 1]]), features, patients=np.arange(59))
    features[7, 3] = np.nan
    with pytest.raises(DataError, match="feature of image 7"):
        monosemanticity(made([[0, 1]]), features)
