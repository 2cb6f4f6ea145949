"""The interface: tokens, attention and grid against what the network computes itself; wrong questions are refused."""

import copy
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize("block", [-1, 3])
def test_an_edit_that_changes_nothing_leaves_the_features(vit, convnext, block):
    for backbone, size in ((vit, 42), (convnext, 64)):
        pixels = torch.rand(2, 3, size, size)
        assert torch.equal(backbone.edited(pixels, block, lambda tokens: tokens), backbone(pixels))


def test_the_rest_of_the_network_sees_the_edit(vit):
    """Zeroing the first block's output leaves what the other blocks make of zeros, whatever the image."""
    first, second = (vit.edited(torch.rand(1, 3, 42, 42), 0, torch.zeros_like) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(vit.edited(torch.rand(1, 3, 42, 42), 0, torch.rand_like), first)


def test_an_edit_of_a_map_comes_back_in_its_place(convnext):
    pixels = torch.rand(1, 3, 64, 64)
    seen = []

    def mark(tokens):
        changed = tokens.clone()
        changed[:, 1] = 7.0  # second column of the first row
        return changed

    handle = convnext.blocks[-1].register_forward_hook(lambda *a: seen.append(a[2]))
    after = convnext.edited(pixels, -2, lambda tokens: tokens)
    handle.remove()
    handle = convnext.blocks[-1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    changed = convnext.edited(pixels, -2, mark)
    handle.remove()
    assert (seen[1][0, :, 0, 1] == 7).all()
    assert int((seen[1] == 7).sum()) == seen[1].shape[1]
    assert not torch.equal(after, changed)


def test_gradients_flow_through_an_edit_and_the_rest(vit):
    pixels = torch.rand(1, 3, 42, 42)
    with torch.enable_grad():
        shift = torch.zeros(384, requires_grad=True)
        vit.edited(pixels, 10, lambda tokens: tokens + shift).square().sum().backward()
    assert shift.grad.abs().max() > 0


def test_an_edit_of_another_shape_is_refused_and_leaves_the_network_as_it_was(vit):
    pixels = torch.rand(1, 3, 42, 42)
    with pytest.raises(ConfigError, match=r"as many tokens of the same width.*seen: \(1, 13, 384\)"):
        vit.edited(pixels, 3, lambda tokens: tokens[:, 1:])
    assert torch.equal(vit.edited(pixels, 3, lambda tokens: tokens), vit(pixels))


def test_threads_that_take_tokens_at_once_get_their_own(vit):
    batches = [torch.rand(1, 3, 42, 42) for _ in range(16)]
    expected = [vit.tokens(pixels) for pixels in batches]
    with ThreadPoolExecutor(4) as pool, torch.no_grad():
        found = list(pool.map(lambda pixels: vit.tokens(pixels).detach(), batches))
    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(found, expected, strict=True))


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
