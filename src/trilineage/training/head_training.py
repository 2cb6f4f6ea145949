"""Train a hierarchical head on features held in memory: its minibatches, and what is watched after each epoch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64, Shaped
from torch import Tensor, nn

from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy
from trilineage.training.loop import Validate
from trilineage.training.mixing import FeatureBatch
from trilineage.training.objectives.classification import sample_weights


class FeatureBatches:
    """Features of training images for a head alone; each epoch takes one of the kept looks at each image."""

    def __init__(
        self,
        views: Float32[np.ndarray, "view image d"],
        labels: Int64[np.ndarray, " image"],
        weights: np.ndarray,
    ):
        self.views, self.labels, self.weights = views, labels, weights.astype(np.float32)

    def __len__(self) -> int:
        return len(self.labels)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " image"]:
        """Return the images of an epoch, each with the look that is its turn."""
        draw = generator(seed, "feature batches", epoch)
        view = draw.integers(len(self.views), size=len(self))
        return (view * len(self) + np.arange(len(self)))[draw.permutation(len(self))]

    def take(self, positions: Int[np.ndarray, " batch"]) -> "MovableFeatures":
        """Return the minibatch of these images."""
        view, chosen = np.divmod(positions, max(len(self), 1))
        return MovableFeatures(
            torch.from_numpy(self.views[view, chosen]),
            torch.from_numpy(self.labels[chosen]),
            torch.from_numpy(self.weights[chosen]),
        )


class MovableFeatures(FeatureBatch):
    """Features that the loop sends to the device."""

    def to(self, device: torch.device | str) -> "MovableFeatures":
        """Return the batch on a device."""
        return MovableFeatures(*(part.to(device) for part in self))


def node_validation(
    model: nn.Module,
    watched: Callable[[], Tensor],
    codes: Int[np.ndarray, " image"],
    patients: Shaped[np.ndarray, " image"],
    taxonomy: Taxonomy,
) -> Validate:
    """Return what is measured after each epoch: -log p(label), every patient weighing the same, and accuracy.

    Parameters
    ----------
    model
        Set to evaluation before it is asked.
    watched
        Returns log-probabilities of every node for the validation images (image, node).
    codes, patients
        Node and patient (code or name) of each of them.
    """
    weights = sample_weights(codes, np.unique(patients, return_inverse=True)[1], weighting="donor")
    leaves = taxonomy.leaf_nodes

    def validate() -> Mapping[str, float]:
        model.eval()
        with torch.inference_mode():
            log_p = watched().float().cpu().numpy()
        own = log_p[np.arange(len(codes)), codes]
        called = leaves[log_p[:, leaves].argmax(axis=1)]
        is_right = taxonomy.ancestors[called, codes]
        return {
            "valid_loss": float(-(own * weights).mean()),
            "valid_accuracy": float((is_right * weights).mean()),
        }

    return validate
