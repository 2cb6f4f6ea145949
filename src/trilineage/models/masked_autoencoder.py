"""A transformer that fills in hidden patches of an image, and may name its class from what it sees."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.visible import pooled, require_patches, visible_tokens


class Filled(NamedTuple):
    """What is made of an image of which some patches are hidden."""

    features: Float[Tensor, "image d"]
    """Feature of each image, from the patches it shows."""
    patches: Float[Tensor, "image patch value"]
    """Every patch as it is thought to be, row by row: normalised values, pixel by pixel, colours last."""


class MaskedAutoencoder(nn.Module):
    """A backbone that sees the kept patches, a light decoder that draws the hidden ones, and a linear head.

    He et al. 2022 (arXiv 2111.06377); the linear head on the feature of the same view is ours.

    Parameters
    ----------
    backbone
        The encoder, which is all that is kept afterwards.
    decoder_width
        Width of a token in the decoder.
    decoder_blocks
        Transformer blocks of the decoder.
    n_classes
        Classes that the linear head names; 0: no head.

    Raises
    ------
    ConfigError
        If patches of the backbone cannot be hidden.
    """

    def __init__(self, backbone: Backbone, *, decoder_width: int, decoder_blocks: int, n_classes: int = 0):
        super().__init__()
        require_patches(backbone)
        spec = backbone.spec
        self.backbone = backbone
        self.n_patches = spec.grid[0] * spec.grid[1]
        self.n_values = 3 * spec.patch[0] * spec.patch[1]
        self.narrow = nn.Linear(spec.width, decoder_width)
        self.hidden_token = nn.Parameter(torch.zeros(decoder_width))
        self.positions = nn.Parameter(0.02 * torch.randn(self.n_patches, decoder_width))
        self.decoder = nn.Sequential(
            *(_block(decoder_width) for _ in range(decoder_blocks)), nn.LayerNorm(decoder_width)
        )
        self.draw = nn.Linear(decoder_width, self.n_values)
        self.classify = nn.Linear(spec.width, n_classes) if n_classes else None

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Return the feature of whole images."""
        feature: Tensor = self.backbone(pixels)
        return feature

    def forward(self, pixels: Float[Tensor, "b 3 h w"], kept: Int[Tensor, "b kept"]) -> Filled:
        """Look at the kept patches (numbered row by row) and draw all; pixels are RGB in [0, 1]."""
        tokens = visible_tokens(self.backbone, pixels, kept)  # b token d
        return Filled(pooled(self.backbone, tokens), self._drawn(tokens, kept))

    def logits(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b class"]:
        """Return what the linear head makes of features."""
        assert self.classify is not None
        logits: Tensor = self.classify(features)
        return logits

    def _drawn(
        self, tokens: Float[Tensor, "b token d"], kept: Int[Tensor, "b kept"]
    ) -> Float[Tensor, "b patch value"]:
        narrow = self.narrow(tokens)  # b token w
        n_prefix, width = tokens.shape[1] - kept.shape[1], narrow.shape[2]
        places = self.hidden_token.to(narrow.dtype).expand(len(kept), self.n_patches, width)
        places = places.scatter(1, kept[:, :, None].expand(-1, -1, width), narrow[:, n_prefix:])  # b patch w
        everything = torch.cat([narrow[:, :n_prefix], places + self.positions.to(narrow.dtype)], dim=1)
        drawn: Tensor = self.draw(self.decoder(everything)[:, n_prefix:])  # b patch value
        return drawn


def _block(width: int) -> nn.Module:
    return nn.TransformerEncoderLayer(
        width,
        max(1, width // 32),
        4 * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
