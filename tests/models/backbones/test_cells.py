"""The encoder for cells: its grid, and that plain timm loads its weights."""

from functools import partial

import pytest
import torch
from torch import nn

from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.library import timm
from trilineage.models.backbones.spec import BackboneSettings


def plain_timm(image_size, *, class_token):
    """The network as the model card builds it, with timm alone."""
    stem = timm.models.vision_transformer_hybrid.ConvStem(
        channels=(48, 96, 192), norm_layer=timm.layers.LayerNorm2d, act_layer=nn.GELU
    )
    return timm.models.vision_transformer.VisionTransformer(
        img_size=image_size,
        patch_size=1,
        num_classes=0,
        class_token=class_token,
        global_pool="token" if class_token else "avg",
        fc_norm=False,
        embed_dim=192,
        depth=6,
        num_heads=6,
        embed_layer=partial(timm.layers.HybridEmbed, backbone=stem, proj=False),
    )


@pytest.mark.parametrize(("pool", "n_prefix"), [("cls", 1), ("mean", 0)])
def test_its_patches_lie_on_a_grid_of_twelve_at_96_pixels(pool, n_prefix):
    spec = build_backbone(BackboneSettings(name="cell_vit", pool=pool), 96).spec
    assert (spec.grid, spec.patch, spec.width, spec.n_blocks) == ((12, 12), (8, 8), 192, 6)
    assert (spec.n_prefix_tokens, spec.pools) == (n_prefix, pool)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_plain_timm_loads_its_weights_and_gives_the_same_features(pool):
    backbone = build_backbone(BackboneSettings(name="cell_vit", pool=pool), 24).eval()
    net = plain_timm(24, class_token=pool == "cls").eval()
    net.load_state_dict(backbone.net.state_dict())
    pixels = torch.rand(2, 3, 24, 24)
    assert torch.equal(net((pixels - 0.5) / 0.5), backbone(pixels))
