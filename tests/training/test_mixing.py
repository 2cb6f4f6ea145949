"""Mixup: off by default, exact losses by hand, the same seed the same mixture."""

import pytest
import torch
from torch import nn

from trilineage.training.loop import StepOutput
from trilineage.training.mixing import FeatureBatch, mixed
from trilineage.training.settings import FineTuningSettings


class Pixels(FeatureBatch):
    """A batch whose features are its pixels."""

    @property
    def pixels(self):
        return self.features


class Identity(nn.Module):
    def features(self, pixels):
        return pixels


def step(model, batch):
    """Loss of image i: its feature times its label."""
    losses = batch.features[:, 0] * batch.labels * batch.weight
    return StepOutput(losses.sum(), batch.weight.sum())


def batch():
    return Pixels(torch.tensor([[1.0], [10.0]]), torch.tensor([1, 2]), torch.ones(2))


def test_it_is_off_by_default():
    assert FineTuningSettings().mixup == 0.0
    assert mixed(step, 0.0) is step


def test_features_and_losses_are_mixed_by_the_same_share():
    torch.manual_seed(1)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    partner = torch.randperm(2)
    features = share * batch().features[:, 0] + (1 - share) * batch().features[partner, 0]
    labels = share * batch().labels + (1 - share) * batch().labels[partner]
    torch.manual_seed(1)
    output = mixed(step, 0.4)(Identity(), batch())
    assert float(output.loss_sum) == pytest.approx(float((features * labels).sum()))
    assert float(output.weight) == 2.0


def test_the_same_seed_gives_the_same_mixture():
    losses = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(float(mixed(step, 1.0)(Identity(), batch()).loss_sum))
    assert losses[0] == losses[1] != losses[2]


def test_the_weight_of_the_batch_follows_the_partners():
    torch.manual_seed(0)
    uneven = batch()._replace(weight=torch.tensor([3.0, 1.0]))
    assert float(mixed(step, 1.0)(Identity(), uneven).weight) == pytest.approx(4.0)
