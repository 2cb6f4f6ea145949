"""The patient classifier of the concepts lineage as an estimator: barcodes in, probabilities of subtypes out."""

from typing import Any, Self

import numpy as np
from jaxtyping import Float, Shaped
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, check_non_negative

from trilineage.estimators.inputs import Column, Table, checked_features, checked_rows, seed_of
from trilineage.evaluation.barcodes.settings import SubtypeSettings
from trilineage.evaluation.barcodes.subtype import SubtypeFolds, fit_subtypes


class BarcodeClassifier(ClassifierMixin, BaseEstimator):
    """Tell subtypes from the barcodes of patients by a logistic regression whose penalty is chosen inside `fit`.

    That of `trilineage concepts fit` and `concepts subtype`, on barcodes that exist. A row is a patient.

    Parameters
    ----------
    weighting
        `log1p` or `tf-idf` for barcodes, which are never negative; `mean` takes any features as they are.
    inverse_penalties
        Values of C tried, the best by the balanced log-loss on inner folds of patients.
    n_inner_folds
        Number of these folds.
    is_class_balanced
        Whether every class has the same total weight.
    random_state
        Decides the inner folds; an integer gives the same numbers again.

    Attributes
    ----------
    classes_
        Labels that occurred, sorted.
    model_
        The fitted `evaluation.barcodes.subtype_model.SubtypeModel`: coefficients, contributions, arrays to keep.
    inverse_penalty_
        C that was chosen.
    """

    def __init__(
        self,
        weighting: Any = "log1p",
        *,
        inverse_penalties: Any = (0.1, 1.0, 10.0, 100.0, 1000.0),
        n_inner_folds: Any = 4,
        is_class_balanced: Any = True,
        random_state: Any = 0,
    ):
        self.weighting = weighting
        self.inverse_penalties = inverse_penalties
        self.n_inner_folds = n_inner_folds
        self.is_class_balanced = is_class_balanced
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self.weighting != "mean"
        return tags

    def fit(self, X: Table, y: Column, *, patients: Column = None) -> Self:  # noqa: N803
        """Learn from barcodes.

        Parameters
        ----------
        X
            Patients x latents, dense or sparse.
        y
            Label of each row.
        patients
            Patient of each row (what scikit-learn calls groups), where several rows are of one: these stay in one
            inner fold.

        Raises
        ------
        ValueError
            For inputs that scikit-learn refuses, negative barcodes, and one class.
        CohortError
            If no feature varies, or patients with several labels cannot be divided.
        ConfigError
            For options that cannot work.
        """
        rows = checked_rows(self, X, y, patients, accept_sparse="csr")
        if self.weighting != "mean":
            check_non_negative(rows.features, f"{type(self).__name__} with weighting={self.weighting!r}")
        settings = SubtypeSettings(
            n_inner_folds=self.n_inner_folds,
            inverse_penalties=tuple(self.inverse_penalties),
            is_class_balanced=self.is_class_balanced,
            weighting=self.weighting,
        )
        names = tuple(rows.classes.astype(str).tolist())
        everyone = SubtypeFolds(
            rows.patients, rows.labels, names, np.zeros((0, len(rows.labels)), dtype=np.int64)
        )
        self.model_ = fit_subtypes(
            _rows_of(rows.features),
            everyone,
            weighting=settings.weighting,
            settings=settings,
            seed=seed_of(self.random_state),
            owners=rows.patients,
        )
        self.classes_ = rows.classes
        self.inverse_penalty_ = self.model_.inverse_penalty
        return self

    def predict_proba(self, X: Table) -> Float[np.ndarray, "patient class"]:  # noqa: N803
        """Return probabilities that sum to 1 over `classes_`."""
        check_is_fitted(self)
        features = checked_features(self, X, accept_sparse="csr")
        if self.weighting != "mean":
            check_non_negative(features, f"{type(self).__name__} with weighting={self.weighting!r}")
        return self.model_.probabilities(_rows_of(features))

    def predict(self, X: Table) -> Shaped[np.ndarray, " patient"]:  # noqa: N803
        """Return the most probable label of each patient."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


def _rows_of(features: Any) -> Any:
    return sparse.csr_array(features) if sparse.issparse(features) else features
