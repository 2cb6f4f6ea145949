"""Learn a taxonomy: focal losses level by level, labels at any node, means over parents, and a check of isolation."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trilineage.core.errors import CohortError, ConfigError
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.hierarchy import (
    HierarchicalHead,
    HierarchySettings,
    ParentLogits,
    require_fitting_weights,
)
from trilineage.models.layers import sum_over_shares
from trilineage.training.loop import Step, StepOutput
from trilineage.training.objectives.hierarchy_terms import LevelLosses, LossTerms, loss_terms


@runtime_checkable
class PixelBatch(Protocol):
    """A batch of images for a model with a backbone."""

    pixels: Tensor
    """Images in [0, 1] (image, channel, height, width)."""
    labels: Tensor
    """Node index, -1 where unknown (image)."""
    weight: Tensor
    """Weight in the loss (image)."""


@runtime_checkable
class FeatureBatch(Protocol):
    """A batch of features that were computed before, for a head alone."""

    features: Tensor
    """Outputs of a frozen backbone (image, feature)."""
    labels: Tensor
    """Node index, -1 where unknown (image)."""
    weight: Tensor
    """Weight in the loss (image)."""


@runtime_checkable
class ImageModel(Protocol):
    """A backbone and a hierarchical head on it."""

    head: HierarchicalHead
    """Features in, logits out."""

    def features(self, pixels: Tensor) -> Tensor:
        """Return features (image, feature) of pixels in [0, 1]."""
        ...


def hierarchy_losses(
    head: HierarchicalHead,
    outputs: Float[Tensor, "image output"],
    node_codes: Int[Tensor, " image"],
    *,
    settings: HierarchySettings,
    class_weight: Float[np.ndarray, " node"] | None = None,
) -> LevelLosses:
    """Return the loss of each image at each level; 0 where its label says nothing of that level.

    Parameters
    ----------
    outputs
        Logits of `head`.
    node_codes
        Node of each label, which may be an inner node; -1 where unknown.
    settings
        The loss; its variant must be that of the head.
    class_weight
        Focal alpha of each true node, in place of what the settings say; needed where they say `balanced`.
    """
    return _terms(settings, head.taxonomy, class_weight).to(outputs.device)(head, outputs, node_codes)


def hierarchy_step(
    settings: HierarchySettings,
    taxonomy: Taxonomy,
    class_weight: Float[np.ndarray, " node"] | None = None,
) -> Step:
    """Return the step function of a variant for `training.loop.train`.

    The model is a `HierarchicalHead` for batches of features, or a backbone with such a head for batches of pixels.
    Training one model of the variant `base` takes the branch of its parent as taxonomy (`branch_taxonomy`).

    Notes
    -----
    With normalisation `parent` the loss of a batch is sum_p w_p / |M_p| sum_{i in M_p} FL(q_p(i), child of p above
    label i), where M_p holds the images of the whole batch, over all processes, whose label lies below p, counted by
    their weights. A parent without any adds nothing. `StepOutput` carries this mean times the weight of all labelled
    images, so that an epoch averages over images.
    """
    return HierarchyStep(settings, _terms(settings, taxonomy, class_weight))


class HierarchyStep:
    """(model, batch) -> StepOutput; made by `hierarchy_step`."""

    def __init__(self, settings: HierarchySettings, terms: LossTerms):
        self.settings, self.terms = settings, terms

    def __call__(self, model: Any, batch: Any) -> StepOutput:
        """Return the loss of this process's share of a batch."""
        head, inputs = _head_and_inputs(model, batch)
        labels, weight = batch.labels, batch.weight.float()
        return self._output(head, head(_features(model, inputs)), labels, weight)

    def _output(
        self,
        head: HierarchicalHead,
        outputs: Float[Tensor, "image output"],
        labels: Int[Tensor, " image"],
        weight: Float[Tensor, " image"],
    ) -> StepOutput:
        self.terms.to(outputs.device)
        found: LevelLosses = self.terms(head, outputs, labels)
        is_known = (found.parents >= 0).any(dim=1)
        own_weight = (weight * is_known).sum()
        losses = found.losses
        if self.settings.variant == "multilabel" and self.settings.normalization == "parent":
            losses = losses * _parent_scale(found.parents, weight, head.taxonomy.n_nodes)
        return StepOutput((losses.sum(dim=1) * weight).sum(), own_weight)


