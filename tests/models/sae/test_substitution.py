"""Losses with a reconstruction in place of a block's output: clean with the error term, as by hand without it."""

import numpy as np
import pytest
import torch
from torch import nn

from trilineage.core.errors import ConfigError
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import TokenEncoder
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.sae.controls import neurons
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings
from trilineage.models.sae.substitution import Substitution, substitution_losses

PIXELS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = np.array([0, 1, 2])
VIT = BackboneSettings(name="vit_tiny_patch16_224.augreg_in21k", weights="none")


class Head(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 3)

    def node_log_probabilities(self, features):
        return torch.log_softmax(self.linear(features), dim=1)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    backbone = build_backbone(VIT, 32)
    return ImageClassifier(backbone, Head(backbone.spec.width)).eval()


def losses(classifier, sae, *, keep="both", block=5):
    encoder = TokenEncoder(classifier.backbone, block, keep=keep)
    mean = encoder.tokens(PIXELS).mean(dim=(0, 1))
    whole = Substitution(classifier, encoder, sae, mean)
    return substitution_losses(whole, lambda at: PIXELS[at], np.arange(3), LABELS, workers=2)


def random_sae(width):
    return SparseAutoencoder(width, SaeSettings(latents=64, k=4)).eval()


@pytest.mark.parametrize("keep", ["both", "cls", "patches"])
def test_the_error_term_brings_the_clean_loss_back(classifier, keep):
    width = TokenEncoder(classifier.backbone, 5).width
    found = losses(classifier, random_sae(width), keep=keep)
    clean = -classifier(PIXELS)[torch.arange(3), torch.from_numpy(LABELS)].detach().numpy()
    assert np.allclose(found.clean, clean, atol=1e-5)
    assert np.allclose(found.with_error, found.clean, atol=1e-5)
    assert np.abs(found.reconstruction - found.clean).max() > 1e-3
    assert np.abs(found.mean - found.clean).max() > 1e-3


def test_a_perfect_reconstruction_loses_nothing(classifier):
    encoder = TokenEncoder(classifier.backbone, 5)
    found = losses(classifier, neurons(encoder.tokens(PIXELS).flatten(0, 1)))
    assert np.allclose(found.reconstruction, found.clean, atol=1e-4)


def test_another_backbone_another_width_and_an_image_without_label_are_refused(classifier):
    encoder = TokenEncoder(classifier.backbone, 5)
    sae, mean = random_sae(encoder.width), torch.zeros(encoder.width)
    with pytest.raises(ConfigError, match="not those inside"):
        Substitution(classifier, TokenEncoder(build_backbone(VIT, 32), 5), sae, mean)
    with pytest.raises(ConfigError, match="other tokens"):
        Substitution(classifier, encoder, random_sae(7), mean)
    whole = Substitution(classifier, encoder, sae, mean)
    with pytest.raises(ConfigError, match="without a label"):
        substitution_losses(whole, lambda at: PIXELS[at], np.arange(3), LABELS - 1)
