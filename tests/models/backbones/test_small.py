"""The two networks of our own: any size that fits, and they learn."""

import pytest
import torch
from torch import nn

from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings


@pytest.mark.parametrize(("name", "size"), [("small_vit", 16), ("small_cnn", 28)])
def test_they_learn_where_a_bright_half_is(name, size):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSettings(name=name), size)
    model = nn.Sequential(backbone, nn.Linear(backbone.spec.width, 2))
    labels = torch.arange(16) % 2
    pixels = 0.2 * torch.rand(16, 3, size, size)
    pixels[labels == 1, :, : size // 2] += 0.6
    pixels[labels == 0, :, size // 2 :] += 0.6
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3


def test_the_stem_is_cut_like_patches():
    backbone = build_backbone(BackboneSettings(name="small_vit"), (24, 40)).eval()
    pixels = torch.rand(1, 3, 24, 40)
    stem = backbone.net.patch_embed
    moved = pixels.clone()
    moved[:, :, 16:, 32:] += 1.0  # the last patch
    with torch.no_grad():
        tokens = stem.project(stem.layers(pixels)).flatten(2)[0].T
        assert torch.equal(stem(pixels)[0], tokens)
        assert stem(moved).shape == (1, 15, 160)


def test_a_block_of_the_residual_network_begins_as_its_skip():
    block = build_backbone(BackboneSettings(name="small_cnn"), 28).eval().blocks[0]
    maps = torch.rand(1, 32, 28, 28)
    with torch.no_grad():
        assert torch.equal(block(maps), torch.relu(block.skip(maps)))
