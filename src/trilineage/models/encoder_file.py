"""The encoder of a pretraining Run: written in half precision under timm's own names, and read back."""

import tomllib

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings

RUN_KIND = "images.pretrain"
"""Kind of the Runs that hold an encoder and no classifier."""
WEIGHTS = "model"
"""Name of its weights, as in `weights/NAME.safetensors`."""


def write_encoder(run: Run, backbone: Backbone, settings: BackboneSettings, data: ImageDataSettings) -> None:
    """Write an encoder as float16, with the options that it is built and its images are read by.

    Names are those of the timm network, so that plain timm can load the file.
    """
    tensors = {name: value.detach().cpu().numpy() for name, value in backbone.net.state_dict().items()}
    half = {name: np.float16(a) if a.dtype.kind == "f" else a for name, a in tensors.items()}
    metadata = {
        "backbone": settings.replace(weights="none").to_toml(),
        "size": ",".join(str(side) for side in data.shape),
        "fit": data.fit,
        "mean": ",".join(str(value) for value in backbone.spec.mean),
        "std": ",".join(str(value) for value in backbone.spec.std),
    }
    run.write_weights(WEIGHTS, half, metadata)


def read_encoder_settings(run: Run, name: str = WEIGHTS) -> tuple[BackboneSettings, tuple[int, int]]:
    """Return what an encoder is made of, its weights those of the Run, and the height and width of its images.

    Raises
    ------
    ArtifactError
        If nothing like it was saved with the weights.
    """
    metadata = run.read_weights_metadata(name)
    if "backbone" not in metadata or "size" not in metadata:
        raise ArtifactError(
            f"the weights {name!r} of {run.path} are not those of an encoder",
            seen=", ".join(sorted(metadata)) or "nothing beside them",
            allowed="what `trilineage images pretrain` writes",
            remedy="choose a Run of it, or train one",
        )
    settings = BackboneSettings.load(None, tomllib.loads(metadata["backbone"]))
    height, width = (int(side) for side in metadata["size"].split(","))
    return settings.replace(weights=str(run.path), weights_name=name), (height, width)


def read_encoder(run: Run, name: str = WEIGHTS) -> Backbone:
    """Build an encoder and give it the weights of its Run.

    Raises
    ------
    ArtifactError
        If the Run has no such weights, or they do not fit what was saved with them.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    settings, shape = read_encoder_settings(run, name)
    return build_backbone(settings, shape)
