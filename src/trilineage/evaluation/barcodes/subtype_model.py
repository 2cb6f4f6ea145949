"""Logistic regression on the features of patients: the scikit-learn pipeline, and the fitted model as plain arrays."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeAlias

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int, Num
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from trilineage.core.errors import ArtifactError, CohortError, MatrixError
from trilineage.data.barcodes.barcode import Weighting

MAX_ITERATIONS, TOLERANCE = 1000, 1e-6
_TINY = 1e-10
"""Share of the largest eigenvalue below which a direction is rounding."""

Features: TypeAlias = Any
"""Numbers of patients (patient feature): a numpy array or a `scipy.sparse.csr_array`."""


class RowSpace(TransformerMixin, BaseEstimator):
    """Coordinates of rows in the space that the training rows span, divided by the root of the number of features.

    A regression with an L2 penalty has its weights in that space, so it finds the same model in at most as many
    coordinates as there are patients: the representer theorem (Kimeldorf and Wahba 1971) for the linear kernel.
    """

    def fit(self, rows: Float[np.ndarray, "row feature"], _labels: object = None) -> Self:
        """Find the directions of the rows, which must be centred."""
        values, vectors = np.linalg.eigh(rows @ rows.T)
        is_kept = values > _TINY * max(float(values.max()), np.finfo(np.float64).tiny)
        scale = np.sqrt(values[is_kept])
        self.directions_ = rows.T @ (vectors[:, is_kept] / scale) / np.sqrt(rows.shape[1])
        return self

    def transform(self, rows: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row direction"]:
        """Return the coordinates."""
        return rows @ self.directions_


@dataclass(frozen=True)
class SubtypeModel:
    """A fitted regression on the features as they come: log-odds of a class are a sum over features."""

    classes: tuple[str, ...]
    """Class names."""
    features: Int[np.ndarray, " used"]
    """Columns that vary in training."""
    mean: Float[np.ndarray, " used"]
    """Their mean in training, after the weighting."""
    scale: Float[np.ndarray, " used"]
    """Their standard deviation."""
    coefficients: Float[np.ndarray, "class used"]
    """Change of a class's logit per standard deviation; sum to 0 over class."""
    intercepts: Float[np.ndarray, " class"]
    """Logits of the mean patient."""
    inverse_penalty: float
    """C that was chosen."""
    n_features: int
    """Columns there were, those that do not vary included."""
    idf: Float[np.ndarray, " used"] | None = None
    """Inverse frequencies among the training patients, where the weighting is tf-idf."""
    weighting: Weighting = "mean"
    """What is done to the features first."""

    def probabilities(self, features: Features) -> Float[np.ndarray, "patient class"]:
        """Return probabilities that sum to 1 over class."""
        return softmax(self.standardised(features) @ self.coefficients.T + self.intercepts, axis=1)

    def contributions(self, features: Features) -> Float[np.ndarray, "patient class used"]:
        """Return what each feature adds to the logit of each class, relative to the mean patient."""
        return self.standardised(features)[:, None, :] * self.coefficients[None]

    def standardised(self, features: Features) -> Float[np.ndarray, "patient used"]:
        """Return the used features, weighted and standardised as in training.

        Raises
        ------
        ArtifactError
            If there is another number of features than in training.
        MatrixError
            If they are no numbers.
        """
        if features.shape[1] != self.n_features:
            raise ArtifactError(
                "features of another encoder or dictionary than the model was trained on",
                seen=f"{features.shape[1]:,} features",
                allowed=f"{self.n_features:,}",
                remedy="make the features as those of the training patients were made",
            )
        require_finite(features)
        return (weighted(features, self.weighting, self.features, self.idf) - self.mean) / self.scale

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything, by name."""
        names = [field.name for field in fields(self) if field.name not in ("classes", "idf")]
        arrays = {name: np.asarray(getattr(self, name)) for name in names}
        return arrays | {"classes": np.array(self.classes)} | ({} if self.idf is None else {"idf": self.idf})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the model that `to_arrays` was called on."""
        values: dict[str, Any] = {
            name: array.item() if array.ndim == 0 else array for name, array in arrays.items()
        }
        return cls(**values | {"classes": tuple(arrays["classes"].tolist())})


