"""Attention over the images of a patient: which of them decide, and a feature of the patient."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """Gated attention over sets of images of any size (Ilse et al. 2018, arXiv 1802.04712, equations 7 and 9).

    z = sum_k a_k h_k with a_k = softmax_k(w' (tanh(V h_k) * sigmoid(U h_k))), the softmax over the images of one
    patient. Images of many patients come in one tensor, each with the number of its patient; nothing is padded.

    Parameters
    ----------
    d_in
        Width of the features of an image.
    hidden
        Width of V and U.
    dropout
        Share of the gated units left out in training.
    """

    def __init__(self, d_in: int, *, hidden: int = 128, dropout: float = 0.0):
        super().__init__()
        self.content = nn.Linear(d_in, hidden)  # V
        self.gate = nn.Linear(d_in, hidden)  # U
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(hidden, 1, bias=False)  # w

    def forward(
        self, features: Float[Tensor, "image d"], patients: Int[Tensor, " image"], n_patients: int
    ) -> Float[Tensor, "patient d"]:
        """Return the features of the patients; those of a patient without an image are 0.

        Parameters
        ----------
        patients
            Number of each image's patient, in [0, n_patients).
        """
        weighted = features * self.attention(features, patients, n_patients)[:, None]  # image d
        return features.new_zeros(n_patients, features.shape[1]).index_add(0, patients, weighted)

    def attention(
        self, features: Float[Tensor, "image d"], patients: Int[Tensor, " image"], n_patients: int
    ) -> Float[Tensor, " image"]:
        """Return the weight of each image in its patient; they sum to 1 over the images of a patient."""
        gated = torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features))  # image hidden
        scores = self.score(self.dropout(gated))[:, 0]
        return softmax_by_patient(scores, patients, n_patients)


class PatientClassifier(nn.Module):
    """From the features of a patient's images to log-probabilities of every node: attention pooling and a head.

    Parameters
    ----------
    pooling
        Makes one feature vector of those of a patient's images.
    head
        As for an `ImageClassifier`.
    """

    def __init__(self, pooling: AttentionPooling, head: nn.Module):
        super().__init__()
        self.pooling = pooling
        self.head = head

    def forward(
        self, features: Float[Tensor, "image d"], patients: Int[Tensor, " image"], n_patients: int
    ) -> Float[Tensor, "patient node"]:
        """Return log-probabilities of every node for every patient."""
        values: Tensor = self.head.node_log_probabilities(self.pooling(features, patients, n_patients))  # type: ignore[operator]
        return values


class FlatHead(nn.Module):
    """Log-probabilities of classes that stand side by side, as a head gives those of the nodes of a tree.

    Parameters
    ----------
    d_in
        Width of the features.
    n_classes
        Number of classes.
    """

    def __init__(self, d_in: int, n_classes: int):
        super().__init__()
        self.linear = nn.Linear(d_in, n_classes)

    def node_log_probabilities(self, features: Float[Tensor, "patient d"]) -> Float[Tensor, "patient class"]:
        """Return the logarithms of probabilities that sum to 1 over class."""
        return torch.log_softmax(self.linear(features), dim=1)


def softmax_by_patient(
    scores: Float[Tensor, " image"], patients: Int[Tensor, " image"], n_patients: int
) -> Float[Tensor, " image"]:
    """Return exp(score) over its sum among the images of the same patient, without overflow."""
    lowest = scores.new_full((n_patients,), -torch.inf)
    highest = lowest.scatter_reduce(0, patients, scores.detach(), "amax")
    raised = torch.exp(scores - highest[patients])
    total = scores.new_zeros(n_patients).index_add(0, patients, raised)
    return raised / total[patients]
