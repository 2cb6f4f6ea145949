"""Which network `auto` means, and the encoder that ships with the package."""

import pytest
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.bundled import bundled_run, chosen_backbone, encoder_settings
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder_file import write_encoder

AUTO = BackboneSettings(name="auto")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose bundled encoder is small."""
    run = Run.create(tmp_path / "bundled_encoder", kind="images.pretrain", config=AUTO, seed=0)
    settings = BackboneSettings(name="small_vit", pool="cls")
    torch.manual_seed(0)
    write_encoder(run, build_backbone(settings, 16), settings, ImageDataSettings(size=16))
    monkeypatch.setattr("trilineage.models.backbones.bundled.files", lambda name: tmp_path)
    return run


def test_a_frozen_backbone_without_a_name_is_the_bundled_encoder(package):
    chosen = chosen_backbone(AUTO, is_frozen=True)
    assert (chosen.name, chosen.weights, chosen.pool) == ("small_vit", "bundled", "cls")


def test_a_trained_backbone_without_a_name_starts_from_nothing(package):
    assert chosen_backbone(AUTO, is_frozen=False) == BackboneSettings(name="small_vit")


def test_a_name_wins_over_everything(package):
    named = BackboneSettings(name="small_cnn")
    assert chosen_backbone(named, is_frozen=True) is named


def test_the_run_of_a_pretraining_names_its_own_network(package):
    chosen = chosen_backbone(AUTO.replace(weights=str(package.path)), is_frozen=False)
    assert (chosen.name, chosen.pool, chosen.weights) == ("small_vit", "cls", str(package.path))


def test_bundled_weights_are_those_of_the_run_in_the_package(package):
    net = build_backbone(BackboneSettings(name="small_vit", pool="cls", weights="bundled"), 16).net
    saved = torch.from_numpy(package.read_weights("model")["cls_token"])
    assert torch.equal(net.cls_token, saved.float())


def test_an_installation_without_an_encoder_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("trilineage.models.backbones.bundled.files", lambda name: tmp_path)
    with pytest.raises(ArtifactError, match=r"no bundled encoder.*images pretrain"), bundled_run():
        pass


def test_weights_that_say_nothing_of_their_network_are_no_encoder(tmp_path):
    run = Run.create(tmp_path / "run", kind="images.pretrain", config=AUTO, seed=0)
    run.write_weights("model", {})
    with pytest.raises(ArtifactError, match="not those of an encoder"):
        encoder_settings(run)


def test_the_encoder_that_ships_has_the_grid_and_the_size_that_were_promised():
    with bundled_run() as run:
        run.verify()
        settings, size = encoder_settings(run)
        n_bytes = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    assert size == (96, 96)
    assert n_bytes < 12_000_000
    spec = build_backbone(settings.replace(weights="bundled"), size).spec
    assert spec.grid == (12, 12)


def test_the_card_of_the_encoder_that_ships_names_data_licence_command_and_limits():
    with bundled_run() as run:
        card = run.read_text("model_card.md")
    for words in (
        "Acevedo",
        "CC BY 4.0",
        "trilineage images pretrain",
        "random weights",
        "Research use only",
    ):
        assert words in card
