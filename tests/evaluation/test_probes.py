"""Probes of features: beside scikit-learn, by hand, and on features that know nothing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from trilineage.evaluation.probes import Known, ProbeSettings, neighbour_votes, probe


def blobs(n, seed, shift=1.2, n_classes=3):
    random = np.random.default_rng(seed)
    labels = random.integers(n_classes, size=n)
    features = random.normal(size=(n, 5))
    features[np.arange(n), labels] += shift
    return Known(features, labels)


NOBODY = Known(np.zeros((0, 5)), np.zeros(0, np.int64))


def read(train, valid, test, **options):
    return probe(
        train, valid, test.features, 3, settings=ProbeSettings(**options), rng=np.random.default_rng(0)
    )


def test_the_linear_probe_is_that_of_scikit_learn():
    train, test = blobs(200, 0), blobs(50, 1)
    found = read(train, NOBODY, test, penalties=(0.1,), is_class_balanced=False)
    scaler = StandardScaler().fit(train.features)
    model = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(train.features), train.labels)
    np.testing.assert_allclose(found.linear, model.predict_proba(scaler.transform(test.features)), atol=1e-4)


def test_neighbours_vote_as_those_of_scikit_learn():
    train, test = blobs(200, 0), blobs(50, 1)
    settings = ProbeSettings(n_neighbours=7)
    found = neighbour_votes(train, test.features, 3, settings=settings)

    def weigh(distances):
        return np.exp((1 - distances) / settings.temperature)

    model = KNeighborsClassifier(7, weights=weigh, metric="cosine").fit(train.features, train.labels)
    np.testing.assert_allclose(found, model.predict_proba(test.features), atol=1e-9)


def test_only_directions_count_among_neighbours():
    train, test = blobs(60, 0), blobs(20, 1)
    scaled = Known(normalize(train.features) * 7, train.labels)
    settings = ProbeSettings()
    first, second = (neighbour_votes(known, test.features, 3, settings=settings) for known in (train, scaled))
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_the_penalty_is_the_one_that_serves_the_validation_images():
    random = np.random.default_rng(0)
    train, valid, test = blobs(60, 0, shift=0.8), blobs(400, 1, shift=0.8), blobs(50, 2)
    noise = [random.normal(size=(len(known.labels), 80)) for known in (train, valid, test)]
    wide = [
        Known(np.hstack([known.features, more]), known.labels)
        for known, more in zip((train, valid, test), noise, strict=True)
    ]
    assert read(*wide, penalties=(0.003, 1000.0)).penalty == 0.003
    assert read(wide[0], Known(wide[1].features[:0], wide[1].labels[:0]), wide[2]).penalty == 0.1


def test_features_that_know_nothing_tell_nothing():
    train, valid, test = (blobs(300, seed, shift=0.0) for seed in range(3))
    found = read(train, valid, test)
    for probabilities in (found.linear, found.neighbours):
        assert (probabilities.argmax(axis=1) == test.labels).mean() < 0.5
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize("most", [12, 500])
def test_many_training_images_are_thinned_evenly(most):
    train, test = blobs(300, 0), blobs(40, 1)
    found = read(train, NOBODY, test, max_train=most)
    assert (found.linear.argmax(axis=1) == test.labels).mean() > 0.4
