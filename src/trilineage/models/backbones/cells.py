"""The encoder for cells: a small vision transformer of timm's own modules, so that plain timm can load its weights."""

from functools import partial

from torch import nn

from trilineage.models.backbones.library import timm

CELL_VIT = {"embed_dim": 192, "depth": 6, "num_heads": 6, "mlp_ratio": 4.0}
CELL_PATCH = 8
"""Side of a patch in pixels: three convolutions of stride 2."""


def cell_vit(image_size: tuple[int, int], *, pool: str, drop_path: float) -> nn.Module:
    """Build a vision transformer of 2.9 million weights: convolutional stem, class token, width 192, 6 blocks.

    At 96 x 96 pixels its patches lie on a grid of 12 x 12. The stem (Xiao et al. 2021, arXiv 2106.14881, section 3) is
    timm's `ConvStem` with a norm over the channels of each place in place of batch norm: what is computed for an image
    does not depend on its neighbours in the batch, nor one place on whether others are hidden. Mean-pooled, it has no
    class token.
    """
    width = CELL_VIT["embed_dim"]
    stem = timm.models.vision_transformer_hybrid.ConvStem(
        channels=(width // 4, width // 2, width), norm_layer=timm.layers.LayerNorm2d, act_layer=nn.GELU
    )
    return timm.models.vision_transformer.VisionTransformer(
        img_size=image_size,
        patch_size=1,  # of the map that the stem leaves
        num_classes=0,
        class_token=pool != "mean",
        global_pool="avg" if pool == "mean" else "token",
        fc_norm=False,
        embed_layer=partial(timm.layers.HybridEmbed, backbone=stem, proj=False),
        drop_path_rate=drop_path,
        **CELL_VIT,
    )
