"""Novelty is a distance from training, read as a percentile of patients that were left out."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf

from trilineage.core.errors import CohortError
from trilineage.evaluation.hierarchy.novelty import NoveltySettings, fit_novelty

METHODS = ("mahalanobis", "neighbours")


def draw_features(seed: int, n_patients: int = 30, n_each: int = 10, shift: float = 0.0, width: int = 6):
    """Draw two classes of features with an effect of each patient."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_patients), n_each)
    features = rng.normal(size=(len(codes), width)) + 0.5 * rng.normal(size=(n_patients, width))[codes]
    features[:, 0] += 4.0 * (codes % 2)
    features[:, 1] += 3.0 + shift
    return features, np.array([f"p{i}" for i in codes]), codes % 2


def test_mahalanobis_is_that_of_the_shrunk_covariance_within_classes():
    features, patients, labels = draw_features(0)
    fitted = fit_novelty(features, patients, labels=labels)
    means = np.stack([features[labels == code].mean(axis=0) for code in (0, 1)])
    covariance, _ = ledoit_wolf(features - means[labels], assume_centered=True)
    new = draw_features(1)[0]
    by_hand = cdist(new, means, "mahalanobis", VI=np.linalg.inv(covariance)).min(axis=1)
    assert fitted.score(new).distance == pytest.approx(by_hand)


def test_neighbours_is_the_distance_to_the_k_th_nearest_direction():
    features, patients, _ = draw_features(0)
    fitted = fit_novelty(features, patients, settings=NoveltySettings(method="neighbours", n_neighbours=3))
    new = draw_features(1)[0]
    unit, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (new, features))
    assert fitted.score(new).distance == pytest.approx(np.sort(cdist(unit, other), axis=1)[:, 2])


@pytest.mark.parametrize("method", METHODS)
def test_new_patients_of_the_same_kind_lie_at_every_percentile_alike(method):
    features, patients, labels = draw_features(0, n_patients=80)
    fitted = fit_novelty(features, patients, labels=labels, settings=NoveltySettings(method=method))
    percentiles = fitted.score(draw_features(1, n_patients=200)[0]).percentile
    assert np.quantile(percentiles, [0.25, 0.5, 0.75]) == pytest.approx([25, 50, 75], abs=12)


@pytest.mark.parametrize("method", METHODS)
def test_something_else_lies_beyond_all(method):
    features, patients, labels = draw_features(0)
    fitted = fit_novelty(features, patients, labels=labels, settings=NoveltySettings(method=method))
    assert np.median(fitted.score(draw_features(1, shift=-12.0)[0]).percentile) > 99


def test_what_is_usual_can_be_learned_from_a_validation_part():
    features, patients, _ = draw_features(0)
    far, others, _ = draw_features(1, shift=-12.0)
    fitted = fit_novelty(features, patients, held_out=(far, others))
    assert np.median(fitted.score(far).percentile) == pytest.approx(50, abs=5)


def test_every_held_out_patient_weighs_the_same():
    features = np.concatenate([np.zeros((1, 1)), np.full((99, 1), 5.0)])
    who = np.array(["a"] + ["b"] * 99)
    train = np.array([[-1.0], [1.0]])
    fitted = fit_novelty(train, np.array(["p", "q"]), held_out=(features, who))
    assert fitted.score(np.array([[2.0]])).percentile == pytest.approx([50.0])


def test_many_training_images_are_thinned_evenly_over_patients():
    features, patients, _ = draw_features(0, n_patients=10, n_each=30)
    settings = NoveltySettings(method="neighbours", max_reference=50)
    fitted = fit_novelty(features, patients, settings=settings)
    assert fitted.centres.shape == (50, 6)
    again = fit_novelty(features, patients, settings=settings)
    assert np.array_equal(fitted.centres, again.centres)


@pytest.mark.parametrize("spoil", ["patients", "features"])
def test_features_that_cannot_say_what_is_usual_are_refused(spoil):
    features, patients, _ = draw_features(0, n_patients=2)
    patients, features = (
        (np.full(len(patients), "p"), features) if spoil == "patients" else (patients, features * np.nan)
    )
    with pytest.raises(CohortError, match="cannot say what is usual"):
        fit_novelty(features, patients)


def test_features_of_length_0_are_no_division_by_0():
    features, patients, _ = draw_features(0)
    features[0] = 0.0
    fitted = fit_novelty(features, patients, settings=NoveltySettings(method="neighbours"))
    assert np.isfinite(fitted.score(np.zeros((1, 6))).distance).all()
