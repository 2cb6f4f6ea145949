"""The networks of one split: built from the configuration, trained on its training images, one or one per parent."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor, nn

from trilineage.core.seeding import seed_everything
from trilineage.data.images.batches import ImageBatches
from trilineage.data.splits import Split
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.classifier_file import ClassifierPlan, new_classifier
from trilineage.models.features import image_features
from trilineage.models.hierarchy import (
    HierarchicalHead,
    branch_codes,
    branch_taxonomy,
)
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.parent_networks import ParentNetworks
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.material import Material
from trilineage.training.head_training import FeatureBatches, node_validation
from trilineage.training.loop import History, train
from trilineage.training.mixing import mixed
from trilineage.training.objectives.classification import sample_weights
from trilineage.training.objectives.hierarchy import balanced_weights, hierarchy_step
from trilineage.training.place import Place

ImageModel = ImageClassifier | ParentNetworks
"""What predicts: one network, or one for every parent."""

logger = logging.getLogger(__name__)


class Branch(NamedTuple):
    """What one network learns: a taxonomy and, for each image of the cohort, a node of it."""

    name: str
    """Name of the training."""
    taxonomy: Taxonomy
    """The whole taxonomy, or a parent with its children."""
    codes: Int64[np.ndarray, " sample"]
    """Node of each image, -1 for those it does not learn from."""


@dataclass(frozen=True)
class Trained:
    """The networks of a split and the course of their training."""

    model: ImageModel
    """What predicts."""
    histories: dict[str, Any]
    """Training curves by name."""


def branches_of(material: Material, config: Config) -> list[Branch]:
    """Return what there is to train: one network, or one per parent (variant `base`)."""
    taxonomy, codes = material.taxonomy, material.nodes
    if config.hierarchy.variant != "base":
        return [Branch("network", taxonomy, codes)]
    return [
        Branch(
            f"network of {parent}", branch_taxonomy(taxonomy, parent), branch_codes(codes, taxonomy, parent)
        )
        for parent in taxonomy.inner
    ]


def new_model(taxonomy: Taxonomy, config: Config, *, weights: str | None = None) -> ImageModel:
    """Build the networks with fresh heads.

    Parameters
    ----------
    weights
        Where the backbone's weights come from; None: as configured.
    """
    plan = ClassifierPlan(config.backbone, config.hierarchy, config.frozen, config.data)
    return new_classifier(taxonomy, plan, weights=weights)


def fit_networks(material: Material, split: Split, config: Config, place: Place) -> Trained:
    """Train what the configuration asks for on the training images of a split.

    The same seed, data and configuration give the same weights on a CPU.
    """
    seed_everything(place.seed)
    model = new_model(material.taxonomy, config)
    views = _frozen_views(model, material, split, config, place) if config.frozen else None
    histories: dict[str, Any] = {}
    for branch in branches_of(material, config):
        network = _network(model, branch)
        fit = _Fit(material, split, config, place, branch)
        history = fit.head(network.head, views) if views is not None else fit.whole(network)
        histories[branch.name] = history.to_dict()
    return Trained(model.eval(), histories)


def _network(model: ImageModel, branch: Branch) -> ImageClassifier:
    return model if isinstance(model, ImageClassifier) else model.network_of(branch.taxonomy.root)


class _Views(NamedTuple):
    """Features of the images of a split that are learned from or watched."""

    train: Float32[np.ndarray, "view train d"]
    """Looks at the training images."""
    valid: Float32[np.ndarray, "valid d"]
    """Plain look at the validation images."""


def _frozen_views(
    model: ImageModel, material: Material, split: Split, config: Config, place: Place
) -> _Views:
    """Run the frozen backbone over training and validation images once per look."""
    backbone: Backbone = model.backbone if isinstance(model, ImageClassifier) else model.backbones[0]  # type: ignore[assignment]

    def look(part: Any, turn: int) -> Float32[np.ndarray, "image d"]:
        table = material.table.subset(split.positions(part))
        batches = ImageBatches(table, augmentation=config.augmentation if turn else None, seed=place.seed)
        positions = np.arange(len(table)) + turn * len(table)
        starts = range(0, len(table), config.training.batch_size)
        taken = (batches.take(positions[start : start + config.training.batch_size]) for start in starts)
        return image_features(backbone, taken, device=place.device, n_images=len(table))

    return _Views(np.stack([look("train", turn) for turn in range(config.n_views)]), look("valid", 0))


class _Fit:
    """One training: which images of a split a branch learns from, with which weights and which loss."""

    def __init__(self, material: Material, split: Split, config: Config, place: Place, branch: Branch):
        self.material, self.config, self.place, self.branch = material, config, place, branch
        self.train = self._of(split.positions("train"))
        self.valid = self._of(split.positions("valid"))
        self.in_train = branch.codes[split.positions("train")] > 0
        self.in_valid = branch.codes[split.positions("valid")] > 0

    def _of(self, positions: Int[np.ndarray, " part"]) -> Int[np.ndarray, " chosen"]:
        return positions[self.branch.codes[positions] > 0]

    def whole(self, network: ImageClassifier) -> History:
        """Train backbone and head on pixels."""
        config, codes = self.config, self.branch.codes
        batches = ImageBatches(
            self.material.table.subset(self.train),
            codes[self.train],
            weights=self._weights(),
            augmentation=config.augmentation,
            seed=self.place.seed,
        )
        valid = ImageBatches(self.material.table.subset(self.valid))

        def watched() -> Tensor:
            sizes = range(0, len(valid), config.training.batch_size)
            taken = (valid.take(np.arange(s, min(s + config.training.batch_size, len(valid)))) for s in sizes)
            return torch.cat([network(batch.pixels.to(self.place.device)) for batch in taken])

        return self._train(network, batches, watched)

    def head(self, head: nn.Module, views: _Views) -> History:
        """Train the head on features."""
        batches = FeatureBatches(
            np.ascontiguousarray(views.train[:, self.in_train]),
            self.branch.codes[self.train],
            self._weights(),
        )
        valid = torch.from_numpy(views.valid[self.in_valid])

        def watched() -> Tensor:
            values: Tensor = head.node_log_probabilities(valid.to(self.place.device))  # type: ignore[operator]
            return values

        return self._train(head, batches, watched)

    def _train(self, model: nn.Module, batches: Any, watched: Callable[[], Tensor]) -> History:
        config, place = self.config, self.place
        has_valid = len(self.valid) > 0
        settings = config.training if has_valid else config.training.replace(patience=0)
        alpha = (
            balanced_weights(self.branch.codes[self.train], self.branch.taxonomy, config.hierarchy)
            if config.hierarchy.alpha == "balanced"
            else None
        )
        step = hierarchy_step(config.hierarchy, self.branch.taxonomy, alpha)
        patients = self.material.cohort.patient_codes[self.valid]
        codes, taxonomy = self.branch.codes[self.valid], self.branch.taxonomy
        return train(
            model,
            mixed(step, settings.mixup),
            batches,
            settings,
            seed=place.seed,
            device=place.device,
            checkpoints_dir=None if place.checkpoints_dir is None else place.checkpoints_dir / self._folder(),
            fingerprint=place.fingerprint,
            validate=node_validation(model, watched, codes, patients, taxonomy) if has_valid else None,
            name=self.branch.name,
        )

    def _folder(self) -> str:
        """Return a folder name for the checkpoints of this branch."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.branch.name)

    def _weights(self) -> np.ndarray:
        cohort = self.material.cohort
        return sample_weights(
            self.branch.codes[self.train], cohort.patient_codes[self.train], weighting=self.config.weighting
        )


def head_of(model: ImageModel) -> HierarchicalHead | None:
    """Return the one head of a model; None where every parent has its own."""
    return (
        model.head
        if isinstance(model, ImageClassifier) and isinstance(model.head, HierarchicalHead)
        else None
    )
