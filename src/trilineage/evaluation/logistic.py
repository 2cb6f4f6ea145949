"""Logistic regression on standardised features, with every class in its place even if training lacks it."""

import logging
import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from trilineage.evaluation.settings import BaselineSettings

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 2000


class FittedLogistic(NamedTuple):
    """A fitted regression; `model` is None where training held one class only."""

    mean: Float[np.ndarray, " feature"]
    """Mean of each feature in training."""
    scale: Float[np.ndarray, " feature"]
    """Standard deviation of each feature in training; 1 where it is constant."""
    present: Int[np.ndarray, " present"]
    """Class indices that occur in training."""
    n_classes: int
    """Number of probability columns."""
    model: LogisticRegression | None
    """Regression over the classes present."""

    def probabilities(self, features: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row class"]:
        """Return probabilities that sum to 1 over class; 0 for classes that training lacks."""
        result = np.zeros((len(features), self.n_classes))
        if self.model is None:
            result[:, self.present] = 1.0
        elif len(features):
            result[:, self.present] = self.model.predict_proba((features - self.mean) / self.scale)
        return result


def fit_logistic(
    features: Float[np.ndarray, "row feature"],
    labels: Int[np.ndarray, " row"],
    n_classes: int,
    *,
    settings: BaselineSettings,
) -> FittedLogistic:
    """Fit an L2-penalised multinomial logistic regression.

    Parameters
    ----------
    features
        Any finite numbers; standardised here with the mean and standard deviation of these rows.
    labels
        Class index of each row.
    n_classes
        Number of classes, those absent from `labels` included.
    settings
        Penalty and class weights.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    present = np.unique(labels)
    if len(present) < 2:
        return FittedLogistic(mean, scale, present, n_classes, None)
    model = LogisticRegression(
        C=settings.inverse_penalty,
        class_weight="balanced" if settings.is_class_balanced else None,
        max_iter=MAX_ITERATIONS,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit((features - mean) / scale, labels)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        logger.warning("a baseline's logistic regression stopped at %d iterations", MAX_ITERATIONS)
    return FittedLogistic(mean, scale, present, n_classes, model)
