"""What the images recipe writes to its Run, and how a trained model comes back from it."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trilineage.core.artifacts import Run
from trilineage.core.records import NodePrediction
from trilineage.data.splits import split_table
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.patients import decide_patients
from trilineage.evaluation.hierarchy.temperatures import NodeCalibration
from trilineage.models.classifier_file import RUN_KIND as KIND
from trilineage.models.classifier_file import read_classifier
from trilineage.models.encoder import EncoderSettings
from trilineage.models.encoder_origin import learned_contents, write_learned
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.fold import Fold
from trilineage.pipelines._images.material import Material, data_facts
from trilineage.pipelines._images.network import ImageModel
from trilineage.pipelines._images.scores import Results, leaf_prediction, patient_rows, pool, units
from trilineage.pipelines._runs import begin_run, write_validation
from trilineage.training.place import Place

TAXONOMY = "taxonomy.toml"
NODE_PREDICTIONS, NODE_VALIDATION = "node_predictions.npz", "node_validation.npz"


class Stored(NamedTuple):
    """A model read from a Run, with what it was trained with."""

    model: ImageModel
    """The networks, in evaluation mode."""
    config: Config
    """Their configuration."""
    taxonomy: Taxonomy
    """The nodes they know."""
    calibration: NodeCalibration | None
    """Their temperatures."""


def open_run(config: Config, material: Material, out: Path, *, place: Place, overwrite: bool = False) -> Run:
    """Make the Run, or go on with the one that is there; other processes of the same job wait for the first."""
    return begin_run(
        out,
        kind=KIND,
        config=config,
        seed=config.seed,
        command=f"trilineage images fit --data {config.data.path} --out {out}",
        data=data_facts(material, config),
        place=place,
        overwrite=overwrite,
    )


def write_fold(run: Run, fold: Fold, config: Config, material: Material, name: str) -> None:
    """Write the weights of one fit with all that is needed to use them."""
    tensors = {key: value.detach().cpu().numpy() for key, value in fold.model.state_dict().items()}
    calibration = None if fold.calibration is None else asdict(fold.calibration)
    metadata = {
        "config": config.to_toml(),
        "taxonomy": material.taxonomy.to_toml(),
        "calibration": json.dumps(calibration),
        "split": fold.split.name,
    }
    run.write_weights(name, tensors, metadata)


def read_model(run: Run, name: str, *, device: torch.device) -> Stored:
    """Rebuild a model from the weights of a Run.

    Raises
    ------
    ArtifactError
        The Run has no such weights, or they do not fit the configuration stored with them.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    stored = read_classifier(run, name)
    config = Config.load(None, tomllib.loads(stored.metadata["config"]))
    written = json.loads(stored.metadata["calibration"])
    calibration = None if written is None else NodeCalibration(**written)
    return Stored(stored.model.to(device), config, stored.taxonomy, calibration)


def write_results(
    run: Run, material: Material, folds: Sequence[Fold], results: Results, config: Config
) -> None:
    """Write split, predictions, scores, comparisons, tables, training curves and the table of patients."""
    taxonomy = material.taxonomy
    model = pool([fold.test for fold in folds])
    run.write_text(TAXONOMY, taxonomy.to_toml())
    run.write_table("split.csv", split_table(material.cohort, tuple(fold.split for fold in folds)))
    _write_learned(run, material, folds, config)
    run.write_predictions(leaf_prediction(model, taxonomy))
    write_nodes(run, model)
    write_validation(run, {fold.split.name: leaf_prediction(fold.valid, taxonomy) for fold in folds})
    write_nodes(run, pool([fold.valid for fold in folds]), NODE_VALIDATION)
    run.add_scores(results.scores)
    run.add_comparisons(results.comparisons)
    for name, table in results.tables.items():
        run.write_json(name, table)
    run.write_json("history.json", {fold.split.name: fold.history for fold in folds})
    if "patient" in units(material):
        settings = config.evaluation
        decided = decide_patients(model, taxonomy, rule=settings.patient_rule, decoding=settings.rule)
        names, counts = np.unique(model.patients, return_counts=True)
        rows = patient_rows(decided, taxonomy, dict(zip(names.tolist(), counts.tolist(), strict=True)))
        run.write_table("patients.csv", rows)


def _write_learned(run: Run, material: Material, folds: Sequence[Fold], config: Config) -> None:
    """Write which images the network that is kept has learned from, those of its first weights among them."""
    # After several folds the network that is kept has learned from everyone.
    parts = ("train", "valid") if len(folds) == 1 else ("train", "valid", "test")
    is_own = np.isin(folds[0].split.parts, parts) & (not config.frozen)
    before = learned_contents(EncoderSettings(backbone=config.backbone))
    write_learned(run, material.table.content_numbers[is_own], before)


def write_nodes(run: Run, prediction: NodePrediction, name: str = NODE_PREDICTIONS) -> None:
    """Write probabilities of every node."""
    values = {key: value for key, value in _fields(prediction).items() if value is not None}
    run.write_arrays(name, **values)


def read_nodes(run: Run, name: str = NODE_PREDICTIONS) -> NodePrediction:
    """Read probabilities of every node."""
    arrays: dict[str, Any] = run.read_arrays(name)
    arrays["nodes"] = tuple(arrays["nodes"].tolist())
    return NodePrediction(**arrays)


def _fields(prediction: NodePrediction) -> dict[str, Any]:
    names = ("samples", "patients", "nodes", "probabilities", "labels", "sites")
    return {name: getattr(prediction, name) for name in names}
