"""What every estimator does with its inputs: check them as scikit-learn does, and keep whole patients apart.

The options of an estimator are annotated as Any: scikit-learn sets and copies them unseen, and `fit` checks them, by
the `Settings` that it makes of them.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from trilineage.core.progress import quietly as quietly
from trilineage.data.cohort import Cohort
from trilineage.data.splits import training_only

Table = Any
"""What scikit-learn takes for X: a numpy array, a data frame, nested lists."""
Column = Any
"""What scikit-learn takes for y: anything with one value per row."""


class Rows(NamedTuple):
    """Rows to learn from."""

    features: Any
    """One row per sample, float64; sparse where the estimator takes sparse matrices."""
    labels: Int[np.ndarray, " sample"]
    """Index into the classes."""
    patients: Shaped[np.ndarray, " sample"]
    """Patient of each row (str)."""
    classes: Shaped[np.ndarray, " class"]
    """Labels that occur, sorted, as they came."""


def checked_rows(estimator: Any, features: Table, labels: Column, patients: Column, **checks: Any) -> Rows:
    """Return what `fit` was given, checked; the estimator learns the number and the names of its features.

    Parameters
    ----------
    estimator
        Whose `fit` was called.
    features, labels, patients
        As the user gave them; patients may be None, and then every row is a patient of its own.
    checks
        For `sklearn.utils.validation.validate_data`, such as `accept_sparse`.

    Raises
    ------
    ValueError
        For whatever scikit-learn refuses, one class only, and patients that are not as many as rows.
    """
    checks = {"dtype": np.float64, "ensure_min_samples": 2, **checks}
    features, labels = validate_data(estimator, features, labels, **checks)
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} cannot learn from one class; seen: {classes[0]!r}; allowed: at least 2"
            " classes. Add samples of another class."
        )
    return Rows(features, codes.astype(np.int64), _names(patients, len(codes)), classes)


def checked_features(estimator: Any, features: Table, **checks: Any) -> Any:
    """Return what `predict` was given, checked against what `fit` was given."""
    return validate_data(estimator, features, reset=False, **{"dtype": np.float64, **checks})


def validation_rows(
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    *,
    share: float,
    seed: int,
) -> Bool[np.ndarray, " sample"]:
    """Choose the rows of some whole patients of every class, to stop training and to calibrate by.

    A class with one patient has none; with a share of 0 there are none at all.
    """
    if share == 0.0:
        return np.zeros(len(labels), dtype=bool)
    names = labels.astype(str)
    cohort = Cohort(
        samples=np.arange(len(labels)).astype(str),
        patients=patients,
        labels=names,
        classes=tuple(np.unique(names).tolist()),
    )
    is_valid: np.ndarray = training_only(cohort, valid_fraction=share, seed=seed).parts == "valid"
    return is_valid


def seed_of(random_state: Any) -> int:
    """Return the number that every generator is derived from; a RandomState is drawn from, as scikit-learn does."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(2**31 - 1))


def float32(features: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, "sample feature"]:
    """Return a copy that a network may learn from."""
    return np.array(features, dtype=np.float32, order="C")


def _names(patients: Column, n_rows: int) -> Shaped[np.ndarray, " sample"]:
    if patients is None:
        return np.arange(n_rows).astype(str)
    checked = check_array(patients, ensure_2d=False, dtype=None, ensure_all_finite=False)
    check_consistent_length(checked, np.arange(n_rows))
    return np.asarray(checked).reshape(n_rows).astype(str)
