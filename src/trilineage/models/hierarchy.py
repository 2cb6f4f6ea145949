"""Classification along a taxonomy: heads that turn image features into probabilities of every node."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.node_probabilities import (
    Conditionals,
    LeafSums,
    MaximumOfDescendants,
    require_tree,
)

_INIT_STD = 0.02
"""Of the weights of a fresh head: small, so that it begins near equal conditionals."""

Variant = Literal["flat", "base", "multilabel", "conditional", "hxe", "max_constrained"]


class HierarchySettings(Settings):
    """Which hierarchical classifier, and its loss."""

    variant: Variant = "multilabel"
    """`flat`: one softmax over the leaves, summed up the tree. `base`: a model of its own for every parent, as
    published. `multilabel`: one model, a head for every parent, each level with a focal loss of its own.
    `conditional`: the same heads under one loss per image, -log p(label). `hxe`: flat outputs under the hierarchical
    cross-entropy of Bertinetto et al. 2020. `max_constrained`: a sigmoid per node, parents the maximum of what is
    below (Giunchiglia and Lukasiewicz 2020), for graphs and mixed phenotypes."""
    isolation: Literal["none", "heads", "fine_to_coarse"] = "none"
    """What keeps the levels of `multilabel` apart. `none`: all of them shape the shared features. `heads`: only the
    level `trunk` does, the others stop at them. `fine_to_coarse`: each level has a part of the features to itself,
    and coarser heads also read the finer parts through a stop-gradient (Chang et al. 2021)."""
    trunk: Literal["coarsest", "finest"] = "coarsest"
    """Level whose loss shapes the shared features under isolation `heads`. Only the coarsest sees every image: with
    leaves at mixed depth the finest never sees the shallow ones."""
    gamma: float = Field(default=2.0, ge=0.0, le=10.0)
    """Focusing of the focal loss (Lin et al. 2017); 0 is cross-entropy. Above 0 it is no proper scoring rule:
    calibrate afterwards."""
    alpha: Literal["none", "balanced"] = "none"
    """Weight of each true class in the focal loss. `balanced`: from the training labels, so that the children of a
    parent count the same (in `flat` and `hxe` the leaves)."""
    alpha_values: tuple[float, ...] = ()
    """Weights of the true classes given by hand, one for every node but the root in node order; empty: as `alpha`
    says."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the target that is spread evenly over the alternatives."""
    level_weights: tuple[float, ...] = ()
    """Weight of the loss of each level, the root's first; empty: all 1. Not for `flat` and `base`."""
    normalization: Literal["parent", "sample"] = "parent"
    """What the losses of `multilabel` are averaged over: for every parent the images whose label lies below it (as
    published), or all images, which makes the sum of the levels -log p(label) when gamma is 0."""
    hxe_alpha: float = Field(default=0.1, ge=0.0, le=10.0)
    """How much less higher levels count in `hxe`: a conditional at height h has the weight exp(-hxe_alpha h)."""

    @model_validator(mode="after")
    def _require_what_can_work(self) -> "HierarchySettings":
        if self.isolation != "none" and self.variant != "multilabel":
            raise ConfigError(
                "only the variant `multilabel` has levels to isolate",
                seen=f"variant {self.variant}, isolation {self.isolation}",
                remedy="set isolation=none, or variant=multilabel",
            )
        if self.level_weights and self.variant in ("flat", "base"):
            raise ConfigError(
                f"the variant {self.variant!r} has no levels to weigh",
                seen=f"level_weights {self.level_weights}",
                remedy="leave level_weights empty, or choose another variant",
            )
        if self.alpha_values and self.alpha != "none":
            raise ConfigError(
                "alpha is given twice",
                seen=f"alpha {self.alpha}, alpha_values {self.alpha_values}",
                remedy="leave alpha_values empty, or set alpha=none",
            )
        numbers = (*self.level_weights, *self.alpha_values)
        if not all(0.0 <= number < float("inf") for number in numbers):
            raise ConfigError(
                "weights are finite and not negative",
                seen=f"alpha_values {self.alpha_values}, level_weights {self.level_weights}",
                remedy="correct the weights",
            )
        return self


