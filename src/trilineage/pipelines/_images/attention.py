"""Decide for patients by attention: which of a patient's images count is learned on the training patients."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int, Int64

from trilineage.core.records import NodePrediction
from trilineage.core.seeding import seed_everything
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.patients import Decided, patient_node_labels
from trilineage.models.hierarchy import HierarchySettings, build_head
from trilineage.models.pooling import PatientClassifier
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.fold import Fold
from trilineage.pipelines._images.material import Material
from trilineage.pipelines._images.scores import units
from trilineage.training.bags import fit_attention, new_pooling
from trilineage.training.place import Place


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


def attention_decisions(material: Material, fold: Fold, config: Config, place: Place) -> Decided:
    """Train attention pooling on the training patients of a split and decide for its test patients."""
    taxonomy = material.taxonomy
    seed_everything(place.seed)
    features = fold.features["train"]
    _, codes, labels = _patients(material, fold.split.positions("train"))
    model = _new(taxonomy, features.shape[1], config)
    fitted = fit_attention(model, features, codes, labels, place=place)
    names, codes, labels = _patients(material, fold.split.positions("test"))
    p = fitted.probabilities(fold.features["test"], codes, len(names))
    prediction = NodePrediction(names, names, taxonomy.nodes, p, labels)
    return Decided(prediction, decode(p, taxonomy, config.evaluation.rule))


def _new(taxonomy: Taxonomy, d_in: int, config: Config) -> PatientClassifier:
    variant = "flat" if config.hierarchy.variant in ("base", "hxe") else config.hierarchy.variant
    head = build_head(HierarchySettings(variant=variant), taxonomy, d_in)
    return PatientClassifier(new_pooling(d_in), head)


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
