"""Subtypes from barcodes: the plain scikit-learn pipeline as reference, nothing leaks, chance stays chance."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trilineage.core.errors import ArtifactError, CohortError, MatrixError
from trilineage.core.seeding import generator
from trilineage.evaluation.barcodes.settings import SubtypeSettings
from trilineage.evaluation.barcodes.subtype import (
    OutOfFold,
    all_pairs,
    compare_subtypes,
    fit_subtypes,
    predict_subtypes,
    score_subtypes,
    subtype_folds,
)
from trilineage.evaluation.barcodes.subtype_model import FitPath, SubtypeModel
from trilineage.evaluation.settings import EvaluationSettings

from .drawing import draw_patients

QUICK = SubtypeSettings(n_folds=3, n_repeats=2, n_inner_folds=2, inverse_penalties=(1.0, 100.0))
FEW = EvaluationSettings(n_bootstrap=100, n_permutations=99)


@pytest.fixture(scope="module")
def barcodes():
    return draw_patients(45, n_latents=60, signal=3.0)[0]


@pytest.fixture(scope="module")
def folds(barcodes):
    return subtype_folds(barcodes.names, barcodes.labels, settings=QUICK)


@pytest.fixture(scope="module")
def found(barcodes, folds):
    return predict_subtypes(barcodes.values, folds, weighting="log1p", settings=QUICK)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_path_is_the_plain_pipeline_of_scikit_learn(n_classes):
    barcodes, _ = draw_patients(40, n_classes=n_classes)
    rows, labels = np.log1p(barcodes.dense().astype(float)), np.arange(40) % n_classes
    path = FitPath(
        barcodes.values[:30], labels[:30], "abc"[:n_classes], weighting="log1p", is_class_balanced=True
    )
    n_used = len(path.used)
    plain = LogisticRegression(C=10.0 / n_used, class_weight="balanced", max_iter=5000, tol=1e-8)
    peer = make_pipeline(StandardScaler(), plain).fit(rows[:30], labels[:30])
    model = path.model(10.0)
    expected = peer.predict_proba(rows[30:])
    np.testing.assert_allclose(model.probabilities(barcodes.values[30:]), expected, atol=1e-4)
    np.testing.assert_allclose(path.sweep(barcodes.values[30:], [10.0])[0], expected, atol=1e-4)
    np.testing.assert_allclose(path.pipeline(10.0).predict_proba(rows[30:, path.used]), expected, atol=1e-4)


def test_what_each_feature_adds_sums_to_the_logits(barcodes, folds):
    model = fit_subtypes(barcodes.values, folds, weighting="log1p", settings=QUICK)
    again = SubtypeModel.from_arrays(model.to_arrays())
    logits = again.contributions(barcodes.values).sum(axis=2) + again.intercepts
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(model.probabilities(barcodes.values), p / p.sum(axis=1, keepdims=True))


def test_planted_latents_carry_the_largest_coefficients():
    barcodes, planted = draw_patients(120, signal=2.5)
    folds = subtype_folds(barcodes.names, barcodes.labels, settings=QUICK)
    model = fit_subtypes(barcodes.values, folds, weighting="log1p", settings=QUICK)
    for label, own in enumerate(planted):
        best = model.features[np.argsort(-model.coefficients[label])[:3]]
        assert set(best) == set(own)


def test_patients_with_planted_concepts_are_told_apart_and_without_them_chance_remains(found, folds):
    with_concepts = score_subtypes(found, folds, evaluation=FEW)[0]
    nothing, _ = draw_patients(45, n_latents=60, signal=0.0)
    blind = predict_subtypes(nothing.values, folds, weighting="log1p", settings=QUICK)
    without = score_subtypes(blind, folds, evaluation=FEW)[0]
    assert (with_concepts.metric, with_concepts.low > 0.5) == ("weighted_f1", True)
    assert without.low < 1 / 3 < without.high


def test_every_patient_is_tested_once_a_repeat_and_classes_are_spread(folds):
    for own in folds.folds:
        assert all(np.bincount(folds.labels[own == fold]).tolist() == [5, 5, 5] for fold in range(3))
    assert not np.array_equal(folds.folds[0], folds.folds[1])


def test_a_tested_patient_changes_nothing_in_the_model_that_tests_it(barcodes, folds, found):
    patient = 7
    rng = generator(0, "other")
    values = barcodes.dense()
    values[patient] = rng.random(values.shape[1]) * 100
    again = predict_subtypes(sp.csr_array(values), folds, weighting="log1p", settings=QUICK)
    for repeat, own in enumerate(folds.folds):
        beside = (own == own[patient]) & (np.arange(45) != patient)
        np.testing.assert_array_equal(
            again.probabilities[repeat, beside], found.probabilities[repeat, beside]
        )


def test_scores_are_those_of_scikit_learn_over_all_repeats(found, folds):
    scores = {(s.metric, s.population): s for s in score_subtypes(found, folds, evaluation=FEW)}
    labels, p = np.tile(folds.labels, 2), found.probabilities.reshape(90, 3)
    f1 = f1_score(labels, p.argmax(axis=1), average="weighted")
    assert scores["weighted_f1", "all"].value == pytest.approx(f1)
    area = roc_auc_score(labels == 1, p[:, 1])
    assert scores["auroc", "class B"].value == pytest.approx(area)
    kinds = {(score.unit, score.n_patients, score.n_samples) for score in scores.values()}
    assert kinds == {("patient", 45, 45)}
    assert "over 2 repeats" in scores["auroc", "all"].note


def test_competitors_meet_on_the_same_patients(found, folds):
    uniform = OutOfFold(np.full_like(found.probabilities, 1 / 3))
    both = {"barcode": found, "nothing": uniform}
    (first, *_) = compare_subtypes(both, folds, evaluation=FEW, pairs=all_pairs(both))
    assert (first.first, first.second, first.unit, first.n_patients) == ("barcode", "nothing", "patient", 45)
    assert first.low > 0
    assert first.p_value <= 0.02


def test_dense_features_and_other_weightings_are_taken(barcodes, folds):
    sparse = predict_subtypes(barcodes.values, folds, weighting="tf-idf", settings=QUICK)
    dense = predict_subtypes(barcodes.dense(), folds, weighting="tf-idf", settings=QUICK)
    np.testing.assert_allclose(sparse.probabilities, dense.probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(list("ABCD"), "one patient per class"), (list("AABC"), "B: 1, C: 1"), (list("AAAA"), "one class only")],
)
def test_classes_that_cannot_be_tested_are_refused(labels, message):
    with pytest.raises(CohortError, match=message):
        subtype_folds(np.array(list("abcd")), np.array(labels))


def test_features_without_meaning_are_refused(folds):
    with pytest.raises(CohortError, match="all patients have the same features"):
        predict_subtypes(np.ones((45, 4)), folds, settings=QUICK)
    broken = generator(0, "x").normal(size=(45, 4))
    broken[0, 2] = np.nan
    with pytest.raises(MatrixError, match="NaN or infinity in row 0"):
        fit_subtypes(broken, folds, settings=QUICK)
    with pytest.raises(MatrixError, match="row 0"):
        fit_subtypes(sp.csr_array(broken), folds, settings=QUICK)


def test_a_model_refuses_features_of_another_encoder(barcodes, folds):
    model = fit_subtypes(barcodes.values, folds, settings=QUICK)
    with pytest.raises(ArtifactError, match="another encoder.*seen: 61 features; allowed: 60"):
        model.probabilities(np.ones((2, 61)))
    with pytest.raises(MatrixError, match="row 1"):
        model.probabilities(np.array([[1.0] * 60, [np.inf] * 60]))


def test_other_patients_than_those_of_the_folds_are_refused(found, folds):
    with pytest.raises(CohortError, match="44 rows and 45 patients"):
        predict_subtypes(np.ones((44, 2)), folds, settings=QUICK)
    with pytest.raises(CohortError, match="not of these folds"):
        score_subtypes(OutOfFold(found.probabilities[:1]), folds)
    with pytest.raises(CohortError, match="do not sum to 1"):
        score_subtypes(found._replace(probabilities=found.probabilities * 2), folds)


def test_a_class_that_an_inner_part_lacks_does_not_stop_the_fit():
    labels = np.array(["A"] * 6 + ["B"] * 6 + ["C"] * 2)
    features = generator(0, "few").normal(size=(14, 5))
    folds = subtype_folds(np.arange(14).astype(str), labels, settings=QUICK)
    found = predict_subtypes(features, folds, settings=QUICK)
    np.testing.assert_allclose(found.probabilities.sum(axis=2), 1.0)
    assert score_subtypes(found, folds, evaluation=FEW)[0].n_patients == 14
