"""Hidden patches: targets by hand, only hidden ones count, labels where they are known, the same masks again."""

import numpy as np
import pytest
import torch
from PIL import Image

from trilineage.core.errors import ConfigError
from trilineage.data.images.batches import ImageBatch, ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.masked_autoencoder import MaskedAutoencoder
from trilineage.training.objectives.masked_patches import (
    MaskedPatchSettings,
    PatchBatch,
    PatchBatches,
    kept_patches,
    masked_patch_step,
    normalised_patches,
    reconstruction_losses,
)


def model(n_classes=2):
    torch.manual_seed(0)
    network = build_backbone(BackboneSettings(name="cell_vit", pool="mean"), 16)
    return MaskedAutoencoder(network, decoder_width=32, decoder_blocks=1, n_classes=n_classes)


def batch(labels=(0, 1, -1), *, is_whole=False):
    pixels = torch.rand(len(labels), 3, 16, 16, generator=torch.Generator().manual_seed(1))
    images = ImageBatch(pixels, torch.tensor(labels), torch.ones(len(labels)), torch.arange(len(labels)))
    return PatchBatch(images, is_whole)


def loss(settings, given, network=None):
    network = model() if network is None else network
    torch.manual_seed(5)
    output = masked_patch_step(settings)(network, given)
    return float(output.loss_sum.detach()), output.weight


def test_patches_are_cut_row_by_row_and_normalised_each():
    pixels = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4) * 100
    patches = normalised_patches(pixels, (4, 12))
    assert torch.allclose(patches.mean(dim=2), torch.zeros(1, 4), atol=1e-5)
    assert torch.allclose(patches.square().mean(dim=2), torch.ones(1, 4), atol=1e-5)
    by_hand = torch.tensor([8.0, 9.0, 12.0, 13.0])  # the third patch: rows 3 and 4, columns 1 and 2
    by_hand = (by_hand - by_hand.mean()) / by_hand.std(correction=0)
    assert torch.allclose(patches[0, 2], by_hand.repeat_interleave(3), atol=1e-5)


def test_a_flat_patch_has_nothing_to_learn():
    patches = normalised_patches(torch.full((1, 3, 8, 8), 0.7), (1, 192))
    assert torch.allclose(patches, torch.zeros(1, 1, 192), atol=1e-4)


def test_only_hidden_patches_count():
    pixels, kept = torch.rand(1, 3, 16, 16), torch.tensor([[0, 3]])
    drawn = normalised_patches(pixels, (4, 192)).clone()
    drawn[:, kept[0]] += 100.0
    assert float(reconstruction_losses(drawn, pixels, kept)) == 0.0
    drawn[:, 1] += 2.0
    assert float(reconstruction_losses(drawn, pixels, kept)) == pytest.approx(4.0 / 2)


def test_as_many_patches_are_kept_as_asked_each_once():
    kept = kept_patches(50, 16, 0.75)
    assert kept.shape == (50, 4)
    assert all(len(set(row)) == 4 for row in kept.tolist())
    assert len({tuple(row) for row in kept.tolist()}) > 40
    assert kept_patches(1, 4, 0.99).shape == (1, 1)


def test_an_image_without_label_adds_no_loss_of_classes():
    settings = MaskedPatchSettings(reconstruction=0.0)
    some, n_images = loss(settings, batch())
    assert some > 0
    assert n_images == 3
    assert loss(settings, batch(labels=(-1, -1, -1)))[0] == 0.0


def test_without_labels_only_the_patches_count():
    alone, _ = loss(MaskedPatchSettings(), batch(), model(n_classes=0))
    assert alone == pytest.approx(loss(MaskedPatchSettings(classes=0.0), batch())[0], rel=1e-6)


def test_whole_images_teach_labels_only():
    network = model()
    output = masked_patch_step(MaskedPatchSettings())(network, batch(is_whole=True))
    output.loss_sum.backward()
    assert network.draw.weight.grad is None
    assert network.backbone.net.blocks[0].attn.qkv.weight.grad.abs().sum() > 0


def test_a_few_steps_lower_the_loss():
    network, given = model(), batch(labels=(0, 1, 0, 1))
    step = masked_patch_step(MaskedPatchSettings())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        torch.manual_seed(0)
        output = step(network, given)
        optimizer.zero_grad()
        output.loss_sum.backward()
        optimizer.step()
        losses.append(float(output.loss_sum.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.fixture
def images(tmp_path):
    """Batches of six images on disk."""
    for number in range(6):
        pixels = np.random.default_rng(number).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return ImageBatches(open_images(ImageDataSettings(path=str(tmp_path), size=16)))


def test_the_last_epochs_show_whole_images(images):
    batches = PatchBatches(images, whole_from=2)
    shown = [batches.take(batches.order(seed=0, epoch=epoch)[4:]).is_whole for epoch in range(4)]
    assert shown == [False, False, True, True]
    assert not batches.take(np.zeros(0, np.int64)).is_whole


def test_images_are_described_by_their_names(images):
    assert PatchBatches(images, whole_from=1).describe(np.array([1, 6])) == ["1.png", "0.png"]


def test_an_objective_without_a_term_is_refused():
    with pytest.raises(ConfigError, match="has to learn from something"):
        MaskedPatchSettings(reconstruction=0.0, classes=0.0)
