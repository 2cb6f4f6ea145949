"""The encoder of a pretraining Run: written in half precision under timm's own names, and read back."""

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.bundled import ENCODER_WEIGHTS, encoder_settings
from trilineage.models.backbones.small import with_timm_names
from trilineage.models.backbones.spec import BackboneSettings


def write_encoder(run: Run, backbone: Backbone, settings: BackboneSettings, data: ImageDataSettings) -> None:
    """Write an encoder as float16, with the options that it is built and its images are read by.

    Names are those of the timm network, so that plain timm can load the file.
    """
    named = with_timm_names(backbone.net.state_dict())
    tensors = {name: value.detach().cpu().numpy() for name, value in named.items()}
    half = {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in tensors.items()}
    own = BackboneSettings(name=settings.name, pool=settings.pool)
    metadata = {
        "backbone": own.to_toml(),
        "size": ",".join(str(side) for side in data.shape),
        "fit": data.fit,
        "mean": ",".join(str(value) for value in backbone.spec.mean),
        "std": ",".join(str(value) for value in backbone.spec.std),
    }
    run.write_weights(ENCODER_WEIGHTS, half, metadata)


def read_encoder(run: Run, name: str = ENCODER_WEIGHTS) -> Backbone:
    """Build an encoder for images of its own size and give it the weights of its Run.

    Raises
    ------
    ArtifactError
        If the Run has no such weights, or they do not fit what was saved with them.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    settings, shape = encoder_settings(run, name)
    return build_backbone(settings.replace(weights=str(run.path), weights_name=name), shape)