class HierarchicalHead(nn.Module):
    """Features in, logits out; `log_probabilities` turns them into log p of every node.

    Parameters
    ----------
    taxonomy
        The nodes.
    logits
        From features to logits.
    nodes
        From logits to log-probabilities: `LeafSums`, `Conditionals` or `MaximumOfDescendants`.
    """

    def __init__(
        self, taxonomy: Taxonomy, logits: nn.Module, nodes: LeafSums | Conditionals | MaximumOfDescendants
    ):
        super().__init__()
        self.taxonomy = taxonomy
        self.logits = logits
        self.nodes = nodes

    def forward(self, features: Float[Tensor, "image feature"]) -> Float[Tensor, "image output"]:
        """Return logits in float32, also where the features are not: one per leaf, or one per node but the root."""
        with torch.autocast(features.device.type, enabled=False):
            return self.logits(features).float()

    def log_probabilities(self, logits: Float[Tensor, "image output"]) -> Float[Tensor, "image node"]:
        """Return log p(node)."""
        values: Tensor = self.nodes(logits)
        return self.nodes.multiplied(values) if isinstance(self.nodes, Conditionals) else values

    def node_log_probabilities(self, features: Float[Tensor, "image feature"]) -> Float[Tensor, "image node"]:
        """Return log p(node), float32; at most 0, and 0 for the root."""
        return self.log_probabilities(self(features))


class LinearLogits(nn.Module):
    """One linear map for all logits."""

    def __init__(self, d_in: int, n_outputs: int):
        super().__init__()
        self.linear = _linear(d_in, n_outputs)

    def forward(self, features: Float[Tensor, "image feature"]) -> Float[Tensor, "image output"]:
        """Return the logits in the precision of the weights."""
        logits: Tensor = self.linear(features.to(self.linear.weight.dtype))
        return logits


class ParentLogits(nn.Module):
    """A linear head for every parent; what of the features it reads, and whether it shapes them, is the isolation.

    Parameters
    ----------
    taxonomy
        A tree; the heads stand in the order of its inner nodes, the level of a head is the depth of its parent.
    d_in
        Width of the features.
    isolation, trunk
        As in `HierarchySettings`.
    """

    def __init__(self, taxonomy: Taxonomy, d_in: int, *, isolation: str = "none", trunk: str = "coarsest"):
        super().__init__()
        parents = [taxonomy.index(name) for name in taxonomy.inner]
        self.d_in = d_in
        self.levels = tuple(int(taxonomy.depth[parent]) for parent in parents)
        self.n_levels = max(self.levels) + 1
        self.isolation = isolation
        self.trunk_level = 0 if trunk == "coarsest" else self.n_levels - 1
        share = d_in // self.n_levels
        if isolation == "fine_to_coarse" and share == 0:
            raise ConfigError(
                "there are fewer features than levels to share them",
                seen=f"{d_in} features, {self.n_levels} levels",
                remedy="use a wider backbone, or isolation=heads",
            )
        self.starts = tuple(level * share for level in range(self.n_levels))
        self.heads = nn.ModuleList(
            _linear(d_in - self._start(level), len(taxonomy.children_of(parent)))
            for level, parent in zip(self.levels, parents, strict=True)
        )

    def forward(self, features: Float[Tensor, "image feature"]) -> Float[Tensor, "image edge"]:
        """Return the logits of all heads, parent by parent."""
        first: nn.Linear = self.heads[0]  # type: ignore[assignment]
        features = features.to(first.weight.dtype)
        read = [self._read(features, level) for level in range(self.n_levels)]
        return torch.cat([head(read[level]) for head, level in zip(self.heads, self.levels, strict=True)], 1)

    def own_features(self, level: int) -> slice:
        """Return the features that the loss of a level may shape."""
        if self.isolation == "fine_to_coarse":
            return slice(self.starts[level], (*self.starts, self.d_in)[level + 1])
        is_reached = self.isolation == "none" or level == self.trunk_level
        return slice(0, self.d_in if is_reached else 0)

    def _start(self, level: int) -> int:
        return self.starts[level] if self.isolation == "fine_to_coarse" else 0

    def _read(self, features: Float[Tensor, "image feature"], level: int) -> Float[Tensor, "image _"]:
        """Return what the heads of a level read, with gradients only where its loss may go."""
        if self.isolation == "fine_to_coarse":
            own = self.own_features(level)
            return torch.cat([features[:, own], features[:, own.stop :].detach()], dim=1)
        if self.isolation == "heads" and level != self.trunk_level:
            return features.detach()
        return features


