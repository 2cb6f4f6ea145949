"""The encoder: which tokens it keeps, what decides its digests, and where its weights come from."""

import numpy as np
import pytest
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import EncoderSettings, TokenEncoder, build_encoder, encoder_options
from trilineage.models.encoder_file import write_encoder


def backbone(name, size, seed=0, **options):
    torch.manual_seed(seed)
    return build_backbone(BackboneSettings(name=name, **options), size)


def small(seed=0, **options):
    return TokenEncoder(backbone("small_vit", 16, seed, pool="cls"), **options)


@pytest.fixture(scope="module")
def registers():
    """A network with a class token and four registers before nine patches."""
    return backbone("vit_small_patch14_reg4_dinov2", 42)


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(2, 3, 42, 42, generator=torch.Generator().manual_seed(0))


def test_both_keeps_class_token_and_patches_and_drops_registers(registers, pixels):
    encoder = TokenEncoder(registers)
    every = registers.tokens(pixels, -2)
    assert torch.equal(encoder.tokens(pixels), torch.cat([every[:, :1], every[:, 5:]], dim=1))
    assert (encoder.block, encoder.n_prefix, encoder.n_tokens, encoder.width) == (10, 1, 10, 384)


@pytest.mark.parametrize(("keep", "places"), [("cls", [0]), ("patches", list(range(5, 14)))])
def test_class_token_or_patches_alone_can_be_kept(keep, places, registers, pixels):
    encoder = TokenEncoder(registers, keep=keep)
    assert torch.equal(encoder.tokens(pixels), registers.tokens(pixels, -2)[:, places])
    assert encoder.n_tokens == len(places) == encoder.source("").n_tokens


@pytest.mark.parametrize("keep", ["both", "cls", "patches"])
def test_kept_tokens_go_back_among_all(keep, registers, pixels):
    encoder = TokenEncoder(registers, keep=keep)
    every = registers.tokens(pixels, -2)
    assert torch.equal(encoder.among_all(every, encoder.kept(every)), every)
    changed = encoder.among_all(every, encoder.kept(every) + 1)
    assert torch.equal(encoder.kept(changed), encoder.kept(every) + 1)
    assert torch.equal(changed[:, 1:5], every[:, 1:5])  # the registers


@pytest.mark.parametrize("block", [-2, 3])
def test_a_convolutional_network_gives_the_grid_of_its_block(block):
    net = backbone("convnext_atto", 64)
    encoder = TokenEncoder(net, block)
    tokens = encoder.tokens(torch.rand(2, 3, 64, 64))
    assert tokens.shape == (2, encoder.n_tokens, encoder.width)
    assert encoder.n_prefix == 0
    assert encoder.grid == ((2, 2) if block == -2 else (8, 8))


def test_a_network_without_class_token_cannot_keep_it_alone():
    with pytest.raises(ConfigError, match="convnext_atto has no class token"):
        TokenEncoder(backbone("convnext_atto", 64), keep="cls")


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no such block; seen: 6; allowed: -6 to 5"):
        small(block=6)


def test_the_backbone_is_frozen_and_in_evaluation():
    encoder = small()
    assert encoder.backbone.is_frozen
    assert not encoder.backbone.net.training


def test_the_digest_changes_with_weights_and_block_and_with_nothing_else():
    first = small()
    assert small().encoder_key == first.encoder_key
    assert small(seed=1).weights_digest != first.weights_digest
    assert small(block=1).encoder_key != first.encoder_key
    assert first.source("a").encoder_key == first.source("b").encoder_key


def test_the_second_last_block_and_its_number_are_one_encoder():
    assert small(block=-2).encoder_key == small(block=4).encoder_key


def test_one_changed_weight_changes_the_digest():
    first, second = small(), small()
    with torch.no_grad():
        second.backbone.net.cls_token[0, 0, 0] += 1e-6
    assert first.weights_digest != second.weights_digest


def test_settings_build_the_encoder_they_name():
    settings = EncoderSettings(backbone=BackboneSettings(name="small_vit"), block=1, keep="patches")
    encoder = build_encoder(settings, (16, 24))
    assert (encoder.block, encoder.keep, encoder.dtype, encoder.grid) == (1, "patches", "float16", (2, 3))


