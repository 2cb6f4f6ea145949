"""Which Runs can be compared patient by patient: what each keeps of its held-out patients, and whether that fits.

Two Runs are paired where both foretold the same patients, with the same diagnoses and among the same classes. The data
need not be the same file: expression and images of the same patients are paired too. Where the files differ, though,
equal names prove nothing: half of the patients of each Run at least must be shared, and the page says what was assumed.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError
from trilineage.core.records import Comparison, Prediction, Score
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.intervals import aggregate_patients, labelled
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.report.concept_results import OUT_OF_FOLD, out_of_fold

PREDICTIONS = "predictions.npz"
MIN_PATIENTS = 2
LEAST_SHARED = 0.5
"""Share of the patients of each Run that must be shared where the data differ."""


@dataclass(frozen=True)
class Entry:
    """A Run that takes part, with what it says of held-out patients."""

    name: str
    """What it is called here; no two are called the same."""
    run: Run
    """The Run."""
    prediction: Prediction | None
    """One row per patient who has a diagnosis, sorted by name; None if the Run keeps no predictions."""
    lacks: str = ""
    """Why there are none."""
    file: str = ""
    """File of the Run that holds them."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data, or nothing where it was not kept."""
        return str((self.run.manifest.get("data") or {}).get("sha256") or "")


class Pair(NamedTuple):
    """Two Runs beside each other."""

    first: str
    """Name of the first."""
    second: str
    """Name of the second."""
    comparisons: tuple[Comparison, ...]
    """Paired differences, first minus second; none where they cannot be paired."""
    n_patients: int
    """Patients behind the differences."""
    note: str
    """Why they cannot be paired, or what to know about the pairing."""
    is_assumed: bool = False
    """Whether it was assumed that patients of the same name are the same people: the data differ."""


@dataclass(frozen=True)
class Beside:
    """Everything the page says."""

    entries: tuple[Entry, ...]
    """The Runs, in the order given."""
    scores: tuple[Score, ...]
    """Scores per patient of the Runs that keep predictions, all computed alike; subject is the name of the Run."""
    pairs: tuple[Pair, ...]
    """Every pair, also those that cannot be compared."""
    settings: EvaluationSettings
    """Metrics, level and resamples behind scores and differences."""

    def by_name(self, name: str) -> Entry:
        """Return a Run by what it is called here."""
        return next(one for one in self.entries if one.name == name)


def entry(name: str, run: Run) -> Entry:
    """Return a Run with its predictions, one row per patient."""
    file = next((file for file in (PREDICTIONS, OUT_OF_FOLD) if run.has(file)), "")
    if not file:
        return Entry(name, run, None, f"{name} keeps no predictions of patients")
    prediction = run.predictions() if file == PREDICTIONS else out_of_fold(run)
    try:
        return Entry(name, run, aggregate_patients(labelled(prediction)[0]), file=file)
    except CohortError as error:
        return Entry(name, run, None, f"{name}: {error.what}", file)


def compared(first: Entry, second: Entry, settings: EvaluationSettings, *, seed: int = 0) -> Pair:
    """Compare two Runs on the patients both were tested on, or say why that is not possible.

    Differences are those of `trilineage.evaluation.comparison`: the same patients are resampled for both, and the
    p-value swaps the two Runs patient by patient. One observation is a patient: the mean over the samples.
    """
    one, other = first.prediction, second.prediction
    if one is None or other is None:
        return Pair(first.name, second.name, (), 0, f"{first.lacks or second.lacks}.")
    reason = _misfit(first, second)
    if reason:
        return Pair(first.name, second.name, (), 0, reason)
    shared, rows, others = np.intersect1d(one.patients, other.patients, return_indices=True)
    pair = _picked(one, rows), _picked(_in_order_of(other, one.classes), others)
    names = (first.name, second.name)
    found = compare_predictions(*pair, names=names, unit="patient", settings=settings, seed=seed)
    is_assumed = not _is_same_file(first, second)
    return Pair(*names, tuple(found), len(shared), _remark(first, second, len(shared)), is_assumed)


def _misfit(first: Entry, second: Entry) -> str:
    """Say why two Runs with predictions cannot be paired; nothing if they can."""
    one, other = first.prediction, second.prediction
    assert one is not None
    assert other is not None
    if set(one.classes) != set(other.classes):
        return f"They tell different classes apart: {', '.join(one.classes)}; {', '.join(other.classes)}."
    shared, rows, others = np.intersect1d(one.patients, other.patients, return_indices=True)
    if len(shared) < MIN_PATIENTS:
        sizes = f"{len(one.patients):,} and {len(other.patients):,}, {len(shared)} shared"
        return f"They were tested on different patients: {sizes}."
    n_differing = int((_called(one)[rows] != _called(other)[others]).sum())
    if n_differing:
        share = f"{n_differing:,} of {len(shared):,} shared patients"
        return f"{share} have another diagnosis in {second.name} than in {first.name}."
    is_rarely_shared = len(shared) < LEAST_SHARED * max(len(one.patients), len(other.patients))
    if is_rarely_shared and not _is_same_file(first, second):
        sizes = f"{len(one.patients):,} and {len(other.patients):,}, {len(shared):,} of the same name"
        return (
            f"The data differ and so do the patients tested ({sizes}): equal names may be different people."
        )
    return ""


def _remark(first: Entry, second: Entry, n_shared: int) -> str:
    """Say what to know about a pairing that is possible."""
    assert first.prediction is not None
    assert second.prediction is not None
    remarks = []
    if not _is_same_file(first, second):
        remarks.append(
            "The data differ: patients of the same name and diagnosis are taken for the same people."
        )
    sizes = len(first.prediction.patients), len(second.prediction.patients)
    if set(sizes) != {n_shared}:
        remarks.append(
            f"Compared on {n_shared:,} patients tested by both (of {sizes[0]:,} and {sizes[1]:,})."
        )
    return " ".join(remarks)


def _is_same_file(first: Entry, second: Entry) -> bool:
    return bool(first.fingerprint) and first.fingerprint == second.fingerprint


def _called(prediction: Prediction) -> np.ndarray:
    return np.array(prediction.classes)[prediction.labels]


def _picked(prediction: Prediction, rows: Int[np.ndarray, " patient"]) -> Prediction:
    assert prediction.labels is not None
    names = prediction.patients[rows].astype(str)
    return replace(
        prediction,
        samples=names,
        patients=names,
        probabilities=prediction.probabilities[rows],
        labels=prediction.labels[rows],
    )


def _in_order_of(prediction: Prediction, classes: tuple[str, ...]) -> Prediction:
    """Return the same prediction with its classes in another order."""
    places = [prediction.classes.index(name) for name in classes]
    new_code = np.argsort(places)
    assert prediction.labels is not None
    return replace(
        prediction,
        classes=classes,
        probabilities=prediction.probabilities[:, places],
        labels=new_code[prediction.labels],
    )
