"""A vision transformer that sees some patches of an image only: the others cost nothing and leave no trace."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.backbone import Backbone


def visible_tokens(
    backbone: Backbone, pixels: Float[Tensor, "b 3 h w"], kept: Int[Tensor, "b kept"]
) -> Float[Tensor, "b token d"]:
    """Return the normalised output tokens of the kept patches, prefix tokens first.

    Hidden patches are grey before the first convolution and left out after it, so that nothing of them reaches the kept
    ones, not even over the border of a patch (He et al. 2022, arXiv 2111.06377, section 3).

    Parameters
    ----------
    pixels
        Red, green and blue in [0, 1].
    kept
        Patches that are seen, row by row from 0, each once.

    Raises
    ------
    ConfigError
        If the backbone is no vision transformer with positions of its own.
    """
    require_patches(backbone)
    net: Any = backbone.net
    n_prefix = backbone.spec.n_prefix_tokens
    normal = (pixels - backbone.mean) / backbone.std
    shown = normal * _window(backbone, kept).to(normal.dtype)
    tokens = net._pos_embed(net.patch_embed(shown))  # b all d
    patches = tokens[:, n_prefix:].gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[2]))
    tokens = net.norm_pre(torch.cat([tokens[:, :n_prefix], patches], dim=1))  # b token d
    out: Tensor = net.norm(net.blocks(tokens))
    return out


def pooled(backbone: Backbone, tokens: Float[Tensor, "b token d"]) -> Float[Tensor, "b d"]:
    """Return the feature of an image from its output tokens, as the backbone itself makes it."""
    net: Any = backbone.net
    feature: Tensor = net.forward_head(tokens, pre_logits=True)
    return feature


def require_patches(backbone: Backbone) -> None:
    """Refuse a network whose patches cannot be hidden."""
    net: Any = backbone.net
    has_positions = isinstance(getattr(net, "pos_embed", None), Tensor)
    if backbone.spec.family != "vit" or not has_positions:
        raise ConfigError(
            "this backbone cannot learn from hidden patches",
            seen=backbone.spec.name,
            allowed="a vision transformer of timm with a table of positions (cell_vit, small_vit, vit_small_...)",
            remedy="choose another backbone.name",
        )


def _window(backbone: Backbone, kept: Int[Tensor, "b kept"]) -> Float[Tensor, "b 1 h w"]:
    """Return 1 at the pixels of kept patches and 0 elsewhere."""
    rows, columns = backbone.spec.grid
    seen = torch.zeros(len(kept), rows * columns, device=kept.device).scatter_(1, kept, 1.0)
    height, width = backbone.spec.patch
    grid = seen.view(-1, 1, rows, columns)
    return grid.repeat_interleave(height, dim=2).repeat_interleave(width, dim=3)
