"""Grad-CAM for every target of every image from one forward and one backward through the last layers."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.explain.saliency.capture import (
    ExplainedClassifier,
    evaluating,
    graph_from,
    grid_of,
    read_tokens,
)
from trilineage.explain.saliency.targets import Targets

Empty = Literal["refuse", "nan"]
"""What becomes of a map without any evidence: an error, or a map of NaN that scores leave out."""


def path_maps(
    classifier: ExplainedClassifier,
    pixels: Float[Tensor, "image 3 height width"],
    targets: Targets,
    *,
    signed: bool = False,
    layer: nn.Module | None = None,
    empty: Empty = "refuse",
) -> Float[Tensor, "image target row column"]:
    """Return the Grad-CAM of every target, on the grid of the backbone.

    Selvaraju et al. 2017: the channels k of a layer A are weighed by the mean over the grid of the gradient of the
    evidence, alpha_k = 1/Z sum_ij dy/dA_ij^k (equation 1), and added, ReLU(sum_k alpha_k A^k) (equation 2). The layer
    is the one the backbone states; prefix tokens (class token, registers) are left out of the mean and of the map. The
    graph is built after that layer only, so the maps of a whole path cost little more than one forward.

    Parameters
    ----------
    classifier
        From pixels to node log-probabilities; it is run in evaluation mode.
    pixels
        In [0, 1].
    targets
        As many rows as there are images. A place without a target gives a map of NaN.
    signed
        Leave out the ReLU: negative values speak against the target.
    layer
        Another layer than the backbone's own.
    empty
        What to do with a map that is zero everywhere because all its evidence is negative.

    Raises
    ------
    ConfigError
        If a map is zero everywhere: the layer has no gradient on the grid, or (unless `empty` is "nan") nothing speaks
        for the target.
    ArtifactError
        If activations or gradients are not finite.
    """
    backbone = classifier.backbone
    n_read = read_tokens(backbone, layer)
    start = layer or backbone.saliency_layer
    with evaluating(classifier), graph_from(start, n_read_tokens=n_read) as capture:
        evidence = targets.evidence(classifier(pixels).float())
        activation = capture.output
        gradients = _gradients(evidence, activation)
    grid = grid_of(backbone, activation.detach())
    slopes = torch.stack([grid_of(backbone, gradient) for gradient in gradients])
    exists = torch.as_tensor(targets.exists, device=grid.device)
    _refuse_flat(slopes, exists, targets)
    weights = slopes.mean(dim=(3, 4))  # target image channel
    maps = torch.einsum("tic,ichw->ithw", weights, grid)
    maps = maps if signed else maps.relu()
    return finished_maps(maps, targets, empty=empty)


def finished_maps(
    maps: Float[Tensor, "image target row column"], targets: Targets, *, empty: Empty
) -> Float[Tensor, "image target row column"]:
    """Put NaN where there is no target, and refuse (or blank) maps that are zero everywhere.

    Raises
    ------
    ConfigError
        If a map shows nothing and `empty` is "refuse".
    ArtifactError
        If a map is not finite.
    """
    exists = torch.as_tensor(targets.exists, device=maps.device)
    if not maps[exists].isfinite().all():
        raise ArtifactError(
            "a saliency map is not finite",
            seen="NaN or infinite activations or gradients",
            allowed="finite numbers",
            remedy="look at the training history of the Run and at the pixels of the image",
        )
    is_empty = exists & (maps.abs().amax(dim=(2, 3)) == 0)
    if empty == "refuse" and is_empty.any():
        raise ConfigError(
            "a saliency map is zero everywhere: nothing in the image speaks for the target",
            seen=_where(is_empty, targets),
            allowed="a map with some evidence",
            remedy="explain the node against its siblings, use the signed map, or let empty maps be NaN",
        )
    blank = is_empty | ~exists
    return maps.masked_fill(blank[..., None, None], torch.nan).detach()


def _gradients(evidence: Float[Tensor, "image target"], activation: Tensor) -> list[Tensor]:
    """Return the gradient of each target with respect to the activation; images do not see each other."""
    if not evidence.requires_grad:  # nothing after the layer leads to the decision
        return [torch.zeros_like(activation) for _ in range(evidence.shape[1])]
    totals = evidence.sum(dim=0).unbind()
    last = len(totals) - 1
    return [
        torch.autograd.grad(total, activation, retain_graph=place < last, materialize_grads=True)[0]
        for place, total in enumerate(totals)
    ]


def _refuse_flat(
    slopes: Float[Tensor, "target image channel row column"],
    exists: Bool[Tensor, "image target"],
    targets: Targets,
) -> None:
    """Raise if the gradient of a target is exactly zero on the whole grid."""
    is_flat = exists & (slopes.abs().amax(dim=(2, 3, 4)) == 0).T
    if is_flat.any():
        raise ConfigError(
            "a saliency map would be zero everywhere: the target has no gradient on the grid of the layer",
            seen=_where(is_flat, targets),
            allowed="a layer before the last mixing of places, and a probability below 1",
            remedy="leave the layer to the backbone, or explain the node against its siblings",
        )


def _where(chosen: Bool[Tensor, "image target"], targets: Targets) -> str:
    """Name the first target and image chosen, and how many there are."""
    places = chosen.nonzero().tolist()
    image, place = places[0]
    return (
        f"{targets.label(image, place)} in image {image}, {len(places)} of {int(targets.exists.sum())} maps"
    )
