"""Predict new images with the model of a Run: a part at a time to disk, resumable, in memory that hardly grows."""

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError, ImageError
from trilineage.core.files import atomic_path, sha256_bytes, write_atomically
from trilineage.core.manifest import to_json
from trilineage.core.progress import progress
from trilineage.core.records import NodePrediction
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.conformal import Conformal, conformal_sets
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.novelty import Novelty
from trilineage.evaluation.hierarchy.patients import Decided, decide_patients
from trilineage.evaluation.hierarchy.temperatures import apply_node_temperatures
from trilineage.pipelines._image_cohort import reading_settings
from trilineage.pipelines._images.fold import look_at
from trilineage.pipelines._images.scores import patient_rows
from trilineage.pipelines._images.store import KIND, Stored, read_model
from trilineage.pipelines._images.trust import read_conformal, read_novelty
from trilineage.pipelines._runs import prediction_weights
from trilineage.training.distributed import choose_device
from trilineage.training.interruption import interruptible

PART_SIZE = 2048
"""Images of one part: what is lost at most by a kill, and what is held in memory."""

logger = logging.getLogger(__name__)


class Diagnosis(NamedTuple):
    """What `predict` found, and where it lies."""

    prediction: NodePrediction
    """Probabilities of every node for each image that could be read."""
    patients: dict[str, list[Any]]
    """Decision and probabilities of each patient as columns of a table; empty where no patients are known."""
    unreadable: tuple[tuple[str, str], ...]
    """Name of each image that could not be read, and why."""
    path: Path
    """Folder with `predictions.csv`, `patients.csv` and `about.json`."""


@dataclass(frozen=True)
class _Model:
    """Everything that turns pixels into a row of the table."""

    stored: Stored
    """Networks, taxonomy, temperatures."""
    conformal: Conformal | None
    """Threshold of the sets."""
    novelty: Novelty | None
    """What likeness to training is measured from."""
    device: torch.device
    """Where to compute."""
    run_config: str
    """SHA-256 of the configuration of the Run that it is from."""


