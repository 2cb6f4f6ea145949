"""A finished images Run with an untrained classifier, as the images recipe writes it."""

import json

import pytest
import torch

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.classifier_file import ClassifierPlan, new_classifier
from trilineage.models.hierarchy import HierarchySettings

TAXONOMY = """
name = "small"
[nodes]
cell = {}
lymphoid = { parents = "cell" }
myeloid = { parents = "cell" }
B = { parents = "lymphoid" }
T = { parents = "lymphoid" }
"""


class Config(Settings):
    """The part of the images recipe's configuration that decides what a classifier is made of."""

    data: ImageDataSettings = ImageDataSettings(size=16)
    """Images."""
    backbone: BackboneSettings = BackboneSettings(name="small_vit", pool="cls")
    """Network."""
    hierarchy: HierarchySettings = HierarchySettings()
    """Head."""
    frozen: bool = False
    """Whether the backbone stays."""
    seed: int = 0
    """An option that does not matter here."""


@pytest.fixture(scope="session")
def write_images_run():
    """Return the function that writes such a Run."""

    def write(path, *, finished=True, **options):
        config, taxonomy = Config.load(None, options), Taxonomy.from_toml(TAXONOMY)
        torch.manual_seed(0)
        plan = ClassifierPlan(config.backbone, config.hierarchy, config.frozen, config.data)
        model = new_classifier(taxonomy, plan)
        run = Run.create(path, kind="images", config=config, seed=0)
        tensors = {name: value.numpy() for name, value in model.state_dict().items()}
        texts = {"config": config.to_toml(), "taxonomy": taxonomy.to_toml(), "calibration": json.dumps(None)}
        run.write_weights("final", tensors, texts)
        if finished:
            run.finish()
        return run

    return write
