"""Prediction of many images: decoded and computed side by side, in order, in memory that does not grow."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int
from pydantic import Field
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.models.backbones.lean import lean
from trilineage.models.features import memory_format
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.parent_networks import ParentNetworks
from trilineage.models.streaming import Load, images_per_batch, in_batches, stream_batches

PixelClassifier = ImageClassifier | ParentNetworks
"""One network, or one for every parent."""

logger = logging.getLogger(__name__)


class InferenceSettings(Settings):
    """How images are predicted; none of it changes a probability by more than rounding."""

    batch_size: int = Field(default=0, ge=0)
    """Images that are computed together. 0: 64 on a GPU; on a CPU as many as make 65,536 pixels, at most 64 (7 of 96
    pixels, 1 of 384), because the activations of more leave the cache and are slower."""
    workers: int = Field(default=0, ge=0)
    """Threads that decode images and, on a CPU, compute them, each its own batch on one core; 0: one per core."""
    compile: bool = False
    """Compile the network first (needs a C++ compiler; takes minutes, so for many thousand images only). Without a
    compiler the network runs as it is."""


class PredictedBatch(NamedTuple):
    """Predictions of some images."""

    positions: Int[np.ndarray, " image"]
    """Positions of the images, in order."""
    features: Float32[np.ndarray, "image d"]
    """What the head reads."""
    log_probabilities: Float32[np.ndarray, "image node"]
    """Log-probability of every node."""

    @property
    def probabilities(self) -> Float32[np.ndarray, "image node"]:
        """Probability of every node."""
        return np.exp(self.log_probabilities)


def predict_images(
    classifier: PixelClassifier,
    load: Load,
    n_images: int,
    settings: InferenceSettings | None = None,
    *,
    first: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[PredictedBatch]:
    """Predict images `first` to `n_images`, and give them in order, a batch at a time.

    Batches are computed side by side (`streaming.stream_batches`), in memory that does not grow with the images. The
    caller may stop early; nothing is left running.

    Parameters
    ----------
    classifier
        Set to evaluation and moved to `device`.
    load
        Decodes images.
    first
        Where to begin: what a resumed prediction has done already.
    """
    settings = settings or InferenceSettings()
    device = torch.device(device)
    run = _Predictor(classifier, device, is_compiled=settings.compile)
    step = settings.batch_size or images_per_batch(classifier.backbone.spec.image_size, device)
    batches = in_batches(first, n_images, step)
    for positions, found in stream_batches(run, load, batches, workers=settings.workers, device=device):
        yield PredictedBatch(positions, *found)


class _Whole(nn.Module):
    """Features and log-probabilities from one call, so that both can be compiled as one."""

    def __init__(self, classifier: Any):
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (image d) and log-probabilities (image node)."""
        features = self.classifier.features(pixels)
        return features, self.classifier.node_log_probabilities(features)


class _Predictor:
    """A classifier made ready: from pixels on the CPU to features and log-probabilities on the CPU."""

    def __init__(self, classifier: PixelClassifier, device: torch.device, *, is_compiled: bool):
        self.device = device
        self.layout = memory_format(classifier.backbone)
        classifier.eval().to(device, memory_format=self.layout)
        is_eager_cpu = device.type == "cpu" and not is_compiled
        self.module: nn.Module = _Whole(lean(classifier, is_eager_cpu=is_eager_cpu)).eval()
        if is_compiled:
            self._compile(classifier.backbone.spec.image_size)

    def __call__(
        self, pixels: Tensor
    ) -> tuple[Float32[np.ndarray, "image d"], Float32[np.ndarray, "image node"]]:
        with torch.inference_mode():
            found = self.module(pixels.to(self.device, memory_format=self.layout))
            features, log_p = (part.float().cpu().numpy() for part in found)
            return features, log_p

    def _compile(self, size: tuple[int, int]) -> None:
        """Compile for batches of any length, once, before the threads begin; go on without if that is impossible."""
        compiled = torch.compile(self.module, dynamic=True)
        try:
            with torch.inference_mode():
                blank = torch.zeros(2, 3, *size, device=self.device).to(memory_format=self.layout)
                compiled(blank)
        except torch._dynamo.exc.TorchDynamoException as error:
            logger.warning(
                "the network could not be compiled and runs as it is: %s", str(error).splitlines()[0]
            )
            return
        self.module = compiled