class FitPath:
    """Regressions of one set of training patients under several penalties; everything but the penalty is done once.

    Parameters
    ----------
    features
        Numbers of the training patients.
    labels
        Class index of each.
    classes
        Class names; those absent from `labels` get probability 0.
    weighting, is_class_balanced
        As in `SubtypeSettings`.
    """

    def __init__(
        self,
        features: Features,
        labels: Int[np.ndarray, " patient"],
        classes: Sequence[str],
        *,
        weighting: Weighting,
        is_class_balanced: bool,
    ):
        self.classes, self.weighting = tuple(classes), weighting
        self.used, self.n_features = varying(features), int(features.shape[1])
        self.idf = _inverse_frequencies(features, self.used) if weighting == "tf-idf" else None
        self.labels, self.present = labels, np.unique(labels)
        self.rows = weighted(features, weighting, self.used, self.idf)
        self.steps = Pipeline([("scale", StandardScaler()), ("span", RowSpace())])
        self.coordinates = self.steps.fit_transform(self.rows)
        self._regression = LogisticRegression(
            class_weight="balanced" if is_class_balanced else None,
            tol=TOLERANCE,
            max_iter=MAX_ITERATIONS,
            warm_start=True,
        )

    def pipeline(self, inverse_penalty: float) -> Pipeline:
        """Return the fitted scikit-learn pipeline for one penalty, on the weighted features of at least two classes."""
        self._regression.set_params(C=inverse_penalty)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # ending early only adds to a weak penalty
            self._regression.fit(self.coordinates, self.labels)
        return Pipeline([*self.steps.steps, ("regression", self._regression)])

    def sweep(
        self, features: Features, inverse_penalties: Sequence[float]
    ) -> Float[np.ndarray, "penalty patient class"]:
        """Return the probabilities of other patients under each penalty; ascending C is fastest."""
        rows = self.steps.transform(weighted(features, self.weighting, self.used, self.idf))
        said = np.zeros((len(inverse_penalties), features.shape[0], len(self.classes)))
        for place, inverse_penalty in enumerate(inverse_penalties):
            weights, offsets = self._solve(inverse_penalty)
            said[place][:, self.present] = softmax(rows @ weights.T + offsets, axis=1)
        return said

    def model(self, inverse_penalty: float) -> SubtypeModel:
        """Return the fitted model for one penalty, in the features as they come."""
        scaler, span = self.steps["scale"], self.steps["span"]
        weights, offsets = self._solve(inverse_penalty)
        coefficients = np.zeros((len(self.classes), len(self.used)))
        intercepts = np.full(len(self.classes), -np.inf)
        coefficients[self.present], intercepts[self.present] = weights @ span.directions_.T, offsets
        return SubtypeModel(
            classes=self.classes,
            features=self.used,
            mean=scaler.mean_,
            scale=scaler.scale_,
            coefficients=coefficients,
            intercepts=intercepts,
            inverse_penalty=inverse_penalty,
            n_features=self.n_features,
            idf=self.idf,
            weighting=self.weighting,
        )

    def _solve(
        self, inverse_penalty: float
    ) -> tuple[Float[np.ndarray, "present direction"], Float[np.ndarray, " present"]]:
        """Return weights and offsets of the classes that occur."""
        if len(self.present) == 1:
            return np.zeros((1, self.coordinates.shape[1])), np.zeros(1)
        fitted = self.pipeline(inverse_penalty)["regression"]
        return _every_class(fitted.coef_, fitted.intercept_)


def varying(features: Features) -> Int[np.ndarray, " used"]:
    """Return the columns that are not the same in all rows.

    Raises
    ------
    MatrixError
        If values are no numbers; the first row concerned is named.
    CohortError
        If no column varies.
    """
    require_finite(features)
    if sp.issparse(features):
        highest, lowest = (
            np.asarray(side(axis=0).todense()).ravel() for side in (features.max, features.min)
        )
        is_used: Bool[np.ndarray, " feature"] = highest > lowest
    else:
        is_used = features.max(axis=0) > features.min(axis=0)
    if not is_used.any():
        raise CohortError(
            "all patients have the same features",
            seen=f"{features.shape[1]} features without variation over {features.shape[0]} patients",
            allowed="at least one feature that varies",
            remedy="lower tau, or look at the encoder",
        )
    return np.flatnonzero(is_used)


def require_finite(features: Features) -> None:
    """Refuse features that are no numbers.

    Raises
    ------
    MatrixError
        Names the first row concerned.
    """
    values = features.data if sp.issparse(features) else features
    if np.isfinite(values).all():
        return
    if sp.issparse(features):
        row = int(np.searchsorted(features.indptr, np.flatnonzero(~np.isfinite(values))[0], side="right")) - 1
    else:
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
    raise MatrixError(
        "features of patients that are no numbers",
        seen=f"NaN or infinity in row {row}",
        allowed="finite numbers",
        remedy="make the features of that patient again, or leave it out",
    )


def weighted(
    features: Features,
    weighting: Weighting,
    columns: Int[np.ndarray, " used"],
    idf: Float[np.ndarray, " used"] | None,
) -> Float[np.ndarray, "patient used"]:
    """Return some columns, dense and weighted."""
    totals = np.asarray(features.sum(axis=1), dtype=np.float64).reshape(-1, 1)
    chosen: Num[np.ndarray, "patient used"]
    chosen = features.tocsc()[:, columns].toarray() if sp.issparse(features) else features[:, columns]
    rows = chosen.astype(np.float64)
    if weighting == "log1p":
        return np.log1p(rows)
    if weighting == "tf-idf":
        assert idf is not None
        return rows / np.where(totals > 0, totals, 1.0) * idf
    return rows


def _inverse_frequencies(features: Features, columns: Int[np.ndarray, " used"]) -> Float[np.ndarray, " used"]:
    n_with = np.asarray((features != 0).sum(axis=0)).ravel()[columns]
    return np.log((1.0 + features.shape[0]) / (1.0 + n_with)) + 1.0


def _every_class(
    coefficients: Float[np.ndarray, "row direction"], intercepts: Float[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, "class direction"], Float[np.ndarray, " class"]]:
    """Return one row per class: scikit-learn gives a single row, the log-odds of the second, where there are two."""
    if len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2.0
        intercepts = np.concatenate([-intercepts, intercepts]) / 2.0
    return coefficients - coefficients.mean(axis=0), intercepts
