"""Hidden patches leave no trace; with nothing hidden the tokens are those of the network."""

import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.backbones.visible import pooled, require_patches, visible_tokens

POOLS = ("cls", "mean")


def backbone(pool):
    torch.manual_seed(0)
    return build_backbone(BackboneSettings(name="cell_vit", pool=pool), 32).eval()


@pytest.mark.parametrize("pool", POOLS)
def test_with_every_patch_kept_the_feature_is_that_of_the_whole_image(pool):
    network, pixels = backbone(pool), torch.rand(2, 3, 32, 32)
    tokens = visible_tokens(network, pixels, torch.arange(16).expand(2, -1))
    assert torch.allclose(pooled(network, tokens), network(pixels), atol=1e-6)


@pytest.mark.parametrize("pool", POOLS)
def test_what_hidden_patches_show_changes_nothing(pool):
    network, pixels = backbone(pool), torch.rand(1, 3, 32, 32)
    kept = torch.tensor([[0, 2, 5]])
    other = torch.rand(1, 3, 32, 32)
    for patch in kept[0].tolist():
        rows, columns = slice(patch // 4 * 8, patch // 4 * 8 + 8), slice(patch % 4 * 8, patch % 4 * 8 + 8)
        other[:, :, rows, columns] = pixels[:, :, rows, columns]
    assert torch.equal(visible_tokens(network, pixels, kept), visible_tokens(network, other, kept))


def test_hidden_patches_cost_no_token():
    tokens = visible_tokens(backbone("cls"), torch.rand(1, 3, 32, 32), torch.tensor([[3, 7]]))
    assert tokens.shape == (1, 1 + 2, 192)


def test_a_network_without_patches_is_refused():
    with pytest.raises(ConfigError, match=r"small_cnn.*vision transformer"):
        require_patches(build_backbone(BackboneSettings(name="small_cnn"), 32))
