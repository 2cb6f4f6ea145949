"""From pixels to log-probabilities of every node of a taxonomy: a backbone and a head, each handed in ready-made."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.freezing import rate_groups


class ImageClassifier(nn.Module):
    """A backbone that makes features and a head that names nodes.

    Parameters
    ----------
    backbone
        What `build_backbone` gives.
    head
        A module whose `forward(features)` gives logits and whose `node_log_probabilities(features)` gives those of
        every node (`models.hierarchy.HierarchicalHead`).
    """

    def __init__(self, backbone: Backbone, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b node"]:
        """Return log-probabilities of every node; pixels are RGB in [0, 1]."""
        return self.node_log_probabilities(self.features(pixels))

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return one feature vector per image."""
        features: Tensor = self.backbone(pixels)
        return features

    def outputs(self, pixels: Float[Tensor, "b 3 h w"]) -> Any:
        """Return the logits of the head as the head gives them, for its losses."""
        return self.head(self.features(pixels))

    def node_log_probabilities(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b node"]:
        """Return log-probabilities of every node from features that were computed before."""
        values: Tensor = self.head.node_log_probabilities(features)  # type: ignore[operator]
        return values

    def rate_groups(
        self, *, backbone_scale: float, layer_decay: float
    ) -> list[tuple[float, bool, list[nn.Parameter]]]:
        """Return the trained parameters: scale of the learning rate (1 for the head), whether decayed, parameters."""
        groups = rate_groups(self.backbone, scale=backbone_scale, layer_decay=layer_decay)
        head = [parameter for parameter in self.head.parameters() if parameter.requires_grad]
        groups.append((1.0, True, [parameter for parameter in head if parameter.ndim >= 2]))
        groups.append((1.0, False, [parameter for parameter in head if parameter.ndim < 2]))
        return [group for group in groups if group[2]]
