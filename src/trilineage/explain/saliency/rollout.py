"""Attention rollout: how much of each patch reaches the feature of the image through all layers of a transformer."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trilineage.core.errors import ArtifactError
from trilineage.explain.saliency.capture import ExplainedClassifier, evaluating


def rollout_maps(
    classifier: ExplainedClassifier, pixels: Float[Tensor, "image 3 height width"]
) -> Float[Tensor, "image row column"]:
    """Return the attention rollout of each image on the grid of the backbone.

    Abnar & Zuidema 2020, section 4: the attention of a layer, averaged over its heads, is mixed in equal parts with the
    identity (the residual connection), and the layers are multiplied. The map is the row of the class token, or the
    mean row of the patches where the feature is their mean; its columns of prefix tokens are left out. It is the same
    for every target: it tells what the network looked at, not what speaks for a node.

    Raises
    ------
    ConfigError
        If the backbone is no vision transformer.
    ArtifactError
        If attentions are not finite.
    """
    backbone = classifier.backbone
    with evaluating(classifier), torch.inference_mode():
        # One image at a time: the attentions of all layers of one image take 96 MB at 577 tokens.
        rows = [_rollout(backbone, backbone.attention(image[None])[0]) for image in pixels]
    maps = torch.stack(rows).clone()
    if not maps.isfinite().all():
        raise ArtifactError(
            "an attention map is not finite",
            seen="NaN or infinite attention",
            allowed="finite numbers",
            remedy="look at the training history of the Run and at the pixels of the image",
        )
    return maps


def _rollout(
    backbone: Any, attentions: Float[Tensor, "layer head token token"]
) -> Float[Tensor, "row column"]:
    """Follow the attention from the feature down to the patches: a row vector through the layers, last layer first."""
    n_prefix = backbone.spec.n_prefix_tokens
    share = torch.zeros(attentions.shape[-1], dtype=torch.float32, device=attentions.device)
    if backbone.spec.pools == "cls":
        share[0] = 1.0
    else:
        share[n_prefix:] = 1.0 / (len(share) - n_prefix)
    for attention in attentions.float().mean(dim=1).flip(0):
        share = 0.5 * share + 0.5 * (share @ attention)
    return share[n_prefix:].unflatten(0, backbone.spec.grid)
