"""The interface: tokens, attention and grid against what the network computes itself; wrong questions are refused."""

import copy

import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return build_backbone(BackboneSettings(name="vit_small_patch14_reg4_dinov2"), 42).eval()


@pytest.fixture(scope="module")
def convnext():
    torch.manual_seed(0)
    return build_backbone(BackboneSettings(name="convnext_atto"), 64).eval()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def test_tokens_are_the_residual_stream_of_timm(vit):
    pixels = torch.rand(2, 3, 42, 42)
    (patches, prefix), *_ = vit.net.forward_intermediates(
        (pixels - vit.mean) / vit.std,
        indices=[10],
        return_prefix_tokens=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    assert torch.equal(vit.tokens(pixels), torch.cat([prefix, patches], dim=1))


def test_the_second_last_block_and_its_number_are_the_same(vit):
    pixels = torch.rand(1, 3, 42, 42)
    assert torch.equal(vit.tokens(pixels, block=-2), vit.tokens(pixels, block=10))


def test_the_last_block_then_norm_and_class_token_is_the_feature(vit):
    pixels = torch.rand(2, 3, 42, 42)
    assert torch.allclose(vit.net.norm(vit.tokens(pixels, block=-1))[:, 0], vit(pixels), atol=1e-6)


def test_tokens_of_a_convolutional_network_are_its_map_row_by_row(convnext):
    pixels = torch.rand(2, 3, 64, 64)
    tokens = convnext.tokens(pixels, block=-1)  # b 4 d
    maps = convnext.net.forward_features((pixels - convnext.mean) / convnext.std)
    assert torch.allclose(tokens[:, 1], maps[:, :, 0, 1], atol=1e-6)


def test_nothing_after_the_block_is_computed(vit):
    calls = []
    handle = vit.blocks[3].register_forward_hook(lambda *arguments: calls.append(3))
    vit.tokens(torch.rand(1, 3, 42, 42), block=2)
    handle.remove()
    assert calls == []


def test_attention_is_a_distribution_over_all_tokens(vit):
    attention = vit.attention(torch.rand(2, 3, 42, 42))
    assert attention.shape == (2, 12, 6, 14, 14)
    assert torch.allclose(attention.sum(-1), torch.ones(()), atol=1e-5)


def test_attention_is_that_of_the_equation(vit):
    """Softmax(q k' / sqrt(d)) of the first block, from its own weights."""
    pixels, seen = torch.rand(1, 3, 42, 42), []
    block = vit.blocks[0]
    handle = block.norm1.register_forward_hook(lambda module, inputs, output: seen.append(output))
    found = vit.attention(pixels)[0, 0]
    handle.remove()
    q, k, _ = block.attn.qkv(seen[0])[0].reshape(14, 3, 6, 64).permute(1, 2, 0, 3)
    assert torch.allclose(found, torch.softmax(q @ k.transpose(1, 2) / 8.0, dim=-1), atol=1e-6)


def test_looking_at_attention_leaves_the_network_as_it_was(vit):
    pixels = torch.rand(1, 3, 42, 42)
    before = vit(pixels)
    vit.attention(pixels)
    assert torch.equal(vit(pixels), before)
    assert vit.blocks[0].attn.fused_attn


def test_a_network_without_attention_says_so(convnext):
    with pytest.raises(ConfigError, match="no attention between tokens; seen: convnext_atto"):
        convnext.attention(torch.rand(1, 3, 64, 64))


def test_the_grid_is_row_by_row_without_prefix_tokens(vit):
    tokens = torch.arange(14.0).view(1, 14, 1)
    assert vit.activation_to_grid(tokens)[0, 0].tolist() == [[5, 6, 7], [8, 9, 10], [11, 12, 13]]


def test_an_activation_of_another_layer_is_refused(vit, convnext):
    for backbone, shape in ((vit, (1, 13, 4)), (convnext, (1, 8, 4, 4)), (vit, (1, 384))):
        with pytest.raises(ConfigError, match="not on the grid"):
            backbone.activation_to_grid(torch.zeros(shape))


def test_images_of_another_size_are_refused(vit):
    with pytest.raises(ConfigError, match=r"another image size; seen: \(56, 56\); allowed: \(42, 42\)"):
        vit(torch.rand(1, 3, 56, 56))


@pytest.mark.parametrize("block", [12, -13])
def test_a_block_that_is_not_there_is_refused(vit, block):
    with pytest.raises(ConfigError, match="no such block"):
        vit.tokens(torch.rand(1, 3, 42, 42), block=block)


def test_a_copy_catches_its_own_layers(vit):
    pixels = torch.rand(1, 3, 42, 42)
    twin = copy.deepcopy(vit)
    assert twin.saliency_layer is twin.net.blocks[-1].norm1
    assert torch.equal(twin.tokens(pixels), vit.tokens(pixels))
