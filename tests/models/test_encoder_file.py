"""An encoder on disk: half precision, names of timm, and back again."""

import pytest
import torch

from trilineage.core.artifacts import Run
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.small import with_own_names, with_timm_names
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder_file import read_encoder, write_encoder


@pytest.mark.parametrize("name", ["small_vit", "cell_vit", "vit_tiny_patch16_224"])
def test_an_encoder_comes_back_as_it_was_but_for_half_precision(tmp_path, name):
    settings = BackboneSettings(name=name, pool="mean")
    torch.manual_seed(0)
    backbone = build_backbone(settings, 32).eval()
    run = Run.create(tmp_path / "run", kind="images.pretrain", config=settings, seed=0)
    write_encoder(run, backbone, settings, ImageDataSettings(size=32))
    again = read_encoder(run).eval()
    assert (again.spec.name, again.spec.pools) == (name, "mean")
    pixels = torch.rand(2, 3, 32, 32)
    assert torch.allclose(again(pixels), backbone(pixels), atol=0.02)


def test_the_stem_of_the_small_transformer_is_renamed_for_timm_and_back():
    tensors = build_backbone(BackboneSettings(name="small_vit"), 16).net.state_dict()
    renamed = with_timm_names(tensors)
    assert "patch_embed.backbone.3.conv.bias" in renamed
    assert not any("layers" in name for name in renamed)
    assert list(with_own_names(renamed)) == list(tensors)
