"""From one minibatch of expression to calibrated class probabilities: encoder, classifier, temperature."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trilineage.models.sparse import SparseBatch, sparse_matmul


@runtime_checkable
class Encoder(Protocol):
    """What a diagnoser asks of the part that turns expression into a latent."""

    def encode(
        self, batch: SparseBatch, missing: Bool[Tensor, " gene"] | None = None
    ) -> Float[Tensor, "cell latent"]:
        """Return one latent row per cell; missing genes are taken at their training mean."""
        ...


class StandardizedGenes(nn.Module):
    """The representation without an autoencoder: every gene centred and scaled on the training part.

    For bulk and microarray tables, where samples are few and genes informative one by one.

    Parameters
    ----------
    mean
        Training mean per gene, on the scale of `ExpressionBatch.values`.
    scale
        Training standard deviation per gene; genes below `floor` are divided by `floor`.
    """

    FLOOR = 1e-3
    """Smallest divisor, so that a gene constant in training cannot blow up in a new sample."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Float[Tensor, " gene"], scale: Float[Tensor, " gene"]):
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("scale", scale.clamp_min(self.FLOOR))

    def encode(
        self, batch: SparseBatch, missing: Bool[Tensor, " gene"] | None = None
    ) -> Float[Tensor, "cell gene"]:
        """Return standardised values; a missing gene is 0, which is its training mean."""
        standard = self.encode_dense(batch.dense())
        return standard if missing is None else standard.masked_fill(missing, 0.0)

    def encode_dense(self, values: Float[Tensor, "cell gene"]) -> Float[Tensor, "cell gene"]:
        """Centre and scale dense values (differentiable, for attributions)."""
        return (values - self.mean) / self.scale


class PrincipalComponents(nn.Module):
    """The representation by principal components of the training samples: a linear latent, exact and quick.

    Parameters
    ----------
    mean
        Training mean per gene, on the scale of `ExpressionBatch.values`.
    axes
        Orthonormal directions; rows of genes that were not chosen are 0.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, mean: Float[Tensor, " gene"], axes: Float[Tensor, "gene component"]):
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("axes", axes.clone())

    def encode(
        self, batch: SparseBatch, missing: Bool[Tensor, " gene"] | None = None
    ) -> Float[Tensor, "cell component"]:
        """Return component scores; a missing gene is taken at its training mean, which adds 0."""
        scores = sparse_matmul(batch, self.axes) - self.mean @ self.axes
        return scores if missing is None else scores + torch.where(missing, self.mean, 0.0) @ self.axes

    def encode_dense(self, values: Float[Tensor, "cell gene"]) -> Float[Tensor, "cell component"]:
        """Return component scores of dense values (differentiable, for attributions)."""
        return (values - self.mean) @ self.axes


class Diagnoser(nn.Module):
    """Encoder, classifier and temperature, each handed in ready-made.

    Parameters
    ----------
    encoder
        A module with `encode(batch, missing)`: `ExpressionAutoencoder`, `PrincipalComponents` or `StandardizedGenes`.
    classifier
        A module from latent to logits: one column per class, or a single column for two classes.
    """

    temperature: Tensor

    def __init__(self, encoder: nn.Module, classifier: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.register_buffer("temperature", torch.ones(()))

    def latent(
        self, batch: SparseBatch, missing: Bool[Tensor, " gene"] | None = None
    ) -> Float[Tensor, "cell latent"]:
        """Encode a minibatch."""
        latent: Tensor = self.encoder.encode(batch, missing)  # type: ignore[operator]
        return latent

    def logits(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell class"]:
        """Return uncalibrated logits with one column per class (two where the classifier is binary)."""
        return two_columns(self.classifier(latent))

    def probabilities(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell class"]:
        """Return calibrated probabilities that sum to 1 over class."""
        return torch.softmax(self.logits(latent) / self.temperature, dim=1)


def two_columns(logits: Float[Tensor, "cell output"]) -> Float[Tensor, "cell class"]:
    """Write a sigmoid logit s as the two-class logits (0, s): softmax of it is (1 - sigmoid(s), sigmoid(s))."""
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim=1)
