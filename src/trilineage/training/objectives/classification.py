"""Learn classes from latents: weighted cross-entropy, weights per class and per donor, and the minibatches."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.models.graph import WholeGraph
from trilineage.training.loop import StepOutput

Weighting = Literal["none", "class", "donor", "class_donor"]
"""`none`: every sample counts 1. `class`: every class counts the same. `donor`: every patient counts the same.
`class_donor`: every class counts the same, and inside it every patient."""


class ClassificationBatch(NamedTuple):
    """One minibatch for `classification_step`."""

    inputs: Tensor | WholeGraph
    """What the head takes."""
    labels: Tensor
    """Class index, int64 (cell)."""
    weights: Tensor
    """Weight in the loss, float32 (cell)."""


class LatentBatches:
    """Minibatches over inputs held in memory, in an order that depends on seed and epoch alone.

    Parameters
    ----------
    inputs
        One row per cell: latents, or what `Classifier.fit_inputs` made of them.
    labels
        Class index per cell.
    weights
        Weight per cell in the loss; None: every cell counts 1.
    device
        Where minibatches are sent; None: where `inputs` are.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "cell feature"],
        labels: Int[np.ndarray, " cell"],
        *,
        weights: Float[np.ndarray, " cell"] | None = None,
        device: torch.device | str | None = None,
    ):
        self.inputs = inputs
        self.device = inputs.device if device is None else torch.device(device)
        self.labels, self.weights = _targets(labels, weights, inputs.device)

    def __len__(self) -> int:
        return len(self.labels)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " cell"]:
        """Return the cells in the order of this epoch."""
        return generator(seed, "latent batches", epoch).permutation(len(self))

    def take(self, positions: Int[np.ndarray, " batch"]) -> ClassificationBatch:
        """Return the minibatch of these cells."""
        rows = torch.from_numpy(positions).to(self.inputs.device)
        return ClassificationBatch(
            *(part[rows].to(self.device) for part in (self.inputs, self.labels, self.weights))
        )


class GraphBatches:
    """One batch per epoch: the whole graph, for a graph convolution.

    Parameters
    ----------
    graph
        What `Classifier.fit_inputs` returned.
    labels
        Class index of every cell that was handed to `fit_inputs`.
    weights
        Weight of each of these cells in the loss; None: every cell counts 1.
    """

    def __init__(
        self,
        graph: WholeGraph,
        labels: Int[np.ndarray, " cell"],
        *,
        weights: Float[np.ndarray, " cell"] | None = None,
        device: torch.device | str | None = None,
    ):
        device = graph.hop.device if device is None else torch.device(device)
        every_label, every_weight = _targets(labels, weights, device)
        rows = graph.positions.to(device)
        self.batch = ClassificationBatch(
            WholeGraph(graph.hop.to(device), graph.graph.to(device), rows),
            every_label[rows],
            every_weight[rows],
        )

    def __len__(self) -> int:
        return 1

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " batch"]:
        """Return the only position there is."""
        return np.zeros(1, dtype=np.int64)

    def take(self, positions: Int[np.ndarray, " batch"]) -> ClassificationBatch:
        """Return the whole graph; without positions (a second process) its cells weigh nothing."""
        if len(positions):
            return self.batch
        return self.batch._replace(weights=torch.zeros_like(self.batch.weights))


def classification_batches(
    inputs: Tensor | WholeGraph,
    labels: Int[np.ndarray, " cell"],
    *,
    weights: Float[np.ndarray, " cell"] | None = None,
    device: torch.device | str | None = None,
) -> LatentBatches | GraphBatches:
    """Return the minibatches that fit what `Classifier.fit_inputs` returned."""
    if isinstance(inputs, WholeGraph):
        return GraphBatches(inputs, labels, weights=weights, device=device)
    return LatentBatches(inputs, labels, weights=weights, device=device)


def classification_step(head: nn.Module, batch: ClassificationBatch) -> StepOutput:
    """Return the weighted sum of the losses of a minibatch and the sum of the weights."""
    losses = classification_losses(head(batch.inputs), batch.labels)
    weight = batch.weights.sum()
    return StepOutput(loss_sum=(losses * batch.weights).sum(), weight=weight)


def classification_losses(
    logits: Float[Tensor, "cell output"], labels: Int[Tensor, " cell"]
) -> Float[Tensor, " cell"]:
    """Return the cross-entropy of each cell in nats: softmax over columns, or sigmoid of a single column."""
    logits = logits.float()
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def sample_weights(
    labels: Int[np.ndarray, " sample"], patients: Int[np.ndarray, " sample"], *, weighting: Weighting
) -> Float[np.ndarray, " sample"]:
    """Return weights with mean 1 that give classes, patients or both the same say.

    Parameters
    ----------
    labels
        Class index per sample.
    patients
        Patient code per sample; a patient with samples of two classes counts in each of them.

    Examples
    --------
    Three cells of a first class from one patient, one of a second class:

    >>> sample_weights(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1]), weighting="class").tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    if len(labels) == 0:
        raise CohortError("there are no samples to weigh", remedy="check the training part of the split")
    match weighting:
        case "none":
            return np.ones(len(labels))
        case "class":
            return _equal_shares(labels)
        case "donor":
            return _equal_shares(patients)
        case "class_donor":
            pairs = np.unique(np.stack([labels, patients], axis=1), axis=0, return_inverse=True)
            classes_of_pairs, pair_of_sample = pairs[0][:, 0], pairs[1].reshape(-1)
            within = _equal_shares(pair_of_sample)
            weights: np.ndarray = within * _equal_shares(classes_of_pairs)[pair_of_sample]
            return weights


def _equal_shares(groups: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """Return weights with mean 1 under which every group has the same sum."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    shares: np.ndarray = len(groups) / (len(counts) * counts[inverse.reshape(-1)])
    return shares


def _targets(
    labels: Int[np.ndarray, " cell"], weights: Float[np.ndarray, " cell"] | None, device: torch.device | str
) -> tuple[Int[Tensor, " cell"], Float[Tensor, " cell"]]:
    """Move labels and weights beside the inputs."""
    weights = np.ones(len(labels)) if weights is None else weights
    return (
        torch.from_numpy(labels.astype(np.int64)).to(device),
        torch.from_numpy(weights.astype(np.float32)).to(device),
    )
