"""Decide for patients by attention: which of a patient's images count is learned on the training patients."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor, nn

from trilineage.core.records import NodePrediction
from trilineage.core.seeding import generator, seed_everything
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.patients import Decided, patient_node_labels
from trilineage.models.hierarchy import HierarchySettings, build_head
from trilineage.models.pooling import AttentionPooling, PatientClassifier
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.fold import Fold
from trilineage.pipelines._images.material import Material
from trilineage.pipelines._images.scores import units
from trilineage.training.loop import StepOutput, train
from trilineage.training.place import Place
from trilineage.training.settings import TrainingSettings

_TRAINING = TrainingSettings(
    epochs=60, batch_size=16, learning_rate=1e-3, optimizer="adamw", weight_decay=0.05
)


class PatientBatch(NamedTuple):
    """The images of a few patients."""

    features: Tensor
    """One row per image."""
    patients: Tensor
    """Number of each image's patient in this batch."""
    labels: Tensor
    """Node of each patient."""

    def to(self, device: torch.device | str) -> "PatientBatch":
        """Return the batch on a device."""
        return PatientBatch(*(part.to(device) for part in self))


class PatientBatches:
    """Patients with all their images, for the training loop."""

    def __init__(
        self,
        features: Float32[np.ndarray, "image d"],
        codes: Int[np.ndarray, " image"],
        labels: Int64[np.ndarray, " patient"],
    ):
        self.labels = labels
        self.features = features
        self.images = [np.flatnonzero(codes == patient) for patient in range(len(labels))]

    def __len__(self) -> int:
        return len(self.labels)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " patient"]:
        """Return the patients of an epoch in the order in which they are learned from."""
        return generator(seed, "patients", epoch).permutation(len(self))

    def take(self, positions: Int[np.ndarray, " batch"]) -> PatientBatch:
        """Return the images of these patients."""
        images = [self.images[patient] for patient in positions]
        codes = np.repeat(np.arange(len(positions)), [len(own) for own in images])
        rows = np.concatenate(images) if images else np.zeros(0, np.int64)
        return PatientBatch(
            torch.from_numpy(self.features[rows]),
            torch.from_numpy(codes.astype(np.int64)),
            torch.from_numpy(self.labels[positions]),
        )


def attend(material: Material, folds: Sequence[Fold], config: Config, place: Place) -> Decided | None:
    """Decide for the test patients of every split by attention; None where it was not asked for or has no patients."""
    if not config.decision.attention or "patient" not in units(material):
        return None
    stages = [place.stage(f"attention{number}") for number in range(len(folds))]
    return _pooled(
        [
            attention_decisions(material, fold, config, stage)
            for fold, stage in zip(folds, stages, strict=True)
        ]
    )


def attention_step(model: nn.Module, batch: PatientBatch) -> StepOutput:
    """Return the sum of -log p(label) over the patients of a batch."""
    if len(batch.labels) == 0:
        return StepOutput(sum(p.sum() for p in model.parameters()) * 0.0, 0.0)  # type: ignore[arg-type]
    log_p = model(batch.features, batch.patients, len(batch.labels))
    losses = -log_p.gather(1, batch.labels[:, None])
    return StepOutput(losses.sum(), float(len(losses)))


def attention_decisions(material: Material, fold: Fold, config: Config, place: Place) -> Decided:
    """Train attention pooling on the training patients of a split and decide for its test patients."""
    taxonomy = material.taxonomy
    seed_everything(place.seed)
    features, deviation = fold.features["train"], fold.features["train"].std(axis=0) + 1e-6
    mean = features.mean(axis=0)
    names, codes, labels = _patients(material, fold.split.positions("train"))
    model = _new(taxonomy, features.shape[1], config)
    train(
        model,
        attention_step,
        PatientBatches(((features - mean) / deviation).astype(np.float32), codes, labels),
        _TRAINING,
        seed=place.seed,
        device=place.device,
        checkpoints_dir=None if place.checkpoints_dir is None else place.checkpoints_dir / "attention",
        fingerprint=place.fingerprint,
        name="attention",
    )
    names, codes, labels = _patients(material, fold.split.positions("test"))
    tested = ((fold.features["test"] - mean) / deviation).astype(np.float32)
    with torch.inference_mode():
        looked = torch.from_numpy(tested).to(place.device), torch.from_numpy(codes).to(place.device)
        p = model(*looked, len(names)).double().exp().cpu().numpy()
    prediction = NodePrediction(names, names, taxonomy.nodes, p, labels)
    return Decided(prediction, decode(p, taxonomy, config.evaluation.rule))


def _new(taxonomy: Taxonomy, d_in: int, config: Config) -> PatientClassifier:
    variant = "flat" if config.hierarchy.variant in ("base", "hxe") else config.hierarchy.variant
    head = build_head(HierarchySettings(variant=variant), taxonomy, d_in)
    return PatientClassifier(AttentionPooling(d_in, hidden=min(128, max(8, d_in // 2)), dropout=0.1), head)


def _patients(
    material: Material, positions: Int[np.ndarray, " chosen"]
) -> tuple[np.ndarray, Int64[np.ndarray, " image"], Int64[np.ndarray, " patient"]]:
    """Return the names of the patients, the patient of each image, and the node of each patient."""
    cohort, taxonomy = material.cohort, material.taxonomy
    own = cohort.patients[positions]
    names, codes = np.unique(own, return_inverse=True)
    nothing = np.zeros((len(positions), taxonomy.n_nodes))
    asked = NodePrediction(cohort.samples[positions], own, taxonomy.nodes, nothing, material.nodes[positions])
    labels = patient_node_labels(asked, taxonomy)
    assert labels is not None
    return names, codes.astype(np.int64), labels.astype(np.int64)


def _pooled(parts: Sequence[Decided]) -> Decided:
    """Join the decisions of several splits."""
    first = parts[0].prediction
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part.prediction, name) for part in parts])
        for name in ("samples", "patients", "probabilities", "labels")
    }
    return Decided(replace(first, **arrays), np.concatenate([part.decisions for part in parts]))
