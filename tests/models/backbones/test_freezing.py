"""Layers of a network: their numbers, which are trained, and how fast."""

import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.freezing import layer_numbers, rate_groups
from trilineage.models.backbones.spec import BackboneSettings


def built(name="small_vit", size=32, **options):
    return build_backbone(BackboneSettings(name=name, **options), size)


def trained(backbone):
    return {name.removeprefix("net.") for name, p in backbone.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("name", "size", "first", "last"),
    [
        ("small_vit", 32, "net.pos_embed", "net.norm.bias"),
        ("convnext_atto", 64, "net.stem.0.weight", "net.head.norm.weight"),
        ("resnet10t", 64, "net.conv1.0.weight", None),
    ],
)
def test_layers_count_from_the_pixels_to_the_feature(name, size, first, last):
    backbone = built(name, size)
    layers = layer_numbers(backbone)
    assert layers[first] == 0
    assert list(layers.values()) == sorted(layers.values())
    assert last is None or layers[last] == len(backbone.blocks) + 1


def test_a_frozen_backbone_has_nothing_to_train_and_stays_in_evaluation():
    backbone = built("small_cnn", 28, trained_blocks=0).train()
    assert trained(backbone) == set()
    assert backbone.is_frozen
    before = backbone.net.stem[1].running_mean.clone()
    backbone(torch.rand(4, 3, 28, 28))
    assert torch.equal(backbone.net.stem[1].running_mean, before)


def test_the_last_blocks_are_trained_with_what_follows_them():
    names = trained(built(trained_blocks=1))
    assert {name.split(".")[0] for name in names} == {"blocks", "norm"}
    assert {name.split(".")[1] for name in names if name.startswith("blocks")} == {"5"}


def test_all_blocks_are_not_the_whole_network():
    assert "pos_embed" not in trained(built(trained_blocks=6))
    assert "pos_embed" in trained(built())


def test_more_blocks_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="not so many blocks; seen: trained_blocks 7; allowed: at most 6"):
        built(trained_blocks=7)


def test_rates_fall_from_the_last_layer_to_the_first():
    groups = rate_groups(built(), scale=0.5, layer_decay=0.8)
    scales = [scale for scale, *_ in groups]
    assert scales == sorted(scales)
    assert scales[0] == pytest.approx(0.5 * 0.8**7)
    assert scales[-1] == 0.5


def test_every_trained_parameter_is_in_one_group():
    backbone = built(trained_blocks=2)
    for decay in (1.0, 0.7):
        grouped = [
            id(p)
            for *_, parameters in rate_groups(backbone, scale=1.0, layer_decay=decay)
            for p in parameters
        ]
        assert sorted(grouped) == sorted(id(p) for p in backbone.parameters() if p.requires_grad)


def test_positions_norms_and_biases_are_not_decayed():
    backbone = built(pool="cls")
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    groups = rate_groups(backbone, scale=1.0, layer_decay=1.0)
    free = {names[id(p)].rpartition(".")[2] for _, decays, group in groups for p in group if not decays}
    assert free == {"cls_token", "pos_embed", "bias", "weight"}
    assert all(p.ndim >= 2 for _, decays, group in groups for p in group if decays)
