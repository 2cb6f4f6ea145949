"""The classifier of an images Run: built as its configuration says, its weights read without executing anything."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.hierarchy import HierarchySettings, build_head, build_parent_head
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.inference import PixelClassifier
from trilineage.models.parent_networks import ParentNetworks
from trilineage.models.run_weights import prediction_weights

RUN_KIND = "images"
"""Kind of the Runs that hold classifiers of images."""


@dataclass(frozen=True)
class ClassifierPlan:
    """The options that decide what a classifier is made of."""

    backbone: BackboneSettings
    """The network that looks."""
    hierarchy: HierarchySettings
    """The head."""
    frozen: bool
    """Whether the backbone was trained; several parents share a frozen one."""
    data: ImageDataSettings
    """How images come to the size that the network takes."""


class StoredClassifier(NamedTuple):
    """A classifier read from a Run."""

    model: PixelClassifier
    """The networks, in evaluation mode."""
    taxonomy: Taxonomy
    """The nodes they know."""
    plan: ClassifierPlan
    """What they are made of."""
    metadata: dict[str, str]
    """The texts saved with the weights."""


def load_image_classifier(run_path: Path | str, name: str | None = None) -> tuple[PixelClassifier, Taxonomy]:
    """Return the classifier of a finished images Run and the nodes it knows.

    Parameters
    ----------
    run_path
        Folder of the Run.
    name
        Which weights, as in `weights/NAME.safetensors`; None: those that predict.

    Raises
    ------
    ArtifactError
        If it is no finished images Run, has no such weights, or they do not fit their configuration.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    run = Run.open(run_path, kind=RUN_KIND)
    stored = read_classifier(run, prediction_weights(run) if name is None else name)
    return stored.model, stored.taxonomy


def read_classifier(run: Run, name: str) -> StoredClassifier:
    """Rebuild a classifier from the weights of a Run.

    Raises
    ------
    ArtifactError
        If the Run has no such weights, or they do not fit the configuration stored with them.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    tensors = run.read_weights(name)
    metadata = run.read_weights_metadata(name)
    plan = read_plan(run, name)
    taxonomy = Taxonomy.from_toml(metadata["taxonomy"])
    model = new_classifier(taxonomy, plan, weights="none")
    try:
        model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()})
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights {name!r} of {run.path} do not fit their configuration",
            seen=str(error).splitlines()[-1].strip(),
            remedy="make the Run again",
        ) from None
    return StoredClassifier(model.eval(), taxonomy, plan, metadata)


def read_plan(run: Run, name: str) -> ClassifierPlan:
    """Return what a classifier of a Run is made of.

    Raises
    ------
    ArtifactError
        If nothing like it was saved with the weights.
    """
    metadata = run.read_weights_metadata(name)
    absent = [word for word in ("config", "taxonomy") if word not in metadata]
    if absent:
        raise ArtifactError(
            f"the weights {name!r} of {run.path} are not those of a classifier of images",
            seen=f"no {' and no '.join(absent)} beside them",
            remedy="choose a Run of `trilineage images fit`",
        )
    values: dict[str, Any] = tomllib.loads(metadata["config"])
    return ClassifierPlan(
        backbone=BackboneSettings.load(None, values.get("backbone", {})),
        hierarchy=HierarchySettings.load(None, values.get("hierarchy", {})),
        frozen=bool(values.get("frozen", False)),
        data=ImageDataSettings.load(None, values.get("data", {})),
    )


def new_classifier(
    taxonomy: Taxonomy, plan: ClassifierPlan, *, weights: str | None = None
) -> PixelClassifier:
    """Build a classifier with a fresh head.

    Parameters
    ----------
    weights
        Where the backbone's weights come from; None: as planned.
    """
    settings = plan.backbone if weights is None else plan.backbone.replace(weights=weights)
    if plan.frozen:
        settings = settings.replace(trained_blocks=0)
    shape = plan.data.shape
    if plan.hierarchy.variant != "base":
        backbone = build_backbone(settings, shape)
        return ImageClassifier(backbone, build_head(plan.hierarchy, taxonomy, backbone.spec.width))
    n_backbones = 1 if plan.frozen else len(taxonomy.inner)
    backbones = [build_backbone(settings, shape) for _ in range(n_backbones)]
    width = backbones[0].spec.width
    heads = [build_parent_head(taxonomy, parent, width) for parent in taxonomy.inner]
    return ParentNetworks(taxonomy, backbones, heads)
