"""The base hierarchical variant: a model for every parent of the taxonomy, joined into probabilities of every node."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.hierarchy import HierarchicalHead
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.node_probabilities import compose_conditionals


class ParentNetworks(nn.Module):
    """One softmax over the children of each inner node, each with a backbone of its own or all with the same.

    It answers to what an `ImageClassifier` answers to: the features of an image are those of all backbones, side by
    side.

    Parameters
    ----------
    taxonomy
        A tree.
    backbones
        One for each inner node in the order of `taxonomy.inner`, or a single one for all.
    heads
        One for each inner node (`models.hierarchy.build_parent_head`).

    References
    ----------
    Hamdi et al. 2023 (arXiv 2502.10899): the base hierarchical variant is four separate models.
    """

    def __init__(self, taxonomy: Taxonomy, backbones: Sequence[Backbone], heads: Sequence[HierarchicalHead]):
        super().__init__()
        if len(heads) != len(taxonomy.inner) or len(backbones) not in (1, len(heads)):
            raise ConfigError(
                "the models of a base hierarchy do not fit the taxonomy",
                seen=f"{len(backbones)} backbones, {len(heads)} heads",
                allowed=f"{len(taxonomy.inner)} heads, and as many backbones or one",
                remedy="build one model for each inner node",
            )
        self.taxonomy = taxonomy
        self.backbones = nn.ModuleList(backbones)
        self.heads = nn.ModuleList(heads)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b node"]:
        """Return log-probabilities of every node; pixels are RGB in [0, 1]."""
        return self.node_log_probabilities(self.features(pixels))

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return the features of all backbones, side by side."""
        return torch.cat([backbone(pixels) for backbone in self.backbones], dim=1)

    def node_log_probabilities(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b node"]:
        """Return log-probabilities of every node from features that were computed before."""
        shares = features.chunk(len(self.backbones), dim=1)
        own = shares if len(shares) > 1 else shares * len(self.heads)
        conditionals = [
            cast(HierarchicalHead, head).node_log_probabilities(share)[
                :, 1:
            ]  # the root of its branch is certain
            for head, share in zip(self.heads, own, strict=True)
        ]
        return compose_conditionals(conditionals, self.taxonomy)

    @property
    def backbone(self) -> Backbone:
        """The first backbone: image size, normalisation and layout are those of all."""
        return cast(Backbone, self.backbones[0])

    def network_of(self, parent: str) -> ImageClassifier:
        """Return the model that tells the children of an inner node apart.

        Raises
        ------
        ConfigError
            If the node has no children.
        """
        if parent not in self.taxonomy.inner:
            raise ConfigError(
                f"{parent!r} has no model of its own",
                allowed=", ".join(self.taxonomy.inner),
                remedy="name one of these",
            )
        place = self.taxonomy.inner.index(parent)
        backbone = self.backbones[place if len(self.backbones) > 1 else 0]
        return ImageClassifier(cast(Backbone, backbone), self.heads[place])
