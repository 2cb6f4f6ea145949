"""The ways to make a map, by name: one call from images to maps, a few images at a time."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from trilineage.core.config import Settings
from trilineage.explain.saliency.capture import ExplainedClassifier
from trilineage.explain.saliency.gradcam import Empty, path_maps
from trilineage.explain.saliency.maps import SaliencyMaps
from trilineage.explain.saliency.occlusion import Fill, Windows, occlusion_maps
from trilineage.explain.saliency.rollout import rollout_maps
from trilineage.explain.saliency.targets import Targets

Method = Literal["gradcam", "gradcam_signed", "rollout", "occlusion"]


class SaliencySettings(Settings):
    """How saliency maps are made."""

    method: Method = "gradcam"
    """`gradcam` (Selvaraju et al. 2017), `gradcam_signed` (without its ReLU), `rollout` of attention (Abnar & Zuidema
    2020; the same for every node, transformers only) or `occlusion` (Zeiler & Fergus 2014; slow, needs no gradient)."""
    against_siblings: bool = True
    """Explain each node of a path against its siblings: what separates look-alikes; else each node for itself."""
    empty: Empty = "nan"
    """What a map does that nothing speaks for: it is left out of scores and pictures (`nan`), or stops (`refuse`)."""
    batch_size: int = Field(default=8, ge=1)
    """Images (for occlusion: covered copies) in one forward."""
    occlusion_cells: int = Field(default=12, ge=2)
    """Rows and columns of an occlusion map."""
    occlusion_side: int = Field(default=2, ge=1)
    """Rows and columns that a window covers."""
    occlusion_fill: Fill = "mean"
    """What covers the pixels: the mean colour of the image, the image blurred, or a constant."""


def explain_images(
    classifier: ExplainedClassifier,
    pixels: Float[Tensor, "image 3 height width"],
    targets: Targets,
    *,
    settings: SaliencySettings | None = None,
    images: Sequence[str] = (),
) -> SaliencyMaps:
    """Make the maps of every target of some images.

    Parameters
    ----------
    classifier
        From pixels to node log-probabilities; it is run in evaluation mode.
    pixels
        In [0, 1], on the device of the classifier.
    targets
        As many rows as there are images.
    settings
        How the maps are made.
    images
        Name of each image; left out: its position.

    Raises
    ------
    ConfigError
        If the method does not fit the backbone, or a map is zero everywhere.
    ArtifactError
        If a map is not finite.
    """
    settings = settings or SaliencySettings()
    step = settings.batch_size
    maps = [
        _maps(classifier, pixels[start : start + step], targets.take(slice(start, start + step)), settings)
        for start in range(0, len(pixels), step)
    ]
    return SaliencyMaps(
        values=torch.cat(maps).cpu().numpy(),
        targets=targets,
        images=tuple(images) or tuple(map(str, range(len(pixels)))),
        method=settings.method,
        image_size=(pixels.shape[2], pixels.shape[3]),
    )


def _maps(
    classifier: ExplainedClassifier,
    pixels: Float[Tensor, "image 3 height width"],
    targets: Targets,
    settings: SaliencySettings,
) -> Float[Tensor, "image target row column"]:
    """Make the maps of one batch."""
    if settings.method == "rollout":
        maps = rollout_maps(classifier, pixels)
        missing = ~torch.as_tensor(targets.exists, device=maps.device)
        return (
            maps[:, None]
            .repeat(1, targets.nodes.shape[1], 1, 1)
            .masked_fill(missing[..., None, None], torch.nan)
        )
    if settings.method == "occlusion":
        cells = settings.occlusion_cells
        return occlusion_maps(
            classifier,
            pixels,
            targets,
            windows=Windows((cells, cells), settings.occlusion_side),
            fill=settings.occlusion_fill,
            batch_size=settings.batch_size,
            empty=settings.empty,
        )
    signed = settings.method == "gradcam_signed"
    return path_maps(classifier, pixels, targets, signed=signed, empty=settings.empty)