def balanced_weights(
    node_codes: Int[np.ndarray, " image"], taxonomy: Taxonomy, settings: HierarchySettings
) -> Float[np.ndarray, " node"]:
    """Return the focal alpha of each node under which the alternatives of a decision count the same.

    In variants with conditionals the alternatives are the children of a parent: alpha of a child is
    |M_p| / (number of children seen * images of the child). In `flat` and `hxe` they are the leaves, and an inner node
    has the mean over the leaves below it. Nodes that no label reaches have 1.

    Raises
    ------
    CohortError
        If no label is known.
    """
    known = node_codes[node_codes > 0]
    if len(known) == 0:
        raise CohortError(
            "there are no labels to weigh classes by", remedy="check the labels of the training part"
        )
    counts = taxonomy.ancestors[known].sum(axis=0)
    weights = np.ones(taxonomy.n_nodes)
    if settings.variant in ("flat", "hxe", "base"):
        weights[taxonomy.leaf_nodes] = _equal_says(counts[taxonomy.leaf_nodes])
        shares = taxonomy.leaf_sets / taxonomy.leaf_sets.sum(axis=1, keepdims=True)
        means: np.ndarray = shares @ weights[taxonomy.leaf_nodes]
        return means
    for parent in taxonomy.inner:
        children = list(taxonomy.children_of(taxonomy.index(parent)))
        weights[children] = _equal_says(counts[children])
    return weights


