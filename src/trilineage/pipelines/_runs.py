"""What the Runs of every recipe share: how one begins, the names of its fits, which weights predict."""

from pathlib import Path
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Prediction
from trilineage.evaluation.intervals import aggregate_patients
from trilineage.models.run_weights import FINAL as FINAL
from trilineage.models.run_weights import fold_name as fold_name
from trilineage.models.run_weights import prediction_weights as prediction_weights
from trilineage.training.distributed import main_process_first
from trilineage.training.place import Place


def begin_run(  # noqa: PLR0913  (the fields of a manifest, named where they are given)
    out: Path,
    *,
    kind: str,
    config: Settings,
    seed: int,
    command: str,
    data: dict[str, Any],
    place: Place,
    overwrite: bool = False,
) -> Run:
    """Make the Run, or go on with the one that is there; other processes of the same job wait for the first."""
    with main_process_first(place.processes):
        if place.processes.is_main:
            return Run.create(
                out, kind=kind, config=config, seed=seed, command=command, data=data, overwrite=overwrite
            )
    return Run.open(out, kind=kind)


def patient_table(prediction: Prediction) -> dict[str, list[Any]]:
    """Return the mean probability of each patient as columns of a table."""
    patients, counts = np.unique(prediction.patients, return_counts=True)
    mean = aggregate_patients(prediction)
    called = [prediction.classes[code] for code in mean.probabilities.argmax(axis=1)]
    columns: dict[str, list[Any]] = {"patient": patients.tolist(), "n_samples": counts.tolist()}
    if mean.labels is not None:
        columns["label"] = [prediction.classes[code] if code >= 0 else "" for code in mean.labels]
    columns["predicted"] = called
    for number, name in enumerate(prediction.classes):
        columns[f"probability: {name}"] = mean.probabilities[:, number].tolist()
    return columns
