"""The loss of one image at each level of a taxonomy, for every variant, in log space."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trilineage.data.taxonomy import Taxonomy
from trilineage.models.hierarchy import HierarchicalHead, HierarchySettings
from trilineage.models.node_probabilities import Conditionals, MaximumOfDescendants

_LEAST = 1e-12
"""Least 1 - q in the focal factor: its power has an infinite slope at 0, where the loss is 0 anyway."""


class LevelLosses(NamedTuple):
    """Losses of images by level; variants without levels have one."""

    losses: Float[Tensor, "image level"]
    """Loss, with focal factor, alpha, smoothing and the level's weight; 0 where there is none."""
    parents: Int[Tensor, "image level"]
    """Node index of the parent whose children are told apart; -1 where the label says nothing at that level."""


class LossTerms(nn.Module):
    """(head, logits, codes) -> LevelLosses; made by `loss_terms`."""

    def forward(
        self, head: HierarchicalHead, logits: Float[Tensor, "image output"], codes: Int[Tensor, " image"]
    ) -> LevelLosses:
        """Return the losses of images with these labels."""
        raise NotImplementedError


class ConditionalTerms(LossTerms):
    """At each level the focal loss of the true child among the children of its parent.

    A label at an inner node has terms above it only; with gamma 0 and all weights 1 they sum to -log p(label).

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 5; Bertinetto et al., "Making better
    mistakes", CVPR 2020, equations 3 and 4 (the hierarchical cross-entropy, by the weights of the edges).
    """

    def __init__(self, settings: HierarchySettings, taxonomy: Taxonomy, alpha: Float[Tensor, " node"]):
        super().__init__()
        self.gamma, self.smoothing = settings.gamma, settings.label_smoothing
        parents, children = _paths(taxonomy)
        mean = torch.zeros(taxonomy.n_nodes, taxonomy.n_nodes)
        for parent in range(taxonomy.n_nodes):
            below = list(taxonomy.children_of(parent))
            mean[below, parent] = 1.0 / max(len(below), 1)
        self.register_buffer("path_parents", parents)
        self.register_buffer("path_children", children)
        self.register_buffer("mean_of_children", mean)
        self.register_buffer("alpha", alpha)
        self.register_buffer("edge_weight", _edge_weights(settings, taxonomy))

    def forward(
        self, head: HierarchicalHead, logits: Float[Tensor, "image output"], codes: Int[Tensor, " image"]
    ) -> LevelLosses:
        """Return one loss per level on the path of each label."""
        nodes = head.nodes(logits)
        log_q = nodes if isinstance(head.nodes, Conditionals) else nodes - nodes[:, self._parent_of()]
        each = self.alpha * focal(log_q, self.gamma)
        parents, children = self.path_parents[codes], self.path_children[codes]
        losses = each.gather(1, children.clamp_min(0))
        if self.smoothing:
            with torch.autocast(logits.device.type, enabled=False):
                spread = (each @ self.mean_of_children).gather(1, parents.clamp_min(0))
            losses = (1.0 - self.smoothing) * losses + self.smoothing * spread
        losses = losses * self.edge_weight[children.clamp_min(0)]
        return LevelLosses(torch.where(parents >= 0, losses, 0.0), parents)

    def _parent_of(self) -> Int[Tensor, " node"]:
        """Return the parent of each node, the root for the root."""
        return (self.mean_of_children > 0).int().argmax(dim=1)


class FlatTerms(LossTerms):
    """The focal loss of p(label), the sum over the leaves that the label leaves open."""

    def __init__(self, settings: HierarchySettings, taxonomy: Taxonomy, alpha: Float[Tensor, " node"]):
        super().__init__()
        self.gamma, self.smoothing = settings.gamma, settings.label_smoothing
        self.register_buffer("alpha", alpha)
        self.register_buffer("leaves", torch.from_numpy(taxonomy.leaf_nodes))

    def forward(
        self, head: HierarchicalHead, logits: Float[Tensor, "image output"], codes: Int[Tensor, " image"]
    ) -> LevelLosses:
        """Return one loss per image."""
        each = self.alpha * focal(head.nodes(logits), self.gamma)
        losses = each.gather(1, codes.clamp_min(0)[:, None])
        if self.smoothing:
            spread = each[:, self.leaves].mean(dim=1, keepdim=True)
            losses = (1.0 - self.smoothing) * losses + self.smoothing * spread
        is_term = codes[:, None] > 0
        return LevelLosses(torch.where(is_term, losses, 0.0), is_term.long() - 1)


