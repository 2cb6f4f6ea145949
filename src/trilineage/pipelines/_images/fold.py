"""One split of the images recipe: networks trained inside it, temperatures, test images predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

from trilineage.core.progress import progress
from trilineage.core.records import NodePrediction
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split, training_only
from trilineage.evaluation.hierarchy.temperatures import (
    NodeCalibration,
    apply_node_temperatures,
    fit_node_temperatures,
)
from trilineage.models.inference import predict_images
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.material import Material
from trilineage.pipelines._images.network import ImageModel, fit_networks
from trilineage.training.place import Place


@dataclass(frozen=True)
class Looked:
    """What a model makes of some images."""

    features: Float32[np.ndarray, "image d"]
    """What the head reads."""
    log_probabilities: Float64[np.ndarray, "image node"]
    """Log-probability of every node, not calibrated."""


@dataclass(frozen=True)
class Fold:
    """A trained model with everything that its split has to show."""

    split: Split
    """Which image played which part."""
    model: ImageModel
    """The networks."""
    calibration: NodeCalibration | None
    """Temperatures fitted on the validation patients; None where nobody validates."""
    test: NodePrediction
    """Calibrated probabilities of the test images."""
    valid: NodePrediction
    """Calibrated probabilities of the validation images."""
    features: dict[str, Float32[np.ndarray, "image d"]]
    """Features of the images of each part (train, valid, test), in the order of the cohort."""
    history: dict[str, Any]
    """Training curves by network, and the temperatures."""


def fit_fold(material: Material, split: Split, config: Config, place: Place) -> Fold:
    """Train inside one split, calibrate on its validation patients and predict its test images."""
    trained = fit_networks(material, split, config, place)
    parts = ("train", "valid", "test")
    looked = {
        part: look_at(trained.model, material.table.subset(split.positions(part)), device=place.device)  # type: ignore[arg-type]
        for part in parts
    }
    calibration = _calibration(material, split, config, looked["valid"])
    predictions = {
        part: node_prediction(material, split.positions(part), looked[part], calibration)  # type: ignore[arg-type]
        for part in ("valid", "test")
    }
    history = {**trained.histories, "calibration": None if calibration is None else calibration.to_dict()}
    features = {part: looked[part].features for part in parts}
    return Fold(
        split, trained.model, calibration, predictions["test"], predictions["valid"], features, history
    )


def look_at(model: ImageModel, table: ImageTable, *, device: torch.device) -> Looked:
    """Run the networks over images; each core decodes and computes batches of its own."""
    batches = ImageBatches(table, workers=1)
    features: list[np.ndarray] = []
    log_p: list[np.ndarray] = []
    with progress("images", len(table), "images") as meter:
        for batch in predict_images(
            model, lambda chosen: batches.take(chosen).pixels, len(table), device=device
        ):
            features.append(batch.features)
            log_p.append(batch.log_probabilities.astype(np.float64))
            meter.advance(len(batch.positions))
    if not features:
        return Looked(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float64))
    return Looked(np.concatenate(features), np.concatenate(log_p))


def node_prediction(
    material: Material,
    positions: Int[np.ndarray, " chosen"],
    looked: Looked,
    calibration: NodeCalibration | None,
) -> NodePrediction:
    """Return calibrated probabilities of some images of the cohort."""
    cohort, taxonomy = material.cohort, material.taxonomy
    log_p = looked.log_probabilities if len(positions) else np.zeros((0, taxonomy.n_nodes))
    if calibration is not None and len(positions):
        log_p = apply_node_temperatures(log_p, calibration, taxonomy)
    return NodePrediction(
        samples=cohort.samples[positions],
        patients=cohort.patients[positions],
        nodes=taxonomy.nodes,
        probabilities=np.exp(log_p),
        labels=material.nodes[positions],
        sites=None if cohort.sites is None else cohort.sites[positions],
    )


def whole_split(material: Material, config: Config) -> Split:
    """Return the split of the final model of a cross-validation: nobody is tested, some patients validate."""
    return training_only(material.cohort, valid_fraction=config.split.valid_fraction, seed=config.seed)


def _calibration(material: Material, split: Split, config: Config, valid: Looked) -> NodeCalibration | None:
    positions = split.positions("valid")
    if not config.decision.calibrate or len(positions) == 0:
        return None
    return fit_node_temperatures(
        valid.log_probabilities,
        material.nodes[positions],
        material.cohort.patients[positions],
        material.taxonomy,
    )
