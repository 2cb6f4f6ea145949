"""A block of tokens in which so many latents are active that dense products are the fastest exact way."""

import torch
from jaxtyping import Float32
from torch import Tensor

from trilineage.models.sae.model import SparseAutoencoder
from trilineage.training.objectives.sae.gradients import (
    Errors,
    Gradients,
    Prefixes,
    Slope,
    Targets,
    errors_of_parts,
)


class Crowd:
    """Activations of a few tokens with their zeros, as a ReLU or a JumpReLU has them early in training.

    Parameters
    ----------
    model
        The autoencoder.
    block
        Pre-activations without the bias; overwritten.
    slope
        What the loss asks of activations.
    """

    def __init__(self, model: SparseAutoencoder, block: Float32[Tensor, "token latent"], slope: Slope):
        self.weight, self.slope = model.decoder_weight.detach(), slope
        heights = block.add_(model.encoder.bias)
        self.is_near: Tensor | None = None
        if slope.thresholds is None:
            heights.relu_()
        else:
            self.is_near = (heights - slope.thresholds).abs_() < slope.bandwidth / 2
            heights.mul_(heights > slope.thresholds)
        self.heights = heights
        self.is_active = heights > 0
        self.counts = self.is_active.sum(dim=0)
        self.amount = float(heights.sum(dtype=torch.float64))

    def learn(
        self,
        targets: Targets,
        centred: Float32[Tensor, "token width"],
        prefixes: Prefixes,
        gradients: Gradients | None,
    ) -> Errors:
        """Return the errors of the nested reconstructions and add their gradients."""
        parts = [self.heights[:, a:b] @ self.weight[a:b] for a, b in prefixes.spans]
        errors = errors_of_parts(parts, targets, prefixes)
        if gradients is not None:
            gradients.cleared()
            for span, error in zip(prefixes.spans, errors.gradients, strict=True):
                self._add(gradients, slice(*span), error, centred)
        return errors

    def _add(self, gradients: Gradients, here: slice, error: Tensor, centred: Tensor) -> None:
        """Add the gradients of a span of latents."""
        rows = gradients.projected(self.heights[:, here].T @ error, here)
        gradients.decoder[here] += rows
        slopes = (error @ self.weight[here].T).add_(self.slope.penalty)
        if self.is_near is not None and self.slope.thresholds is not None:
            moves = slopes * self.slope.thresholds[here] + self.slope.per_active
            moves.mul_(self.is_near[:, here])
            gradients.biases[1, here] -= moves.sum(dim=0) / self.slope.bandwidth
        slopes.mul_(self.is_active[:, here])
        gradients.encoder[here].addmm_(slopes.T, centred)
        gradients.biases[0, here] += slopes.sum(dim=0)