class MaximumTerms(LossTerms):
    """The mean over nodes of the binary focal loss under the max-constraint.

    A node above the label (or the label) is true, and its probability is the maximum over what is below and not known
    to be false; a node that shares no leaf with the label is false; of the others the label says nothing.

    References
    ----------
    Giunchiglia and Lukasiewicz, NeurIPS 2020, equation 3 (the loss MCLoss).
    """

    def __init__(self, settings: HierarchySettings, taxonomy: Taxonomy, alpha: Float[Tensor, " node"]):
        super().__init__()
        self.gamma, self.smoothing = settings.gamma, settings.label_smoothing
        ancestors = torch.from_numpy(taxonomy.ancestors)
        leaf_sets = torch.from_numpy(taxonomy.leaf_sets).float()
        self.register_buffer("is_true", ancestors[:, 1:].clone())
        self.register_buffer("is_false", ~((leaf_sets @ leaf_sets.T) > 0)[:, 1:])
        self.register_buffer("alpha", alpha[1:])
        self.register_buffer("level_weight", _level_weights(settings, taxonomy))

    def forward(
        self, head: HierarchicalHead, logits: Float[Tensor, "image output"], codes: Int[Tensor, " image"]
    ) -> LevelLosses:
        """Return one loss per image, the mean over all nodes but the root."""
        assert isinstance(head.nodes, MaximumOfDescendants)
        logits = logits.float()
        rows = codes.clamp_min(0)
        is_true, is_false = self.is_true[rows], self.is_false[rows]
        floor = torch.finfo(logits.dtype).min
        as_true = head.nodes.raised(logits.masked_fill(is_false, floor))
        as_false = head.nodes.raised(logits)
        as_true = torch.where(is_true, as_true, 0.0)
        when_true = self.alpha * self._smoothed(F.logsigmoid(as_true), F.logsigmoid(-as_true))
        when_false = self._smoothed(F.logsigmoid(-as_false), F.logsigmoid(as_false))
        losses = torch.where(is_true, when_true, torch.where(is_false, when_false, 0.0))
        is_term = codes[:, None] > 0
        mean = (losses * self.level_weight).mean(dim=1, keepdim=True)
        return LevelLosses(torch.where(is_term, mean, 0.0), is_term.long() - 1)

    def _smoothed(
        self, log_right: Float[Tensor, "image edge"], log_wrong: Float[Tensor, "image edge"]
    ) -> Float[Tensor, "image edge"]:
        """Return the focal loss of the right answer, half of the smoothing on the wrong one."""
        right = focal(log_right, self.gamma)
        if not self.smoothing:
            return right
        half = self.smoothing / 2.0
        return (1.0 - half) * right + half * focal(log_wrong, self.gamma)


def focal(log_q: Float[Tensor, "image _"], gamma: float) -> Float[Tensor, "image _"]:
    """Return -(1 - q)^gamma log q."""
    if gamma == 0.0:
        return -log_q
    return -(-torch.expm1(log_q)).clamp_min(_LEAST).pow(gamma) * log_q


def loss_terms(settings: HierarchySettings, taxonomy: Taxonomy, alpha: Float[Tensor, " node"]) -> LossTerms:
    """Return the losses of a variant; `base` learns as `flat` does, on the branch of its parent."""
    match settings.variant:
        case "flat" | "base":
            return FlatTerms(settings, taxonomy, alpha)
        case "max_constrained":
            return MaximumTerms(settings, taxonomy, alpha)
        case _:
            return ConditionalTerms(settings, taxonomy, alpha)


def _paths(taxonomy: Taxonomy) -> tuple[Int[Tensor, "row level"], Int[Tensor, "row level"]]:
    """Return, for the path of each node, parent and child at each level, -1 below its end; the last row is for -1."""
    parents = torch.full((taxonomy.n_nodes + 1, max(taxonomy.height, 1)), -1)
    children = parents.clone()
    for node in range(taxonomy.n_nodes):
        way = torch.tensor(taxonomy.path(node))
        parents[node, : len(way) - 1], children[node, : len(way) - 1] = way[:-1], way[1:]
    return parents, children


def _edge_weights(settings: HierarchySettings, taxonomy: Taxonomy) -> Float[Tensor, " node"]:
    """Return the weight of the edge above each node: that of its level, for `hxe` times exp(-hxe_alpha height)."""
    weights = torch.cat([torch.ones(1), _level_weights(settings, taxonomy)])
    if settings.variant == "hxe":
        weights *= torch.exp(-settings.hxe_alpha * torch.from_numpy(taxonomy.heights).float())
    return weights


def _level_weights(settings: HierarchySettings, taxonomy: Taxonomy) -> Float[Tensor, " edge"]:
    """Return the weight of the level that every node but the root is told apart at."""
    by_level = torch.tensor(settings.level_weights or (1.0,) * taxonomy.height)
    return by_level[torch.from_numpy(taxonomy.depth[1:]) - 1]
