"""The barcode classifier as an estimator: what the lineage fits, dense or sparse, one row or several per patient."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import cross_val_score

from trilineage import BarcodeClassifier
from trilineage.core.errors import CohortError
from trilineage.evaluation.barcodes.settings import SubtypeSettings
from trilineage.evaluation.barcodes.subtype import _inner_folds, fit_subtypes, subtype_folds

QUICK = {"inverse_penalties": (1.0, 100.0), "n_inner_folds": 3}


def test_it_is_the_model_of_the_lineage(barcodes):
    counts, labels = barcodes
    ours = BarcodeClassifier(**QUICK).fit(counts, labels).predict_proba(counts)
    folds = subtype_folds(np.arange(48).astype(str), labels)
    settings = SubtypeSettings(inverse_penalties=(1.0, 100.0), n_inner_folds=3)
    rows = np.argsort(np.argsort(np.arange(48).astype(str)))
    theirs = fit_subtypes(counts, folds, weighting="log1p", settings=settings, seed=0)
    assert rows.shape == (48,)
    np.testing.assert_allclose(ours, theirs.probabilities(counts), atol=0.05)


def test_patients_it_never_saw_are_told_apart(barcodes):
    assert cross_val_score(BarcodeClassifier(**QUICK), *barcodes, cv=3).mean() > 0.9


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse_and_dense_barcodes_give_the_same(barcodes, form):
    counts, labels = barcodes
    dense = BarcodeClassifier(**QUICK).fit(counts, labels)
    thin = BarcodeClassifier(**QUICK).fit(form(counts), labels)
    np.testing.assert_allclose(thin.predict_proba(form(counts)), dense.predict_proba(counts))


def test_rows_of_one_patient_stay_in_one_inner_fold():
    owners = np.repeat([f"P{n}" for n in range(12)], 4)
    labels = np.repeat(np.arange(12) % 3, 4)
    folds = _inner_folds(labels, 3, owners, 3, np.random.default_rng(0))
    assert all(len(set(folds[owners == owner])) == 1 for owner in np.unique(owners))
    assert [sorted(set(labels[folds == fold])) for fold in range(3)] == [[0, 1, 2]] * 3


def test_negative_barcodes_are_refused_unless_features_are_taken_as_they_are(barcodes):
    counts, labels = barcodes
    with pytest.raises(ValueError, match="Negative values"):
        BarcodeClassifier(**QUICK).fit(counts - 1.0, labels)
    assert BarcodeClassifier("mean", **QUICK).fit(counts - 1.0, labels).score(counts - 1.0, labels) > 0.9


def test_barcodes_that_are_all_the_same_are_refused():
    with pytest.raises(CohortError, match="same features"):
        BarcodeClassifier(**QUICK).fit(np.ones((6, 2)), ["a", "b"] * 3)
