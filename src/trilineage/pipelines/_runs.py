"""What the Runs of every recipe share: how one begins and ends, its fits and their names, which weights predict."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Prediction
from trilineage.data.splits import Split
from trilineage.evaluation.intervals import aggregate_patients, pool_predictions
from trilineage.models.run_weights import FINAL as FINAL
from trilineage.models.run_weights import fold_name as fold_name
from trilineage.models.run_weights import prediction_weights as prediction_weights
from trilineage.training.distributed import main_process_first
from trilineage.training.place import Place

FoldType = TypeVar("FoldType")

VALIDATION = "validation"
"""Name of the predictions of the validation samples."""

UNLIKE = "unlike_training.csv"
"""Table of how far the validation and test patients lie from the training patients (`evaluation.patient_novelty`)."""

logger = logging.getLogger(__name__)


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


def is_done(run: Run) -> bool:
    """Return whether the Run that was opened is finished, and say so."""
    if run.is_complete:
        logger.info("%s is complete; nothing to do", run.path)
    return run.is_complete


def fit_splits(
    splits: Sequence[Split],
    place: Place,
    fit_split: Callable[[Split, Place], FoldType],
    *,
    whole: Callable[[], Split],
) -> list[FoldType]:
    """Fit inside every split; where there are several, once more on everyone, whose model is kept."""
    folds = [fit_split(split, place.stage(fold_name(number))) for number, split in enumerate(splits)]
    if len(splits) > 1:
        fit_split(whole(), place.stage(FINAL))
    return folds


def finish_run(run: Run, place: Place, write: Callable[[], object]) -> Run:
    """Let one process write the results, close the Run and remove its checkpoints; the others wait for it."""
    with main_process_first(place.processes):
        if place.processes.is_main:
            write()
            run.finish()
            shutil.rmtree(run.checkpoints_dir, ignore_errors=True)
    return Run.open(run.path)


def write_validation(run: Run, predictions: Mapping[str, Prediction]) -> None:
    """Write what the models of each split say of its validation samples to `validation.npz`.

    `folds` in the same file names the split of each sample. Where nobody validates nothing is written.
    """
    found = {name: prediction for name, prediction in predictions.items() if len(prediction.samples)}
    if found:
        folds = np.repeat(list(found), [len(prediction.samples) for prediction in found.values()])
        run.write_predictions(pool_predictions(list(found.values())), VALIDATION, folds=folds)


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
