"""The disease classifier of the rna lineage as an estimator: latents or features in, calibrated probabilities out."""

from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from trilineage.core.seeding import derive_seed
from trilineage.estimators.inputs import (
    Column,
    Table,
    checked_features,
    checked_rows,
    float32,
    quietly,
    seed_of,
    validation_rows,
)
from trilineage.evaluation.calibration import apply_temperature, fit_temperature
from trilineage.models.classifiers import Classifier, ClassifierSettings
from trilineage.training.diagnosis import DiagnoserSettings, Labelled, classify, fit_classifier
from trilineage.training.distributed import choose_device
from trilineage.training.place import Place
from trilineage.training.randomness import preserved_generators
from trilineage.training.settings import TrainingSettings


class DiseaseClassifier(ClassifierMixin, BaseEstimator):
    """Tell diseases from latents or expression features of samples, with patients as the unit.

    The classifier of `trilineage rna fit` on features that exist: standardised, weighted so that classes and the
    patients inside them count the same, stopped early and calibrated by one temperature on patients held out inside
    `fit`.

    Parameters
    ----------
    kind
        `logistic`, `feedforward`, `transformer`, `gcn` or `sign`, as in `models.classifiers.ClassifierSettings`.
    hidden
        Hidden widths.
    dropout
        Share of hidden units left out in training.
    weighting
        `none`, `class`, `donor` or `class_donor`: what counts the same.
    epochs, batch_size, learning_rate, patience
        Training; `patience` epochs without a lower validation loss end it.
    validation_fraction
        Share of the patients held out inside `fit`; 0 trains all epochs and does not calibrate.
    random_state
        Decides everything that is drawn; an integer gives the same numbers again.
    device
        `auto`, `cpu`, `cuda`, `cuda:N`; predictions are made on the CPU.

    Attributes
    ----------
    classes_
        Labels that occurred, sorted.
    classifier_
        The fitted `models.classifiers.Classifier`.
    temperature_
        Divisor of the logits; 1 where nothing was calibrated.
    n_iter_
        Epochs trained.
    """

    def __init__(  # noqa: PLR0913  (scikit-learn reads the options of an estimator from here)
        self,
        kind: Any = "feedforward",
        *,
        hidden: Any = (128,),
        dropout: Any = 0.1,
        weighting: Any = "class_donor",
        epochs: Any = 100,
        batch_size: Any = 256,
        learning_rate: Any = 1e-3,
        patience: Any = 15,
        validation_fraction: Any = 0.2,
        random_state: Any = 0,
        device: Any = "auto",
    ):
        self.kind = kind
        self.hidden = hidden
        self.dropout = dropout
        self.weighting = weighting
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(self, X: Table, y: Column, *, patients: Column = None) -> Self:  # noqa: N803
        """Learn from features.

        Parameters
        ----------
        X
            Samples x features.
        y
            Label of each sample.
        patients
            Patient of each sample (what scikit-learn calls groups): kept whole where samples are held out, and given
            the same weight. None takes every sample as a patient of its own.

        Raises
        ------
        ValueError
            For inputs that scikit-learn refuses, and for one class.
        ConfigError
            For options that cannot work.
        CohortError
            If patients with several labels cannot be divided.
        """
        rows = checked_rows(self, X, y, patients)
        seed = seed_of(self.random_state)
        is_valid = validation_rows(rows.labels, rows.patients, share=self.validation_fraction, seed=seed)
        features = float32(rows.features)
        learn, valid = (
            Labelled(features[part], rows.labels[part], rows.patients[part]) for part in (~is_valid, is_valid)
        )
        place = Place(derive_seed(seed, "disease classifier"), choose_device(self.device))
        with preserved_generators(), quietly():
            classifier, history = fit_classifier(
                learn, valid, len(rows.classes), settings=self._settings(), place=place
            )
        self.classes_ = rows.classes
        self.classifier_ = _exact(classifier.cpu())
        self.temperature_ = (
            fit_temperature(_logits(self.classifier_, rows.features[is_valid]), valid.labels, valid.patients)
            if is_valid.any()
            else 1.0
        )
        self.n_iter_ = len(history.epochs)
        return self

    def predict_proba(self, X: Table) -> Float[np.ndarray, "sample class"]:  # noqa: N803
        """Return calibrated probabilities that sum to 1 over `classes_`."""
        check_is_fitted(self)
        return apply_temperature(_logits(self.classifier_, checked_features(self, X)), self.temperature_)

    def predict(self, X: Table) -> Shaped[np.ndarray, " sample"]:  # noqa: N803
        """Return the most probable label of each sample."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def _settings(self) -> DiagnoserSettings:
        training = TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patience=self.patience,
        )
        shape = {"kind": self.kind, "hidden": tuple(self.hidden), "dropout": self.dropout}
        return DiagnoserSettings(
            classifier=ClassifierSettings(**shape), classifier_training=training, weighting=self.weighting
        )


def _exact(classifier: Classifier) -> Classifier:
    """Return the classifier in double precision, so that a prediction does not depend on what it is made with."""
    return classifier if classifier.reference is not None else classifier.double()


def _logits(
    classifier: Classifier, features: Float[np.ndarray, "sample feature"]
) -> Float[np.ndarray, "sample class"]:
    """Return uncalibrated logits in the precision of the classifier."""
    if classifier.reference is not None:
        return classify(classifier, float32(features))
    with torch.no_grad():
        logits: np.ndarray = classifier(torch.from_numpy(np.array(features))).numpy()
    return logits