def isolation_check(
    head: HierarchicalHead,
    settings: HierarchySettings,
    *,
    features: Float[Tensor, "image feature"] | None = None,
    n_images: int = 4,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure whether the levels of a `multilabel` head leave each other alone, for the self-test of a Run.

    Every node but the root is the label of `n_images` images, with random features unless some are given, which are
    dealt in turn. Nothing of the head is changed.

    Returns
    -------
    dict
        `max_on_other_heads`: largest absolute gradient of a level's loss on the heads of other levels;
        `max_on_other_features`: on features that are not its own, which are those of `ParentLogits.own_features`, and
        with isolation `none` those of the level `trunk` alone; `min_on_own_heads`: least over levels of the largest
        gradient on their own heads, which shows that there was a gradient to leak; `is_isolated`: whether the first two
        are exactly 0 and the third is not; `isolation`; and `levels`, the three numbers of each.

    Raises
    ------
    ConfigError
        If the head is not of the variant `multilabel`.
    """
    logits = head.logits
    if settings.variant != "multilabel" or not isinstance(logits, ParentLogits):
        raise ConfigError(
            "only a head of the variant `multilabel` has levels whose isolation can be measured",
            seen=f"variant {settings.variant}",
            remedy="check a multilabel head",
        )
    device = logits.heads[0].weight.device  # type: ignore[union-attr]
    codes = torch.arange(1, head.taxonomy.n_nodes, device=device).repeat(n_images)
    probes = _probes(len(codes), logits.d_in, features, seed).to(device).requires_grad_()
    with torch.enable_grad():
        plain = settings.replace(alpha="none")
        losses = hierarchy_losses(head, head(probes), codes, settings=plain).losses
        rows = [_reach(losses[:, level].sum(), level, logits, probes) for level in range(logits.n_levels)]
    deciding = [row["on_own_heads"] for level, row in enumerate(rows) if _decides(logits, level)]
    on_heads = max(row["on_other_heads"] for row in rows)
    on_features = max(row["on_other_features"] for row in rows)
    least = min(deciding, default=1.0)
    return {
        "isolation": settings.isolation,
        "max_on_other_heads": on_heads,
        "max_on_other_features": on_features,
        "min_on_own_heads": least,
        "is_isolated": on_heads == 0.0 and on_features == 0.0 and least > 0.0,
        "levels": rows,
    }


def _terms(
    settings: HierarchySettings, taxonomy: Taxonomy, class_weight: Float[np.ndarray, " node"] | None
) -> LossTerms:
    """Make the loss, with the alpha of every node."""
    require_fitting_weights(settings, taxonomy)
    if class_weight is None and settings.alpha == "balanced":
        raise ConfigError(
            "alpha=balanced needs the weights of the classes",
            remedy="hand over class_weight=balanced_weights(codes of the training images, taxonomy, settings)",
        )
    if class_weight is None:
        class_weight = np.array([1.0, *(settings.alpha_values or [1.0] * (taxonomy.n_nodes - 1))])
    if len(class_weight) != taxonomy.n_nodes:
        raise ConfigError(
            "class_weight does not fit the taxonomy",
            seen=f"{len(class_weight)} weights",
            allowed=f"{taxonomy.n_nodes}, one for every node of {taxonomy.name}",
            remedy="give one weight per node",
        )
    return loss_terms(settings, taxonomy, torch.from_numpy(np.asarray(class_weight, dtype=np.float32)))


def _head_and_inputs(model: Any, batch: Any) -> tuple[HierarchicalHead, Tensor]:
    """Return the head of a model and what the model reads of a batch."""
    if isinstance(model, HierarchicalHead) and isinstance(batch, FeatureBatch):
        return model, batch.features
    if isinstance(model, ImageModel) and isinstance(batch, PixelBatch):
        return model.head, batch.pixels
    raise TypeError(
        f"{type(model).__name__} cannot learn from {type(batch).__name__}: a HierarchicalHead takes batches with"
        " features, a model with `features` and `head` takes batches with pixels."
    )


def _features(model: Any, inputs: Tensor) -> Tensor:
    """Return what the head reads."""
    return inputs if isinstance(model, HierarchicalHead) else model.features(inputs)


def _parent_scale(
    parents: Int[Tensor, "image level"], weight: Float[Tensor, " image"], n_nodes: int
) -> Float[Tensor, "image level"]:
    """Return the weight of all labelled images over that of M_p, for the parent p of each image at each level."""
    is_term = parents >= 0
    slots = torch.where(is_term, parents, n_nodes)  # one more slot, for no parent
    sums = weight.new_zeros(n_nodes + 1)
    sums.index_add_(0, slots.reshape(-1), (weight[:, None] * is_term).reshape(-1))
    sums[n_nodes] = (weight * is_term.any(dim=1)).sum()
    sums = sum_over_shares(sums)
    members = sums[slots]
    return torch.where(is_term & (members > 0), sums[n_nodes] / members, 0.0)


def _equal_says(counts: Int[np.ndarray, " child"]) -> Float[np.ndarray, " child"]:
    """Return weights with mean 1 over images under which every child that was seen has the same sum."""
    n_seen = max(int((counts > 0).sum()), 1)
    weights: np.ndarray = np.where(counts > 0, counts.sum() / (n_seen * np.maximum(counts, 1)), 1.0)
    return weights


def _probes(
    n_images: int, d_in: int, features: Float[Tensor, "given feature"] | None, seed: int
) -> Float[Tensor, "image feature"]:
    if features is None:
        return torch.randn(n_images, d_in, generator=torch.Generator().manual_seed(seed))
    return features.detach().float()[torch.arange(n_images, device=features.device) % len(features)].clone()


def _reach(
    loss: Float[Tensor, ""], level: int, logits: ParentLogits, probes: Float[Tensor, "image feature"]
) -> dict[str, float]:
    """Return the largest absolute gradient of one level's loss on its own heads, on others, and on foreign features."""
    parameters = [(of, weight) for of, head in _heads(logits) for weight in head.parameters()]
    found = torch.autograd.grad(
        loss, [probes, *(weight for _, weight in parameters)], retain_graph=True, allow_unused=True
    )
    sizes = [0.0 if gradient is None else float(gradient.abs().max()) for gradient in found[1:]]
    own = [size for size, (of, _) in zip(sizes, parameters, strict=True) if of == level]
    other = [size for size, (of, _) in zip(sizes, parameters, strict=True) if of != level]
    on_features = torch.zeros_like(probes) if found[0] is None else found[0].abs()
    return {
        "on_own_heads": max(own),
        "on_other_heads": max(other, default=0.0),
        "on_other_features": float((on_features * _is_foreign(logits, level)).max()),
    }


def _heads(logits: ParentLogits) -> list[tuple[int, nn.Module]]:
    return list(zip(logits.levels, logits.heads, strict=True))


def _is_foreign(logits: ParentLogits, level: int) -> Float[Tensor, " feature"]:
    """Return 1 for features that belong to another level; without isolation they are the trunk's."""
    is_foreign = torch.ones(logits.d_in)
    if logits.isolation != "none" or level == logits.trunk_level:
        is_foreign[logits.own_features(level)] = 0.0
    return is_foreign.to(logits.heads[0].weight.device)  # type: ignore[union-attr]


def _decides(logits: ParentLogits, level: int) -> bool:
    """Return whether a head of the level has two outputs; one alone is always right and has no gradient."""
    return any(of == level and head.out_features > 1 for of, head in _heads(logits))  # type: ignore[operator]
