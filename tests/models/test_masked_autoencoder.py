"""A prediction for every patch, whatever was seen; the feature of whole images is that of the backbone."""

import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.masked_autoencoder import MaskedAutoencoder


def model(pool="cls", n_classes=0, name="cell_vit"):
    torch.manual_seed(0)
    network = build_backbone(BackboneSettings(name=name, pool=pool), 24)
    return MaskedAutoencoder(network, decoder_width=32, decoder_blocks=1, n_classes=n_classes).eval()


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_every_patch_is_drawn_from_those_that_are_seen(pool):
    filled = model(pool)(torch.rand(2, 3, 24, 24), torch.tensor([[0, 4], [1, 8]]))
    assert filled.features.shape == (2, 192)
    assert filled.patches.shape == (2, 9, 3 * 8 * 8)


def test_what_is_drawn_depends_on_where_a_seen_patch_lies():
    network, pixels = model(), torch.full((1, 3, 24, 24), 0.3)
    first, second = (network(pixels, torch.tensor([[place]])).patches for place in (0, 8))
    assert not torch.allclose(first, second)


def test_the_feature_of_a_whole_image_is_that_of_the_backbone():
    network, pixels = model(), torch.rand(2, 3, 24, 24)
    assert torch.equal(network.features(pixels), network.backbone(pixels))


def test_the_head_names_as_many_classes_as_asked():
    network = model(n_classes=5)
    assert network.logits(torch.rand(3, 192)).shape == (3, 5)
    assert model().classify is None


def test_a_network_without_patches_is_refused():
    with pytest.raises(ConfigError, match="cannot learn from hidden patches"):
        model(name="small_cnn", pool="auto")