def test_a_backbone_by_name_needs_a_size():
    with pytest.raises(ConfigError, match="needs the size of the images"):
        build_encoder(EncoderSettings(backbone=BackboneSettings(name="small_vit")))


@pytest.fixture(scope="module")
def images_run(tmp_path_factory, write_images_run):
    return write_images_run(tmp_path_factory.mktemp("encoder") / "run")


def test_the_encoder_of_a_run_has_its_name_size_and_weights(images_run):
    encoder = build_encoder(EncoderSettings(run=str(images_run.path)))
    assert (encoder.spec.name, encoder.image_size, encoder.n_prefix) == ("small_vit", (16, 16), 1)
    saved = images_run.read_weights("final")["backbone.net.cls_token"]
    assert np.array_equal(encoder.backbone.net.cls_token.numpy(), saved)


def test_images_of_another_size_than_the_runs_are_refused(images_run):
    with pytest.raises(ConfigError, match=r"images of another size.*Set data\.size=16"):
        build_encoder(EncoderSettings(run=str(images_run.path)), 32)


def test_a_run_of_another_kind_is_refused(tmp_path):
    Run.create(tmp_path / "run", kind="rna", config=EncoderSettings(), seed=0)
    with pytest.raises(ArtifactError, match="another kind of Run"):
        build_encoder(EncoderSettings(run=str(tmp_path / "run")))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A Run with an encoder and no classifier."""
    path = tmp_path_factory.mktemp("package") / "bundled_encoder"
    run = Run.create(path, kind="images.pretrain", config=BackboneSettings(name="cell_vit"), seed=0)
    write_encoder(
        run, backbone("cell_vit", 24), BackboneSettings(name="cell_vit"), ImageDataSettings(size=24)
    )
    return run


def test_the_encoder_of_a_pretraining_has_its_name_size_and_weights(pretrained):
    encoder = build_encoder(EncoderSettings(run=str(pretrained.path)))
    assert (encoder.spec.name, encoder.image_size, encoder.grid) == ("cell_vit", (24, 24), (3, 3))
    saved = pretrained.read_weights("model")["blocks.0.attn.qkv.weight"]
    assert saved.dtype == np.float16
    assert np.array_equal(encoder.backbone.net.blocks[0].attn.qkv.weight.numpy(), saved)


def test_a_bundled_encoder_that_is_not_there_is_said_to_be_absent(monkeypatch, tmp_path):
    monkeypatch.setattr("trilineage.models.backbones.bundled.files", lambda package: tmp_path)
    with pytest.raises(ArtifactError, match="no bundled encoder"):
        build_encoder(EncoderSettings(run="bundled"))


@pytest.mark.parametrize("settings", [EncoderSettings(), EncoderSettings(run="bundled")])
def test_the_encoder_in_the_package_is_taken_unless_another_is_named(monkeypatch, pretrained, settings):
    monkeypatch.setattr("trilineage.models.backbones.bundled.files", lambda package: pretrained.path.parent)
    encoder = build_encoder(settings)
    assert (encoder.spec.name, encoder.image_size) == ("cell_vit", (24, 24))


def test_a_backbone_that_is_named_wins_over_the_encoder_in_the_package():
    settings = EncoderSettings(backbone=BackboneSettings(name="small_vit", pool="cls"))
    assert build_encoder(settings, 16).spec.name == "small_vit"


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("bundled", "", {"encoder.run": "bundled"}),
        ("runs/cells", "", {"encoder.run": "runs/cells"}),
        ("dinobloom-b", "w.pth", ("dinobloom-b", "w.pth")),
        ("hf-hub:someone/model", "", ("hf-hub:someone/model", "hub")),
        ("small_vit", "", ("small_vit", "none")),
    ],
)
def test_a_command_line_names_an_encoder(name, weights, expected):
    if isinstance(expected, tuple):
        keys = ("encoder.run", "encoder.backbone.name", "encoder.backbone.weights")
        expected = dict(zip(keys, ("", *expected), strict=True))
    assert encoder_options(name, weights) == expected


def test_weights_beside_an_encoder_that_has_its_own_are_refused():
    with pytest.raises(ConfigError, match="brings its own weights"):
        encoder_options("bundled", "hub")
