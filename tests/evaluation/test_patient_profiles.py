"""Patients are placed by their mean profile: what they share with nobody counts, few samples and scale do not."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from trilineage.core.errors import CohortError
from trilineage.evaluation.patient_profiles import (
    fit_profile_novelty,
    ledoit_wolf,
    mean_profiles,
    patient_classes,
    profile_rows,
)


def cohort(random, n_patients=30, n_features=200):
    """Draw patients of three classes that differ along two directions besides."""
    labels = np.arange(n_patients) % 3
    centres = random.normal(size=(3, n_features))
    common = random.normal(size=(n_patients, 2)) @ random.normal(size=(2, n_features))
    return centres, labels, centres[labels] + common + 0.3 * random.normal(size=(n_patients, n_features))


def test_the_shrinkage_from_products_is_that_of_scikit_learn():
    values = np.random.default_rng(0).normal(size=(12, 40)) * np.linspace(0.2, 2, 40)
    wanted = ledoit_wolf_shrinkage(values, assume_centered=True)
    assert ledoit_wolf(values @ values.T, 40) == pytest.approx(wanted)


def test_distances_are_those_of_the_shrunk_covariance_up_to_one_factor():
    random = np.random.default_rng(1)
    _, labels, profiles = cohort(random, n_features=20)
    means = np.stack([profiles[labels == code].mean(axis=0) for code in range(3)])
    precision = LedoitWolf(assume_centered=True).fit(profiles - means[labels]).precision_
    others = random.normal(size=(5, 20))
    wanted = [min(mahalanobis(one, mean, precision) for mean in means) for one in others]
    found = fit_profile_novelty(profiles, labels).distance(others)
    np.testing.assert_allclose(found / found[0], np.array(wanted) / wanted[0])


def test_patients_like_those_of_training_lie_at_about_one():
    random = np.random.default_rng(2)
    _, labels, profiles = cohort(random, n_patients=60)
    found = fit_profile_novelty(profiles[:30], labels[:30]).distance(profiles[30:])
    assert found.mean() == pytest.approx(1.0, abs=0.15)


def test_a_change_that_no_training_patient_has_shown_is_far_and_a_usual_one_is_not():
    random = np.random.default_rng(3)
    centres, labels, profiles = cohort(random)
    novelty = fit_profile_novelty(profiles, labels)
    usual = profiles[0] - profiles[3]
    strange = random.normal(size=usual.shape)
    strange *= np.linalg.norm(usual) / np.linalg.norm(strange)
    near, far = novelty.distance(np.stack([centres[0] + usual, centres[0] + strange]))
    assert far > 2 * near


def test_few_samples_make_no_patient_far():
    random = np.random.default_rng(4)
    _, labels, means = cohort(random, n_patients=60)
    counts = np.where(np.arange(60) < 45, 50, 5)
    patients = np.repeat([f"p{number:02d}" for number in range(60)], counts)
    samples = np.repeat(means, counts, axis=0) + 3 * random.normal(size=(len(patients), 200))
    found = mean_profiles(samples, patients)
    novelty = fit_profile_novelty(found.mean[:30], labels[:30], found.noise[:30])
    corrected = novelty.distance(found.mean, found.noise)
    assert corrected[45:].mean() == pytest.approx(corrected[30:45].mean(), rel=0.15)
    assert novelty.distance(found.mean)[45:].min() > corrected[30:45].max()


def test_the_sampling_noise_is_the_variance_of_the_mean():
    values = np.array([[0.0, 1.0], [2.0, 5.0], [7.0, 7.0]])
    found = mean_profiles(values, np.array(["b", "b", "a"]))
    assert found.patients.tolist() == ["a", "b"]
    assert found.mean.tolist() == [[7.0, 7.0], [1.0, 3.0]]
    assert found.noise.tolist() == [5.0, 2.5]
    assert mean_profiles(values, np.array(["a", "b", "c"])).noise.tolist() == [0.0, 0.0, 0.0]


def test_moving_and_scaling_all_profiles_changes_no_distance():
    _, labels, profiles = cohort(np.random.default_rng(5))
    before = fit_profile_novelty(profiles[:20], labels[:20]).distance(profiles)
    moved = 100.0 * profiles - 7.0
    np.testing.assert_allclose(
        fit_profile_novelty(moved[:20], labels[:20]).distance(moved), before, rtol=1e-6
    )


def test_without_two_patients_of_a_class_the_distance_is_euclidean():
    found = fit_profile_novelty(np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([0, 1]))
    assert found.distance(np.array([[3.0, 4.0]]))[0] == pytest.approx(5.0 / np.sqrt(2))


def test_patients_with_samples_of_several_classes_have_none():
    assert patient_classes(np.array([1, 2, 1]), np.array(["a", "b", "a"])).tolist() == [1, 2]
    assert patient_classes(np.array([1, 2, 0]), np.array(["a", "b", "a"])).tolist() == [0, 0]


def test_profiles_that_are_not_finite_are_refused():
    with pytest.raises(CohortError, match="what is usual"):
        fit_profile_novelty(np.array([[np.nan]]), np.zeros(1, dtype=np.int64))


def test_the_table_tells_the_samples_behind_each_patient():
    random = np.random.default_rng(6)
    names = np.array(["a", "b", "c", "d"])
    learned, valid = (mean_profiles(random.normal(size=(4, 3)), names) for _ in range(2))
    test = mean_profiles(random.normal(size=(3, 3)) + 50, np.array(["t", "t", "t"]))
    rows = profile_rows("one", learned, np.zeros(4, dtype=np.int64), {"valid": valid, "test": test})
    assert rows["n_samples"] == [1, 1, 1, 1, 3]
    assert rows["part"] == ["valid"] * 4 + ["test"]
    assert rows["percentile"][-1] == 100.0


def test_of_very_many_patients_some_of_every_class_are_looked_at():
    random = np.random.default_rng(7)
    labels = np.repeat([0, 1, 2], [900, 60, 40])
    profiles = np.eye(3)[labels] * 10 + random.normal(size=(1000, 3))
    found = fit_profile_novelty(profiles, labels)
    np.testing.assert_allclose(found.centres, 10 * np.eye(3), atol=1.0)
    assert found.distance(profiles).mean() == pytest.approx(1.0, abs=0.15)
