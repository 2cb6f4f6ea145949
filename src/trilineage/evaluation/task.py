"""What a baseline may see: labels and patients of the training part, and which samples it must predict."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction
from trilineage.data.cohort import Cohort
from trilineage.data.splits import Split


@dataclass(frozen=True)
class Task:
    """Samples to learn from and samples to predict, in one table."""

    samples: Shaped[np.ndarray, " sample"]
    """Sample names (str)."""
    patients: Shaped[np.ndarray, " sample"]
    """Patient of each sample (str)."""
    labels: Int[np.ndarray, " sample"]
    """Class index of each sample; those of the test samples are only copied into the prediction."""
    classes: tuple[str, ...]
    """Class names."""
    train: Int[np.ndarray, " train"]
    """Positions to learn from."""
    test: Int[np.ndarray, " test"]
    """Positions to predict."""

    @classmethod
    def of(cls, cohort: Cohort, split: Split, *, labels: Int[np.ndarray, " sample"] | None = None) -> Self:
        """Take the task from a split; validation patients train too, since baselines have no early stopping.

        Parameters
        ----------
        cohort, split
            The samples and the part of each.
        labels
            Class indices in place of the cohort's (permuted ones, for the null).
        """
        return cls(
            samples=cohort.samples,
            patients=cohort.patients,
            labels=cohort.label_codes if labels is None else labels,
            classes=cohort.classes,
            train=np.flatnonzero(np.isin(split.parts, ("train", "valid"))),
            test=split.positions("test"),
        )

    @cached_property
    def used(self) -> Int[np.ndarray, " used"]:
        """Positions of the samples in either part, ascending."""
        return np.union1d(self.train, self.test)

    @cached_property
    def patient_names(self) -> Shaped[np.ndarray, " patient"]:
        """Patients of the used samples, sorted: the rows of every patient table."""
        return np.unique(self.patients[self.used])

    @cached_property
    def used_patients(self) -> Int[np.ndarray, " used"]:
        """Index into `patient_names` of each used sample."""
        return np.searchsorted(self.patient_names, self.patients[self.used]).astype(np.int64)

    @cached_property
    def train_patients(self) -> Int[np.ndarray, " train_patient"]:
        """Rows of the training patients."""
        return np.unique(np.searchsorted(self.patient_names, self.patients[self.train])).astype(np.int64)

    @cached_property
    def train_patient_labels(self) -> Int[np.ndarray, " train_patient"]:
        """Class index of each training patient.

        Raises
        ------
        CohortError
            A training patient carries several labels: a model of patients has nothing to learn.
        """
        names, first, codes = np.unique(self.patients[self.train], return_index=True, return_inverse=True)
        labels = self.labels[self.train]
        several = np.unique(codes[labels != labels[first][codes]])
        if len(several):
            raise CohortError(
                "a model of patients needs one label per patient",
                seen=", ".join(map(str, names[several][:8])),
                allowed="one label per patient",
                remedy="use the baselines of samples (majority, PCA + logistic)",
            )
        return labels[first]

    def has_patient_labels(self) -> bool:
        """Whether every used patient carries one label, so that models of patients apply."""
        pairs = np.stack([self.used_patients, self.labels[self.used]], axis=1)
        return len(np.unique(pairs, axis=0)) == len(self.patient_names)

    def predict_samples(self, probabilities: Float[np.ndarray, "test class"]) -> Prediction:
        """Wrap the probabilities of the test samples."""
        return Prediction(
            samples=self.samples[self.test],
            patients=self.patients[self.test],
            classes=self.classes,
            probabilities=probabilities,
            labels=self.labels[self.test],
        )

    def predict_patients(self, probabilities: Float[np.ndarray, "patient class"]) -> Prediction:
        """Give each test sample the probabilities of its patient."""
        rows = np.searchsorted(self.patient_names, self.patients[self.test])
        return self.predict_samples(probabilities[rows])
