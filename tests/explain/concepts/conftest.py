"""Encoders, autoencoders and classifiers of milliseconds for what explains concepts."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trilineage.core.seeding import seed_everything
from trilineage.data.taxonomy import Taxonomy
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import TokenEncoder
from trilineage.models.hierarchy import HierarchySettings, build_head
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings

SIZE = 32


class PlainEncoder:
    """Tokens that are the channels of small images: a class token that is their mean, then the pixels row by row."""

    n_prefix, grid, keep = 1, (2, 3), "both"
    n_tokens, image_size = 7, (2, 3)

    def tokens(self, pixels):
        patches = pixels.flatten(2).transpose(1, 2)
        return torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1)


def channel_sae() -> SparseAutoencoder:
    """Three latents that are the three channels."""
    sae = SparseAutoencoder(3, SaeSettings(activation="relu", latents=3), seed=None)
    with torch.no_grad():
        sae.encoder_weight.copy_(torch.eye(3))
        sae.decoder_weight.copy_(torch.eye(3))
    return sae.eval()


class LinearBackbone(nn.Module):
    """One block that does nothing; the feature is a weighted sum of the tokens."""

    def __init__(self):
        super().__init__()
        self.blocks = [nn.Identity()]
        self.weights = torch.arange(1.0, 8.0)

    def edited(self, pixels, block, edit):
        tokens = edit(self.blocks[0](PlainEncoder().tokens(pixels)))
        return (self.weights[:, None] * tokens).sum(dim=1)


class LinearClassifier(nn.Module):
    """What it calls log-probabilities are two linear logits of the feature."""

    def __init__(self):
        super().__init__()
        self.backbone = LinearBackbone()
        self.weight = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])

    def node_log_probabilities(self, features):
        return features @ self.weight.T


class LinearEncoder(PlainEncoder):
    """The encoder of that classifier."""

    def __init__(self, classifier):
        self.backbone, self.block, self.device = classifier.backbone, 0, torch.device("cpu")
        self.spec = SimpleNamespace(name="linear")

    def kept(self, tokens):
        return tokens

    def among_all(self, tokens, kept):
        return kept


@pytest.fixture
def plain():
    """Encoder and autoencoder in which everything can be worked out by hand."""
    return PlainEncoder(), channel_sae()


@pytest.fixture
def linear():
    """A classifier that is linear in its tokens, its encoder, its autoencoder."""
    classifier = LinearClassifier()
    return classifier, LinearEncoder(classifier), channel_sae()


@pytest.fixture(scope="session")
def real():
    """A small transformer with a class token, a classifier on it and an autoencoder of its tokens."""
    seed_everything(0)
    tree = Taxonomy.from_parents("two", {"cell": [], "red": ["cell"], "blue": ["cell"]})
    backbone = build_backbone(BackboneSettings(name="small_vit", pool="cls"), SIZE)
    head = build_head(HierarchySettings(variant="flat"), tree, backbone.spec.width)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.3)
    encoder = TokenEncoder(backbone, -2)
    sae = SparseAutoencoder(encoder.width, SaeSettings(latents=64, k=6), seed=1).eval()
    return SimpleNamespace(
        classifier=ImageClassifier(backbone, head).eval(), encoder=encoder, sae=sae, tree=tree
    )


@pytest.fixture(scope="session")
def pixels():
    """Images of noise."""
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
