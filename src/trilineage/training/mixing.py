"""Mixup: learn from weighted means of two images and of their losses."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from trilineage.training.loop import Step, StepOutput


class FeatureBatch(NamedTuple):
    """Features of images in place of their pixels, for a step of the heads alone."""

    features: Tensor
    """One row per image, float32 (image, d)."""
    labels: Tensor
    """Node code of each image, int64 (image)."""
    weight: Tensor
    """Weight of each image in the loss, float32 (image)."""


def mixed(step: Step, alpha: float) -> Step:
    """Return a step that learns from mixtures of the images of a batch (Zhang et al. 2018, arXiv 1710.09412).

    Each image x_i gets a partner x_j of its own batch; the model sees s x_i + (1 - s) x_j and the loss is
    s L(y_i) + (1 - s) L(y_j), with one s ~ Beta(alpha, alpha) per batch. The backbone runs once. Everything is drawn
    from torch's global generator, which the loop seeds at every step, so that a training resumes exactly.

    Parameters
    ----------
    step
        Takes a model and a batch with `pixels` or `features`, `labels` and `weight`.
    alpha
        0 returns `step` as it is.
    """
    if alpha == 0.0:
        return step

    def mixed_step(model: Any, batch: Any) -> StepOutput:
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        partner = torch.randperm(len(batch.pixels), device="cpu").to(batch.pixels.device)
        features = model.features(torch.lerp(batch.pixels[partner], batch.pixels, share))
        first = step(model, FeatureBatch(features, batch.labels, batch.weight))
        second = step(model, FeatureBatch(features, batch.labels[partner], batch.weight[partner]))
        return StepOutput(
            share * first.loss_sum + (1.0 - share) * second.loss_sum,
            share * first.weight + (1.0 - share) * second.weight,
            first.shown,
        )

    return mixed_step
