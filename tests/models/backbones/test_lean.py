"""Lean networks: the same features from less work, weights shared, and the network given left as it is."""

import numpy as np
import pytest
import torch
from torch.nn import functional as fn

from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.gelu_kernels import add_bias_and_gelu
from trilineage.models.backbones.lean import ClassTokenBlock, QuickMlp, lean
from trilineage.models.backbones.spec import BackboneSettings

NAMES = (
    "vit_tiny_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "convnext_atto",
    "small_vit",
    "small_cnn",
    "vit_tiny_r_s16_p8_224",
)


def built(name, size=56, **options):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSettings(name=name, **options), size).eval()
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.05)  # what starts as 0 or 1 would hide a missing step
    return backbone


@pytest.mark.parametrize("is_eager_cpu", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_the_whole_network(name, is_eager_cpu):
    backbone, pixels = built(name, 64 if name.endswith("224") else 56), torch.rand(2, 3, 56, 56)
    pixels = torch.rand(2, 3, *backbone.spec.image_size)
    with torch.inference_mode():
        expected = backbone(pixels)
        found = lean(backbone, is_eager_cpu=is_eager_cpu)(pixels)
    assert expected.std() > 1e-3
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())


def test_a_network_read_from_its_class_token_computes_one_token_last():
    quick = lean(built("vit_tiny_patch16_224", 64), is_eager_cpu=True)
    assert type(quick.net.blocks[-1]) is ClassTokenBlock
    assert sum(type(module) is QuickMlp for module in quick.modules()) == 12
    mean = lean(built("vit_tiny_patch16_224", 64, pool="mean"), is_eager_cpu=False)
    assert not any(type(module) is ClassTokenBlock for module in mean.modules())


def test_the_network_given_stays_as_it_is_and_shares_its_weights():
    backbone = built("convnext_atto")
    before = [type(module) for module in backbone.modules()]
    quick = lean(backbone, is_eager_cpu=True)
    assert [type(module) for module in backbone.modules()] == before
    assert {id(parameter) for parameter in quick.parameters()} == {id(p) for p in backbone.parameters()}


def test_a_network_with_nothing_to_save_is_returned_itself():
    backbone = built("small_cnn")
    assert lean(backbone, is_eager_cpu=True) is backbone


def test_other_numbers_than_float32_and_gradients_take_the_plain_way():
    quick = lean(built("vit_tiny_patch16_224", 64), is_eager_cpu=True)
    pixels = torch.rand(1, 3, 64, 64)
    assert quick(pixels).requires_grad
    with torch.inference_mode():
        assert quick.double()(pixels.double()).dtype == torch.float64


def test_bias_and_gelu_in_one_pass_are_those_of_torch():
    hidden = torch.cat([torch.linspace(-30, 30, 4000), torch.tensor([-1e6]), torch.randn(4000)]).reshape(
        3, -1
    )
    bias = torch.randn(hidden.shape[1])
    expected = fn.gelu((hidden + bias).double()).numpy()
    found = hidden.numpy().copy()
    add_bias_and_gelu(found, bias.numpy())
    assert np.abs(found - expected).max() < 1e-5
    hidden[1, 5] = torch.nan
    add_bias_and_gelu(hidden.numpy(), bias.numpy())
    assert np.argwhere(np.isnan(hidden.numpy())).tolist() == [[1, 5]]
