"""Two small networks that a CPU can train from nothing: a transformer with a convolutional stem, a residual net."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trilineage.models.backbones.library import timm

SMALL_VIT = {"embed_dim": 160, "depth": 6, "num_heads": 5, "mlp_ratio": 4.0}
STEM_STRIDE = 8
CNN_STEM = 32
CNN_WIDTHS = (64, 128)


class ConvolutionalStem(nn.Module):
    """Patches of 8 pixels from three convolutions of stride 2: learns faster than one linear patch embedding.

    Xiao et al. 2021 (arXiv 2106.14881), section 3. Takes the place of timm's patch embedding and has its attributes.

    Parameters
    ----------
    img_size
        Height and width in pixels, multiples of 8.
    embed_dim
        Width of a token.
    """

    def __init__(self, img_size: Any, patch_size: Any, in_chans: int, embed_dim: int, **ignored: Any):
        super().__init__()
        self.img_size = timm.layers.to_2tuple(img_size)
        self.patch_size = timm.layers.to_2tuple(patch_size)
        self.grid_size = tuple(size // STEM_STRIDE for size in self.img_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        layers: list[nn.Module] = []
        widths = (in_chans, embed_dim // 4, embed_dim // 2, embed_dim)
        for wide, narrow in zip(widths[1:], widths[:-1], strict=True):
            convolution = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.GroupNorm(1, wide), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Conv2d(embed_dim, embed_dim, 1)

    def forward(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b token d"]:
        """Return one token per patch, row by row."""
        maps = self.project(self.layers(pixels))  # b d gh gw
        tokens: Tensor = maps.flatten(2).transpose(1, 2)  # b token d
        return tokens


TIMM_STEM = {
    "patch_embed.layers.0.": "patch_embed.backbone.0.conv.",
    "patch_embed.layers.1.": "patch_embed.backbone.0.bn.",
    "patch_embed.layers.3.": "patch_embed.backbone.1.conv.",
    "patch_embed.layers.4.": "patch_embed.backbone.1.bn.",
    "patch_embed.layers.6.": "patch_embed.backbone.2.conv.",
    "patch_embed.layers.7.": "patch_embed.backbone.2.bn.",
    "patch_embed.project.": "patch_embed.backbone.3.conv.",
}
"""What timm's `ConvStem` of the same four convolutions, inside its `HybridEmbed`, calls the weights of our stem."""


def with_timm_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network under the names that plain timm gives them; others than our stem's stay."""
    return {_renamed(name, TIMM_STEM): tensor for name, tensor in tensors.items()}


def with_own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of `small_vit`; the inverse of `with_timm_names`."""
    own = {theirs: ours for ours, theirs in TIMM_STEM.items()}
    return {_renamed(name, own): tensor for name, tensor in tensors.items()}


def _renamed(name: str, beginnings: Mapping[str, str]) -> str:
    found = next((start for start in beginnings if start in name), None)
    return name if found is None else name.replace(found, beginnings[found])


def small_vit(image_size: tuple[int, int], *, pool: str, drop_path: float) -> nn.Module:
    """Build a vision transformer of 2 million weights: convolutional stem, width 160, 6 blocks, mean-pooled."""
    return timm.models.vision_transformer.VisionTransformer(
        img_size=image_size,
        patch_size=STEM_STRIDE,
        num_classes=0,
        class_token=pool == "cls",
        global_pool="token" if pool == "cls" else "avg",
        fc_norm=False,
        embed_layer=ConvolutionalStem,
        drop_path_rate=drop_path,
        **SMALL_VIT,
    )


class SmallCnn(nn.Module):
    """A compact residual network for images of about 28 pixels, mean-pooled: 0.3 million weights.

    Parameters
    ----------
    stem
        Channels at full size.
    widths
        Channels of the blocks; each halves the grid.
    """

    def __init__(self, stem: int = CNN_STEM, widths: tuple[int, ...] = CNN_WIDTHS):
        super().__init__()
        self.num_features = widths[-1]
        self.stem = nn.Sequential(_convolution(3, stem), nn.BatchNorm2d(stem), nn.ReLU())
        pairs = pairwise((stem, *widths))
        self.blocks = nn.Sequential(*(ResidualBlock(narrow, wide, stride=2) for narrow, wide in pairs))

    def forward(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Return the mean of the last feature map."""
        maps: Tensor = self.blocks(self.stem(pixels))  # b d gh gw
        return maps.mean(dim=(2, 3))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input (He et al. 2016, arXiv 1603.05027 without the pre-activation)."""

    def __init__(self, d_in: int, d_out: int, *, stride: int):
        super().__init__()
        self.first = nn.Sequential(_convolution(d_in, d_out, stride), nn.BatchNorm2d(d_out), nn.ReLU())
        self.second = nn.Sequential(_convolution(d_out, d_out), nn.BatchNorm2d(d_out))
        is_same = d_in == d_out and stride == 1
        self.skip = nn.Identity() if is_same else nn.Conv2d(d_in, d_out, 1, stride=stride, bias=False)
        nn.init.zeros_(self.second[1].weight)  # every block begins as its skip

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d gh gw"]:
        """Return the maps of the next grid."""
        return torch.relu(self.skip(maps) + self.second(self.first(maps)))


def _convolution(d_in: int, d_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(d_in, d_out, 3, stride=stride, padding=1, bias=False)
