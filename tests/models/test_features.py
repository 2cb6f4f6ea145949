"""Streamed features: the same as all at once, in evaluation, in order."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.features import image_features


class Batch(NamedTuple):
    pixels: torch.Tensor


@pytest.mark.parametrize(("name", "size"), [("small_vit", 16), ("small_cnn", 28)])
def test_batches_give_the_features_of_all_images_in_order(name, size):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSettings(name=name), size).train()
    pixels = torch.rand(5, 3, size, size)
    found = image_features(backbone, [pixels[:2], Batch(pixels[2:])], n_images=5)
    with torch.no_grad():
        expected = backbone.eval()(pixels).numpy()
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5)


def test_one_batch_is_held_at_a_time():
    backbone = build_backbone(BackboneSettings(), 16)
    made = []

    def batches():
        for number in range(3):
            made.append(number)
            yield torch.rand(1, 3, 16, 16)

    stream = batches()
    next(stream)
    assert made == [0]
    assert image_features(backbone, stream).shape == (2, 160)


def test_no_batch_gives_no_row():
    assert image_features(build_backbone(BackboneSettings(), 16), []).shape == (0, 160)