def build_head(settings: HierarchySettings, taxonomy: Taxonomy, d_in: int) -> HierarchicalHead:
    """Return the head of a variant for features of width `d_in`.

    Raises
    ------
    ConfigError
        For `base`, whose models have a head each (`build_parent_head`); for a DAG where the variant needs a tree; for
        weights that do not fit the taxonomy.
    """
    require_fitting_weights(settings, taxonomy)
    n_leaves, n_edges = len(taxonomy.leaves), taxonomy.n_nodes - 1
    match settings.variant:
        case "flat":
            return HierarchicalHead(taxonomy, LinearLogits(d_in, n_leaves), LeafSums(taxonomy))
        case "hxe":
            require_tree(taxonomy, "the conditionals of `hxe`")
            return HierarchicalHead(taxonomy, LinearLogits(d_in, n_leaves), LeafSums(taxonomy))
        case "conditional":
            return HierarchicalHead(taxonomy, LinearLogits(d_in, n_edges), Conditionals(taxonomy))
        case "multilabel":
            nodes = Conditionals(taxonomy)
            logits = ParentLogits(taxonomy, d_in, isolation=settings.isolation, trunk=settings.trunk)
            return HierarchicalHead(taxonomy, logits, nodes)
        case "max_constrained":
            return HierarchicalHead(taxonomy, LinearLogits(d_in, n_edges), MaximumOfDescendants(taxonomy))
        case "base":
            raise ConfigError(
                "the variant `base` is not one model but one for every parent",
                seen=f"one head asked for, {len(taxonomy.inner)} parents",
                remedy="build a head for each parent with build_parent_head and join them with compose_conditionals",
            )


def branch_settings(settings: HierarchySettings, taxonomy: Taxonomy, parent: str) -> HierarchySettings:
    """Return the settings of the model of one parent: of weights given by hand, those of its children."""
    if not settings.alpha_values:
        return settings
    require_fitting_weights(settings, taxonomy)
    children = taxonomy.children_of(taxonomy.index(parent))
    return settings.replace(alpha_values=tuple(settings.alpha_values[child - 1] for child in children))


def branch_codes(
    codes: Int[np.ndarray, " image"], taxonomy: Taxonomy, parent: str
) -> Int[np.ndarray, " image"]:
    """Return labels as the model of one parent sees them: 1, 2, ... for its children and what is below, else -1.

    Images with -1 are not for that model to learn from.
    """
    table = np.full(taxonomy.n_nodes + 1, -1, dtype=np.int64)  # the last entry answers the code -1
    for place, child in enumerate(taxonomy.children_of(taxonomy.index(parent)), start=1):
        table[:-1][taxonomy.ancestors[:, child]] = place
    return table[codes]


def build_parent_head(taxonomy: Taxonomy, parent: str, d_in: int) -> HierarchicalHead:
    """Return the head of one model of the base variant: a softmax over the children of `parent`."""
    branch = branch_taxonomy(taxonomy, parent)
    return HierarchicalHead(branch, LinearLogits(d_in, len(branch.leaves)), LeafSums(branch))


def branch_taxonomy(taxonomy: Taxonomy, parent: str) -> Taxonomy:
    """Return a parent with its children as leaves: the taxonomy of one model of the base variant."""
    require_tree(taxonomy, "the models of `base`")
    children = taxonomy.children_of(taxonomy.index(parent))
    if not children:
        raise ConfigError(
            f"{parent!r} has no children to tell apart",
            allowed=", ".join(taxonomy.inner),
            remedy="name one of these",
        )
    return Taxonomy.from_parents(
        f"{taxonomy.name}: {parent}", {parent: (), **{taxonomy.nodes[child]: (parent,) for child in children}}
    )


def require_fitting_weights(settings: HierarchySettings, taxonomy: Taxonomy) -> None:
    """Refuse weights of levels or classes that are not as many as the taxonomy has.

    Raises
    ------
    ConfigError
        If they are not.
    """
    n_levels, n_edges = taxonomy.height, taxonomy.n_nodes - 1
    if settings.level_weights and len(settings.level_weights) != n_levels:
        raise ConfigError(
            "level_weights do not fit the taxonomy",
            seen=f"{len(settings.level_weights)} weights",
            allowed=f"{n_levels} for {taxonomy.name}, the root's first",
            remedy="give one weight per level",
        )
    if settings.alpha_values and len(settings.alpha_values) != n_edges:
        raise ConfigError(
            "alpha_values do not fit the taxonomy",
            seen=f"{len(settings.alpha_values)} weights",
            allowed=f"{n_edges} for {taxonomy.name}: {', '.join(taxonomy.nodes[1:])}",
            remedy="give one weight for every node but the root, or alpha=balanced",
        )


def _linear(d_in: int, n_outputs: int) -> nn.Linear:
    layer = nn.Linear(d_in, n_outputs)
    nn.init.trunc_normal_(layer.weight, std=_INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer
