"""Learn to see without labels: fill in hidden patches; where there are labels, name the class from the same view.

References
----------
He et al. 2022, "Masked autoencoders are scalable vision learners" (CVPR), arXiv 2111.06377: the encoder sees the kept
patches only, a light decoder predicts the normalised pixels of the hidden ones. Ours: hidden pixels are grey before the
convolutional stem, a class may be learned from the same view, and the last epochs may show whole images.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.data.images.batches import ImageBatch, ImageBatches
from trilineage.models.layers import uniform_rows
from trilineage.models.masked_autoencoder import MaskedAutoencoder
from trilineage.training.loop import Step, StepOutput

_FLAT = 1e-3
"""Added to the variance of a patch, values in [0, 1]: the camera noise of an empty background teaches nothing."""


class MaskedPatchSettings(Settings):
    """What is hidden, what is learned from it, and how much each counts."""

    mask_ratio: float = Field(default=0.4, gt=0, lt=1)
    """Share of the patches of a training image that are hidden."""
    reconstruction: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the mean squared error of the hidden patches."""
    classes: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the cross-entropy of the labels, every class having the same say; it is left out where fewer than two
    labels are known."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of a label that is spread over all classes (Szegedy et al. 2016)."""
    whole_share: float = Field(default=0.25, ge=0, le=1)
    """Share of the epochs, the last ones, that show whole images and learn from the labels only, so that the encoder
    ends on what it will see later; 0 where no label is learned from."""
    decoder_width: int = Field(default=96, ge=32, multiple_of=32)
    """Width of a token in the decoder."""
    decoder_blocks: int = Field(default=1, ge=1)
    """Transformer blocks of the decoder."""

    @model_validator(mode="after")
    def _require_a_term(self) -> "MaskedPatchSettings":
        if not self.reconstruction and not self.classes:
            raise ConfigError(
                "an encoder has to learn from something",
                seen="objective.reconstruction=0, objective.classes=0",
                allowed="at least one of them above 0",
                remedy="set objective.reconstruction=1",
            )
        return self


class PatchBatch(NamedTuple):
    """Images of a minibatch, and whether their patches are hidden."""

    images: ImageBatch
    """Pixels, labels (-1 where unknown) and weights of the labels."""
    is_whole: bool
    """Whether whole images are shown."""

    def to(self, device: torch.device | str) -> "PatchBatch":
        """Return the batch on a device."""
        return PatchBatch(self.images.to(device), self.is_whole)


class PatchBatches:
    """The batches of images of a training, of which the last epochs show whole images.

    Parameters
    ----------
    images
        The images.
    whole_from
        First epoch, from 0, that shows whole images.
    """

    def __init__(self, images: ImageBatches, *, whole_from: int):
        self.images, self.whole_from = images, whole_from

    def __len__(self) -> int:
        return len(self.images)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " image"]:
        """Return the images of an epoch in the order in which they are learned from."""
        return self.images.order(seed=seed, epoch=epoch)

    def take(self, positions: Int[np.ndarray, " batch"]) -> PatchBatch:
        """Return the minibatch of these images."""
        epoch = int(positions[0]) // len(self) if len(positions) else 0
        return PatchBatch(self.images.take(positions), epoch >= self.whole_from)

    def describe(self, positions: Int[np.ndarray, " batch"]) -> list[str]:
        """Return the names of the images at positions of an order."""
        return [str(name) for name in self.images.table.names[positions % len(self)]]


def masked_patch_step(settings: MaskedPatchSettings) -> Step:
    """Return the step of a `MaskedAutoencoder` on a `PatchBatch`.

    The loss of an image is the mean squared error of its hidden patches and, where its label is known, the
    cross-entropy of the label times its weight. What is hidden is drawn from torch's global generator, which the loop
    seeds at every step: a training resumes exactly.
    """

    def step(model: MaskedAutoencoder, batch: PatchBatch) -> StepOutput:
        images = batch.images
        if batch.is_whole:
            features = model.features(images.pixels)
            losses = settings.classes * class_losses(model, features, images, settings)
            return StepOutput(losses.sum(), float(len(losses)))
        kept = kept_patches(len(images.pixels), model.n_patches, settings.mask_ratio)
        losses, features = _losses_of_masked(model, images, kept.to(images.pixels.device), settings)
        if model.classify is not None:
            losses = losses + settings.classes * class_losses(model, features, images, settings)
        return StepOutput(losses.sum(), float(len(losses)))

    return step


def kept_patches(n_images: int, n_patches: int, mask_ratio: float) -> Int[Tensor, "image kept"]:
    """Draw the patches that each image shows, at least one, in ascending order."""
    n_kept = max(1, round(n_patches * (1 - mask_ratio)))
    order = uniform_rows(n_images, n_patches).argsort(dim=1)
    return order[:, :n_kept].sort(dim=1).values


def reconstruction_losses(
    drawn: Float[Tensor, "image patch value"],
    pixels: Float[Tensor, "image 3 height width"],
    kept: Int[Tensor, "image kept"],
) -> Float[Tensor, " image"]:
    """Return the mean squared error of the hidden patches of each image.

    The target is the patch minus its mean, over its standard deviation (He et al., section 4, "normalized pixels");
    nearly flat patches are divided by at least 0.03.

    Parameters
    ----------
    drawn
        Prediction for every patch, row by row.
    pixels
        Red, green and blue in [0, 1].
    kept
        Patches that were seen and do not count.
    """
    target = normalised_patches(pixels, drawn.shape[1:])
    errors = (drawn.float() - target).square().mean(dim=2)  # image patch
    is_hidden = torch.ones_like(errors).scatter_(1, kept, 0.0)
    return (errors * is_hidden).sum(dim=1) / is_hidden.sum(dim=1).clamp_min(1.0)


def normalised_patches(
    pixels: Float[Tensor, "image 3 height width"], shape: tuple[int, ...] | torch.Size
) -> Float[Tensor, "image patch value"]:
    """Return square patches row by row, each with mean 0 and (unless it is nearly flat) standard deviation 1."""
    side = round((shape[1] / 3) ** 0.5)
    rows = pixels.unfold(2, side, side).unfold(3, side, side)  # image 3 row column y x
    patches = rows.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2).float()  # image patch value
    centred = patches - patches.mean(dim=2, keepdim=True)
    return centred / (centred.square().mean(dim=2, keepdim=True) + _FLAT).sqrt()


def class_losses(
    model: MaskedAutoencoder,
    features: Float[Tensor, "image d"],
    images: ImageBatch,
    settings: MaskedPatchSettings,
) -> Float[Tensor, " image"]:
    """Return the weighted cross-entropy of the label of each image in nats; 0 where it is unknown."""
    logits = model.logits(features).float()
    labels = images.labels.clamp_min(0)
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=settings.label_smoothing)
    return torch.where(images.labels >= 0, losses * images.weight, 0.0)


def _losses_of_masked(
    model: MaskedAutoencoder,
    images: ImageBatch,
    kept: Int[Tensor, "image kept"],
    settings: MaskedPatchSettings,
) -> tuple[Float[Tensor, " image"], Float[Tensor, "image d"]]:
    """Return the weighted error of each image's hidden patches, and the feature of what it shows."""
    filled = model(images.pixels, kept)
    losses = reconstruction_losses(filled.patches, images.pixels, kept)
    return settings.reconstruction * losses, filled.features
