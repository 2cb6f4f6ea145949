"""Features of images, streamed: a batch at a time through a frozen backbone, in memory that does not grow."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from trilineage.core.progress import progress
from trilineage.models.backbones.backbone import Backbone


def image_features(
    backbone: Backbone,
    batches: Iterable[Any],
    *,
    device: torch.device | str = "cpu",
    n_images: int | None = None,
) -> Float32[np.ndarray, "image d"]:
    """Return the features of images, in the order of the batches.

    Parameters
    ----------
    backbone
        Set to evaluation, moved to `device`; convolutional ones to the memory format in which they are fast.
    batches
        Tensors of pixels (b 3 h w) in [0, 1], or batches with a field `pixels`. One batch at a time is held.
    n_images
        How many there are in all, for the progress bar.
    """
    backbone.eval().to(device, memory_format=memory_format(backbone))
    rows = [np.zeros((0, backbone.spec.width), np.float32)]
    with progress("features", n_images, "images") as meter, torch.inference_mode():
        for batch in batches:
            pixels: Tensor = batch if isinstance(batch, Tensor) else batch.pixels
            pixels = pixels.to(device, memory_format=memory_format(backbone))
            rows.append(backbone(pixels).float().cpu().numpy())
            meter.advance(len(pixels))
    return np.concatenate(rows)


def memory_format(backbone: Backbone) -> torch.memory_format:
    """Return the order of axes in which a network is fast: channels last for convolutions."""
    return torch.contiguous_format if backbone.spec.family == "vit" else torch.channels_last
