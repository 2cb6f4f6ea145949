"""The sample table: who each sample belongs to, its label and its site, checked once at the door."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped

from trilineage.core.errors import CohortError, ColumnError

SHOWN_NAMES = 8
"""How many names an error message lists before it says how many more there are."""


@dataclass(frozen=True)
class Cohort:
    """Samples (cells or bulk samples) with their patient and label, one row each, in the order of the data."""

    samples: Shaped[np.ndarray, " sample"]
    """Sample names (str)."""
    patients: Shaped[np.ndarray, " sample"]
    """Patient (donor) of each sample (str): the unit of splits, scores and intervals."""
    labels: Shaped[np.ndarray, " sample"]
    """Label of each sample (str)."""
    classes: tuple[str, ...]
    """Labels that occur, sorted; the order of every probability column."""
    sites: Shaped[np.ndarray, " sample"] | None = None
    """Study, hospital or batch of each sample (str), for leave-one-site-out."""
    content: Shaped[np.ndarray, " sample"] | None = None
    """Hash of what was measured in each sample (str); an empty string is not compared."""
    note: str = ""
    """What a reader should know about the table, or nothing."""

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self._columns().values()}
        if len(lengths) > 1:
            raise CohortError(
                "the columns of the sample table differ in length",
                seen={name: len(column) for name, column in self._columns().items()},
                allowed="one value per sample in each",
                remedy="take all columns from the same table",
            )
        unknown = sorted(set(np.unique(self.labels).tolist()) - set(self.classes))
        if unknown:
            raise CohortError(
                "labels that are no class of this cohort",
                seen=shown(unknown),
                allowed=shown(self.classes),
                remedy="add them to the classes or drop their samples",
            )

    @classmethod
    def from_table(
        cls,
        obs: pd.DataFrame,
        *,
        label: str,
        patient: str | None,
        site: str | None = None,
        content: str | Shaped[np.ndarray, " sample"] | None = None,
    ) -> Self:
        """Read and check the columns of a sample table.

        Parameters
        ----------
        obs
            One row per sample; the index names the samples.
        label, patient, site
            Column names. `patient=None` takes each sample as its own patient and says so in `note`.
        content
            Column name, or one hash per sample, of what was measured.

        Raises
        ------
        ColumnError
            A column is absent (the columns there are, are named) or holds missing values (they are counted).
        CohortError
            Fewer than two classes, labels that equal the patients, or one patient in each class.
        """
        labels = _column(obs, label, "label")
        samples = obs.index.astype(str).to_numpy(dtype=str)
        patients = samples if patient is None else _column(obs, patient, "patient")
        notes = ["no patient column: each sample counts as its own patient"] if patient is None else []
        if len(np.unique(samples)) < len(samples):
            notes.append("sample names are not unique")
        cohort = cls(
            samples=samples,
            patients=patients,
            labels=labels,
            classes=tuple(np.unique(labels).tolist()),
            sites=None if site is None else _column(obs, site, "site"),
            content=_column(obs, content, "content") if isinstance(content, str) else content,
            note="; ".join(notes),
        )
        cohort._refuse_empty_questions(label, patient)
        return cohort

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def label_codes(self) -> Int[np.ndarray, " sample"]:
        """Index into `classes` per sample."""
        order = np.argsort(self.classes)
        return order[np.searchsorted(np.asarray(self.classes)[order], self.labels)].astype(np.int64)

    @cached_property
    def patient_names(self) -> Shaped[np.ndarray, " patient"]:
        """The patients, sorted, each once."""
        return np.unique(self.patients)

    @cached_property
    def patient_codes(self) -> Int[np.ndarray, " sample"]:
        """Index into `patient_names` per sample."""
        return np.searchsorted(self.patient_names, self.patients).astype(np.int64)

    @cached_property
    def label_counts(self) -> Int[np.ndarray, "patient class"]:
        """Samples of each patient in each class."""
        shape = (len(self.patient_names), len(self.classes))
        flat = np.ravel_multi_index((self.patient_codes, self.label_codes), shape)
        return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)

    def patient_labels(self) -> dict[str, str] | None:
        """Return the label of each patient, or None where a patient has several (no patient-level scores then)."""
        if ((self.label_counts > 0).sum(axis=1) > 1).any():
            return None
        codes = self.label_counts.argmax(axis=1)
        return {str(name): self.classes[code] for name, code in zip(self.patient_names, codes, strict=True)}

    def subset(self, positions: Int[np.ndarray, " chosen"]) -> "Cohort":
        """Return the samples at `positions`, with the same classes even where one has no sample left."""
        columns = {name: column[positions] for name, column in self._columns().items()}
        return Cohort(**columns, classes=self.classes, note=self.note)

    def classes_with(self, minimum: int) -> tuple[str, ...]:
        """Return the classes that have at least `minimum` patients."""
        enough = (self.label_counts > 0).sum(axis=0) >= minimum
        return tuple(name for name, is_enough in zip(self.classes, enough, strict=True) if is_enough)

    def positions_of(self, classes: tuple[str, ...]) -> Int[np.ndarray, " chosen"]:
        """Return the positions of the samples whose label is one of `classes`."""
        return np.flatnonzero(np.isin(self.labels, classes))

    def restricted_to(self, classes: tuple[str, ...]) -> "Cohort":
        """Return the samples of `classes` only, and these as the only classes.

        Raises
        ------
        CohortError
            Fewer than two classes are left.
        """
        names = tuple(name for name in self.classes if name in classes)
        if len(names) < 2:
            raise CohortError(
                "too few classes are left",
                seen=shown(names) or "none",
                allowed="at least 2 classes",
                remedy="keep more of the classes: " + shown(self.classes),
            )
        kept = self.subset(self.positions_of(classes))
        return Cohort(**kept._columns(), classes=names, note=self.note)

    def class_table(self) -> list[dict[str, str | int]]:
        """Return label, n_patients and n_samples of each class."""
        n_patients = (self.label_counts > 0).sum(axis=0)
        n_samples = self.label_counts.sum(axis=0)
        return [
            {"label": name, "n_patients": int(n_patients[code]), "n_samples": int(n_samples[code])}
            for code, name in enumerate(self.classes)
        ]

    def require_patients(
        self, minimum: int, *, remedy: str = "add patients, join these classes with others or leave them out"
    ) -> None:
        """Refuse a class with fewer than `minimum` patients.

        Raises
        ------
        CohortError
            Names the classes concerned with the number of their patients.
        """
        n_patients = (self.label_counts > 0).sum(axis=0).tolist()
        few = [f"{name}: {n}" for name, n in zip(self.classes, n_patients, strict=True) if n < minimum]
        if few:
            raise CohortError(
                "classes with too few patients",
                seen=", ".join(few),
                allowed=f"at least {minimum} patients in each class",
                remedy=remedy,
            )

    def _columns(self) -> dict[str, np.ndarray]:
        names = ("samples", "patients", "labels", "sites", "content")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def _refuse_empty_questions(self, label: str, patient: str | None) -> None:
        if len(self.classes) < 2:
            raise CohortError(
                f"column '{label}' holds one class only",
                seen=shown(self.classes),
                allowed="at least 2 classes",
                remedy="choose another label column",
            )
        n_patients = (self.label_counts > 0).sum(axis=0)
        if label == patient or (n_patients == 1).all():
            counts = ", ".join(
                f"{row['label']}: {row['n_patients']}" for row in self.class_table()[:SHOWN_NAMES]
            )
            raise CohortError(
                f"one patient per class: label '{label}' cannot be told from the patient",
                seen=f"patients per class: {counts}",
                allowed="at least 2 patients in each class",
                remedy="choose another label column, or another patient column",
            )


def shown(names: object, limit: int = SHOWN_NAMES) -> str:
    """Return the first names, joined, and how many more there are."""
    every = [str(name) for name in names]  # type: ignore[attr-defined]
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def _column(obs: pd.DataFrame, name: str, role: str) -> Shaped[np.ndarray, " sample"]:
    if name not in obs.columns:
        raise ColumnError(
            f"no {role} column '{name}' in the sample table",
            seen=name,
            allowed=shown(obs.columns, limit=40) or "no columns at all",
            remedy=f"name the {role} column",
        )
    values = obs[name]
    is_missing = values.isna().to_numpy() | (values.astype(str).str.strip() == "").to_numpy()
    if is_missing.any():
        raise ColumnError(
            f"{role} column '{name}' has missing values",
            seen=f"{int(is_missing.sum())} of {len(values)} samples",
            allowed="a value for every sample",
            remedy="drop these samples or fill them in",
        )
    return values.astype(str).to_numpy(dtype=str)
