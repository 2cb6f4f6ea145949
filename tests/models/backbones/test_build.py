"""Backbones by name: what they say of themselves is what they are, and what cannot be built is refused in words."""

import pytest
import torch

from trilineage.core.errors import ArtifactError, ConfigError, UnknownOptionError
from trilineage.models.backbones import build
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings


def built(name, size, **options):
    torch.manual_seed(0)
    return build_backbone(BackboneSettings(name=name, **options), size).eval()


CASES = {
    "small_vit": ("small_vit", 96, (12, 12), 0, 160, "mean"),
    "small_vit, other shape": ("small_vit", (40, 64), (5, 8), 0, 160, "mean"),
    "small_cnn": ("small_cnn", 28, (7, 7), 0, 128, "mean"),
    "class token": ("vit_tiny_patch16_224", 64, (4, 4), 1, 192, "cls"),
    "registers": ("vit_small_patch14_reg4_dinov2", 42, (3, 3), 5, 384, "cls"),
    "convnext": ("convnext_atto", 64, (2, 2), 0, 320, "mean"),
    "resnet": ("resnet10t", 64, (2, 2), 0, 512, "mean"),
    "rotary positions": ("vit_small_patch16_dinov3", 48, (3, 3), 5, 384, "mean"),
    "channels last inside": ("swinv2_cr_tiny_ns_224", 64, (2, 2), 0, 768, "mean"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_backbone_says_of_itself_is_what_it_does(case):
    name, size, grid, n_prefix, width, pools = CASES[case]
    backbone = built(name, size)
    spec = backbone.spec
    assert (spec.grid, spec.n_prefix_tokens, spec.width, spec.pools) == (grid, n_prefix, width, pools)
    pixels = torch.rand(2, 3, *spec.image_size)
    with torch.no_grad():
        assert backbone(pixels).shape == (2, width)
        last = backbone.tokens(pixels, block=-1)
    assert last.shape == (2, n_prefix + grid[0] * grid[1], width)


@pytest.mark.parametrize("case", CASES)
def test_saliency_is_on_the_grid_and_not_zero(case):
    name, size, grid, *_ = CASES[case]
    backbone = built(name, size)
    seen = []
    handle = backbone.saliency_layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    score = backbone(torch.rand(2, 3, *backbone.spec.image_size))[:, 0].sum()
    handle.remove()
    slope = backbone.activation_to_grid(torch.autograd.grad(score, seen[0])[0])
    assert slope.shape[2:] == grid
    assert bool((slope.abs().sum(dim=1) > 0).all())


def test_pixels_are_normalised_once_by_the_networks_own_numbers():
    backbone = built("resnet10t", 64)
    pixels = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = backbone.net((pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    assert torch.allclose(backbone(pixels), by_hand, atol=1e-6)
    assert built("vit_tiny_patch16_224", 64).spec.mean == (0.5, 0.5, 0.5)


def test_a_pool_can_be_chosen_and_is_the_mean_of_normalised_patches():
    backbone = built("vit_tiny_patch16_224", 64, pool="mean")
    pixels = torch.rand(2, 3, 64, 64)
    by_hand = backbone.net.norm(backbone.tokens(pixels, block=-1))[:, 1:].mean(dim=1)
    assert backbone.spec.pools == "mean"
    assert torch.allclose(backbone(pixels), by_hand, atol=1e-5)


def test_the_small_transformer_may_be_read_from_a_class_token():
    spec = built("small_vit", 32, pool="cls").spec
    assert (spec.pools, spec.n_prefix_tokens) == ("cls", 1)


def test_the_small_transformer_has_two_million_weights():
    n_weights = sum(parameter.numel() for parameter in built("small_vit", 96).parameters())
    assert 1.9e6 < n_weights < 2.2e6


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("small_vit", 30),
        ("vit_tiny_patch16_224", 8),
        ("vit_tiny_patch16_224", (64, 40)),
        ("dinobloom-s", 100),
        ("convnext_atto", 16),
    ],
)
def test_images_that_cannot_be_cut_into_patches_are_refused(name, size):
    with pytest.raises(ConfigError, match=r"images of this size.*pixels"):
        built(name, size)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        UnknownOptionError, match=r"small_vit, small_cnn, dinobloom-s.*'convnext_tiny' was meant"
    ):
        built("convnext_tinny", 64)


def test_options_that_a_network_does_not_take_are_refused():
    with pytest.raises(ConfigError, match="cannot be built with these options.*pool cls"):
        built("resnet10t", 64, pool="cls")


@pytest.mark.parametrize("name", ["small_vit", "small_cnn"])
def test_nobody_publishes_weights_of_our_own_networks(name):
    with pytest.raises(ConfigError, match="nobody publishes weights"):
        built(name, 32, weights="hub")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "dinobloom-b", "hf-hub:owner/model"])
def test_a_hub_out_of_reach_is_an_error_with_a_way_out(name, monkeypatch):
    def unreachable(*arguments, **options):
        raise FileNotFoundError("no connection")

    monkeypatch.setattr(build.timm, "create_model", unreachable)
    monkeypatch.setattr(build.timm.models, "load_model_config_from_hf", unreachable)
    with pytest.raises(
        ArtifactError, match="cannot get .* from the hub.*no connection.*give their file in `weights`"
    ):
        built(name, 224, weights="hub")


def test_a_model_of_the_hub_is_built_as_its_configuration_says(monkeypatch):
    config = {"architecture": "vit_tiny_patch16_224", "mean": (0.1, 0.2, 0.3)}
    answer = (config, "vit_tiny_patch16_224", {})
    real = build.timm.create_model
    monkeypatch.setattr(build.timm.models, "load_model_config_from_hf", lambda name: answer)
    monkeypatch.setattr(build.timm, "create_model", lambda name, **options: real(answer[1], **options))
    assert built("hf-hub:owner/model", 32).spec.grid == (2, 2)


def test_the_same_seed_gives_the_same_weights():
    first, second = built("small_cnn", 28), built("small_cnn", 28)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
