"""DinoBloom checkpoints: files of their layout, made here, against the published equations in plain torch."""

import logging

import pytest
import torch
from torch.nn import functional

from trilineage.core.errors import ArtifactError
from trilineage.models.backbones import build, dinobloom
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings

WIDTH, HEADS, DEPTH = 48, 3, 2


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Keep the architecture of DINOv2 but make it narrow and short."""
    real = build.timm.create_model

    def create(name, **options):
        return real(name, embed_dim=WIDTH, num_heads=HEADS, depth=DEPTH, **options)

    monkeypatch.setattr(build.timm, "create_model", create)


def checkpoint(*, is_gated=False, n_registers=0, chunk=0):
    """Return what `torch.load` gives for a DinoBloom file: the teacher of a DINOv2 training."""
    torch.manual_seed(0)
    hidden = 128 if is_gated else 4 * WIDTH  # the gated one: 2/3 of 4 x width, up to a multiple of 8
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 257, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    if n_registers:
        shapes["register_tokens"] = (1, n_registers, WIDTH)
    for number in range(DEPTH):
        first, second = ("w12", "w3") if is_gated else ("fc1", "fc2")
        block = {
            "norm1.weight": (WIDTH,), "norm1.bias": (WIDTH,), "norm2.weight": (WIDTH,), "norm2.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH), "attn.qkv.bias": (3 * WIDTH,),
            "attn.proj.weight": (WIDTH, WIDTH), "attn.proj.bias": (WIDTH,),
            "ls1.gamma": (WIDTH,), "ls2.gamma": (WIDTH,),
            f"mlp.{first}.weight": ((1 + is_gated) * hidden, WIDTH), f"mlp.{first}.bias": ((1 + is_gated) * hidden,),
            f"mlp.{second}.weight": (WIDTH, hidden), f"mlp.{second}.bias": (WIDTH,),
        }  # fmt: skip
        place = f"{number // chunk}.{number}" if chunk else f"{number}"
        shapes |= {f"blocks.{place}.{name}": shape for name, shape in block.items()}
    teacher = {f"backbone.{name}": 0.2 * torch.randn(shape) for name, shape in shapes.items()}
    teacher |= {
        "dino_head.mlp.0.weight": torch.zeros(4, WIDTH),
        "ibot_head.last_layer.weight": torch.zeros(4, 4),
    }
    return {"teacher": teacher}


def saved(tmp_path, **options):
    path = tmp_path / "DinoBloom.pth"
    content = checkpoint(**options)
    torch.save(content, path)
    return str(path), {key.removeprefix("backbone."): value for key, value in content["teacher"].items()}


def by_hand(w, pixels):
    """Feature of images at the native size: DINOv2's equations (Oquab et al. 2024) on the names of its own files."""
    x = (pixels - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    x = (
        functional.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=14)
        .flatten(2)
        .transpose(1, 2)
    )
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1) + w["pos_embed"]
    if "register_tokens" in w:
        x = torch.cat([x[:, :1], w["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], dim=1)
    for number in range(DEPTH):
        b = {
            k.removeprefix(f"blocks.{number}."): v for k, v in w.items() if k.startswith(f"blocks.{number}.")
        }
        h = functional.layer_norm(x, (WIDTH,), b["norm1.weight"], b["norm1.bias"], eps=1e-6)
        qkv = functional.linear(h, b["attn.qkv.weight"], b["attn.qkv.bias"])
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=2))
        attended = torch.softmax(q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5, dim=-1) @ v
        attended = functional.linear(
            attended.transpose(1, 2).flatten(2), b["attn.proj.weight"], b["attn.proj.bias"]
        )
        x = x + b["ls1.gamma"] * attended
        h = functional.layer_norm(x, (WIDTH,), b["norm2.weight"], b["norm2.bias"], eps=1e-6)
        if "mlp.w12.weight" in b:
            gate, value = functional.linear(h, b["mlp.w12.weight"], b["mlp.w12.bias"]).chunk(2, dim=2)
            h = functional.linear(functional.silu(gate) * value, b["mlp.w3.weight"], b["mlp.w3.bias"])
        else:
            h = functional.gelu(functional.linear(h, b["mlp.fc1.weight"], b["mlp.fc1.bias"]))
            h = functional.linear(h, b["mlp.fc2.weight"], b["mlp.fc2.bias"])
        x = x + b["ls2.gamma"] * h
    return functional.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"], eps=1e-6)[:, 0]


@pytest.mark.parametrize(("name", "is_gated"), [("s", False), ("b", False), ("l", False), ("g", True)])
def test_every_size_computes_what_dinov2_computes(tmp_path, name, is_gated):
    path, weights = saved(tmp_path, is_gated=is_gated)
    backbone = build_backbone(BackboneSettings(name=f"dinobloom-{name}", weights=path), 224).eval()
    pixels = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(backbone(pixels), by_hand(weights, pixels), atol=2e-5)
    assert (backbone.spec.grid, backbone.spec.n_prefix_tokens) == ((16, 16), 1)


def test_registers_are_read_where_there_are_any(tmp_path):
    path, weights = saved(tmp_path, n_registers=4)
    settings = BackboneSettings(name="vit_small_patch14_reg4_dinov2", weights=path)
    pixels = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(
            build_backbone(settings, 224).eval()(pixels), by_hand(weights, pixels), atol=2e-5
        )


def test_blocks_saved_in_chunks_are_numbered_through(tmp_path):
    whole, chunked = checkpoint()["teacher"], checkpoint(chunk=1)["teacher"]
    first, second = dinobloom.to_timm(whole), dinobloom.to_timm(chunked)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_only_the_training_needed_is_dropped():
    names = dinobloom.to_timm(checkpoint()["teacher"])
    assert not [name for name in names if "head" in name or "mask" in name]


def test_other_image_sizes_get_resampled_positions(tmp_path):
    path, weights = saved(tmp_path)
    backbone = build_backbone(BackboneSettings(name="dinobloom-s", weights=path), 98).eval()
    assert backbone.net.pos_embed.shape == (1, 50, WIDTH)
    assert torch.equal(backbone.net.pos_embed[:, 0], weights["pos_embed"][:, 0])


def test_a_file_of_another_size_is_refused(tmp_path, monkeypatch):
    path, _ = saved(tmp_path, is_gated=True)
    with pytest.raises(ArtifactError, match="another architecture than dinobloom-s"):
        build_backbone(BackboneSettings(name="dinobloom-s", weights=path), 224)


def test_a_file_that_is_not_the_published_one_is_said_to_be_so(tmp_path, caplog):
    path, _ = saved(tmp_path)
    with caplog.at_level(logging.WARNING):
        build_backbone(BackboneSettings(name="dinobloom-s", weights=path), 224)
    assert "is not the published file of dinobloom-s" in caplog.text