def predict_to_folder(
    run: Run | Path | str, data: Path, *, out: Path, device: str, options: Mapping[str, Any]
) -> Diagnosis:
    """See `trilineage.images.predict`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    name = prediction_weights(opened)
    chosen = choose_device(device)
    stored = read_model(opened, name, device=chosen)
    own = opened.manifest["config_sha256"]
    model = _Model(stored, read_conformal(opened, name), read_novelty(opened, name), chosen, own)
    table = open_images(reading_settings(stored.config.data, data, options))
    identity = sha256_bytes(
        f"{opened.manifest['files'][f'weights/{name}.safetensors']} {table.fingerprint}".encode()
    )
    parts_dir = _parts_folder(out, identity)
    starts = range(0, len(table), PART_SIZE)
    with interruptible() as interruption, progress("images", len(table), "images") as meter:
        for start in starts:
            positions = np.arange(start, min(start + PART_SIZE, len(table)))
            part = parts_dir / f"{start:09d}.npz"
            if not part.is_file():
                _write_part(part, _predict_part(model, table, positions))
            meter.advance(len(positions))
            interruption.check("the prediction")
    return _gather(model, table, [parts_dir / f"{start:09d}.npz" for start in starts], out)


def _parts_folder(out: Path, identity: str) -> Path:
    """Return the folder of the parts; those of another model or other images are refused."""
    folder = out / "parts"
    mark = folder / "of.txt"
    if mark.is_file() and mark.read_text() != identity:
        raise ConfigError(
            f"{out} holds unfinished predictions of another model or of other images",
            remedy="choose another --out, or delete that folder",
        )
    write_atomically(mark, identity.encode())
    return folder


def _predict_part(
    model: _Model, table: ImageTable, positions: Int[np.ndarray, " chosen"]
) -> dict[str, np.ndarray]:
    """Predict some images; those that cannot be decoded are set aside with the reason."""
    reasons = np.full(len(positions), "", dtype="<U200")
    try:
        looked = look_at(model.stored.model, table.subset(positions), device=model.device)
    except ImageError:
        for place, position in enumerate(positions):
            reasons[place] = _reason(table, int(position))
        looked = look_at(model.stored.model, table.subset(positions[reasons == ""]), device=model.device)
    log_p = looked.log_probabilities
    if model.stored.calibration is not None and len(log_p):
        log_p = apply_node_temperatures(log_p, model.stored.calibration, model.stored.taxonomy)
    percentile = np.full(len(log_p), np.nan)
    if model.novelty is not None and len(log_p):
        percentile = model.novelty.score(looked.features).percentile
    return {"probabilities": np.exp(log_p), "percentile": percentile, "reasons": reasons}


def _reason(table: ImageTable, position: int) -> str:
    """Return why an image cannot be read, or nothing."""
    try:
        table.read_sized(position)
    except ImageError as error:
        return f"{error.what}" + (f" ({error.seen})" if error.seen is not None else "")
    return ""


def _write_part(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _gather(model: _Model, table: ImageTable, parts: Sequence[Path], out: Path) -> Diagnosis:
    """Write the tables from the parts, and remove these."""
    taxonomy = model.stored.taxonomy
    rule = model.stored.config.evaluation.rule
    kept: list[Int[np.ndarray, " chosen"]] = []
    probabilities: list[Float64[np.ndarray, "image node"]] = []
    unreadable: list[tuple[str, str]] = list(table.unreadable)
    with atomic_path(out / "predictions.csv") as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_header(table, taxonomy))
        for place, part in enumerate(parts):
            with np.load(part, allow_pickle=False) as arrays:
                p, percentile, reasons = arrays["probabilities"], arrays["percentile"], arrays["reasons"]
            positions = np.arange(len(reasons)) + place * PART_SIZE
            readable = positions[reasons == ""]
            writer.writerows(_rows(model, table, readable, p, percentile, rule))
            unreadable += [
                (str(table.names[n]), str(why)) for n, why in zip(positions, reasons, strict=True) if why
            ]
            kept.append(readable)
            probabilities.append(p)
    chosen = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    prediction = NodePrediction(
        samples=table.names[chosen],
        patients=table.names[chosen] if table.patients is None else table.patients[chosen],
        nodes=taxonomy.nodes,
        probabilities=np.concatenate(probabilities) if probabilities else np.zeros((0, taxonomy.n_nodes)),
        sites=None if table.sites is None else table.sites[chosen],
    )
    patients = _patients(model, table, prediction, out)
    about = _about(model, prediction, unreadable)
    write_atomically(out / "about.json", to_json(about))
    for part in parts:
        part.unlink(missing_ok=True)
    (out / "parts" / "of.txt").unlink(missing_ok=True)
    (out / "parts").rmdir()
    return Diagnosis(prediction, patients, tuple(unreadable), out)


def _header(table: ImageTable, taxonomy: Taxonomy) -> list[str]:
    known = (["patient"] if table.patients is not None else []) + (
        ["site"] if table.sites is not None else []
    )
    decided = ["predicted", "conformal_set", "unlike_training_percentile"]
    return ["image", *known, *decided, *(f"probability: {node}" for node in taxonomy.nodes[1:])]


def _rows(
    model: _Model,
    table: ImageTable,
    positions: Int[np.ndarray, " chosen"],
    probabilities: Float64[np.ndarray, "chosen node"],
    percentile: Float64[np.ndarray, " chosen"],
    rule: str,
) -> Iterator[list[Any]]:
    taxonomy = model.stored.taxonomy
    if len(positions) == 0:
        return
    called = decode(probabilities, taxonomy, rule)
    sets = conformal_sets(probabilities, taxonomy, model.conformal) if model.conformal is not None else None
    for row, position in enumerate(positions):
        known = [column[position] for column in (table.patients, table.sites) if column is not None]
        set_name = "" if sets is None else taxonomy.nodes[sets[row]]
        far = "" if np.isnan(percentile[row]) else f"{percentile[row]:.2f}"
        numbers = (f"{value:.6g}" for value in probabilities[row, 1:])
        yield [table.names[position], *known, taxonomy.nodes[called[row]], set_name, far, *numbers]


def _patients(
    model: _Model, table: ImageTable, prediction: NodePrediction, out: Path
) -> dict[str, list[Any]]:
    if table.patients is None or len(prediction.samples) == 0:
        return {}
    taxonomy, settings = model.stored.taxonomy, model.stored.config.evaluation
    decided: Decided = decide_patients(
        prediction, taxonomy, rule=settings.patient_rule, decoding=settings.rule
    )
    names, counts = np.unique(prediction.patients, return_counts=True)
    columns = patient_rows(decided, taxonomy, dict(zip(names.tolist(), counts.tolist(), strict=True)))
    with atomic_path(out / "patients.csv") as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return columns


def _about(
    model: _Model, prediction: NodePrediction, unreadable: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    return {
        "disclaimer": "Research use only. Not a medical device.",
        "run_config_sha256": model.run_config,
        "n_images": len(prediction.samples),
        "unreadable": [{"name": name, "reason": reason} for name, reason in unreadable],
        "taxonomy": model.stored.taxonomy.name,
        "rule": model.stored.config.evaluation.rule,
        "patient_rule": model.stored.config.evaluation.patient_rule,
        "conformal": None if model.conformal is None else model.conformal.to_dict(),
    }
