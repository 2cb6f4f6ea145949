"""Backbone and head together: features once, every parameter in one group, rates of head and body."""

import pytest
import torch
from torch import nn

from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.image_classifier import ImageClassifier
from trilineage.training.optim import Grouped


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(160, 3)

    def forward(self, features):
        return self.linear(features)

    def node_log_probabilities(self, features):
        return torch.log_softmax(self(features), dim=1)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return ImageClassifier(build_backbone(BackboneSettings(trained_blocks=2), 32), Head()).eval()


def test_pixels_become_log_probabilities_through_features(classifier):
    pixels = torch.rand(2, 3, 32, 32)
    rows = classifier(pixels)
    assert torch.allclose(rows.exp().sum(dim=1), torch.ones(2))
    assert torch.equal(rows, classifier.node_log_probabilities(classifier.features(pixels)))
    assert torch.equal(classifier.outputs(pixels), classifier.head(classifier.features(pixels)))


def test_the_loop_sees_that_its_parts_learn_at_different_rates(classifier):
    assert isinstance(classifier, Grouped)
    groups = classifier.rate_groups(backbone_scale=0.1, layer_decay=1.0)
    assert sorted({scale for scale, *_ in groups}) == [0.1, 1.0]
    grouped = [id(p) for *_, parameters in groups for p in parameters]
    assert sorted(grouped) == sorted(id(p) for p in classifier.parameters() if p.requires_grad)


def test_a_frozen_backbone_leaves_the_head_alone_to_be_trained():
    backbone = build_backbone(BackboneSettings(trained_blocks=0), 32)
    groups = ImageClassifier(backbone, Head()).rate_groups(backbone_scale=0.1, layer_decay=0.5)
    assert [(scale, decays, [tuple(p.shape) for p in group]) for scale, decays, group in groups] == [
        (1.0, True, [(3, 160)]),
        (1.0, False, [(3,)]),
    ]
