"""Optimisers and schedules: what torch does, values by hand, precision by device."""

import pytest
import torch
from torch import nn

from trilineage.core.errors import ConfigError
from trilineage.training.optim import (
    Updater,
    build_optimizer,
    choose_precision,
    learning_rate_at,
    rate_groups,
)
from trilineage.training.settings import FineTuningSettings, TrainingSettings

CPU = torch.device("cpu")


def rates(n_steps, **options):
    settings = TrainingSettings(learning_rate=1.0, **options)
    return [learning_rate_at(step, n_steps, settings) for step in range(n_steps)]


def test_a_constant_rate_after_a_warm_up():
    assert rates(5, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_cosine_falls_from_the_full_rate_towards_nothing():
    assert rates(4, schedule="cosine") == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_a_warm_up_longer_than_training_stays_finite(schedule):
    assert rates(3, schedule=schedule, warmup_steps=10) == pytest.approx([0.1, 0.2, 0.3])


def test_cosine_is_that_of_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    expected = []
    for _ in range(9):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(9, schedule="cosine") == pytest.approx(expected)


def test_matrices_are_decayed_and_vectors_are_not():
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(model.parameters(), TrainingSettings(optimizer="adamw", weight_decay=0.1))
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {
        tuple(p.shape): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert decays == {(2, 3): 0.1, (2,): 0.0}
    assert all(group["fused"] for group in optimizer.param_groups)


def test_frozen_parameters_are_left_out():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(model.parameters(), TrainingSettings())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def test_a_model_without_anything_to_train_is_refused():
    with pytest.raises(ConfigError, match="no parameter to train"):
        build_optimizer(nn.ReLU().parameters(), TrainingSettings())


def test_gradients_are_clipped_to_the_norm_over_all_parameters():
    model = nn.Linear(2, 1)
    updater = Updater(model, TrainingSettings(clip_norm=0.5), device=CPU, n_steps=1)
    updater.update(1000.0 * model(torch.ones(1, 2)).sum(), step=0)
    norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in model.parameters()))
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


def test_the_state_of_the_optimiser_comes_back():
    def learn(model, updater, first, last):
        for step in range(first, last):
            updater.update((model(torch.ones(4, 3)) - step).square().sum(), step)

    def fresh():
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        return model, Updater(model, TrainingSettings(), device=CPU, n_steps=9)

    whole, updater = fresh()
    learn(whole, updater, 0, 9)
    broken, updater = fresh()
    learn(broken, updater, 0, 4)
    tensors = {name: tensor.clone() for name, tensor in updater.tensors().items()}
    resumed, updater = fresh()
    resumed.load_state_dict(broken.state_dict())
    updater.restore(tensors, {})
    learn(resumed, updater, 4, 9)
    assert torch.equal(resumed.weight, whole.weight)


def test_a_cpu_computes_in_float32_unless_asked():
    assert choose_precision("auto", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16


def test_a_precision_that_the_device_has_not_is_refused():
    with pytest.raises(ConfigError, match="does not train in float16; seen: device cpu"):
        choose_precision("float16", CPU)


class TwoParts(nn.Module):
    """A body that learns at a share of the head's rate."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(2, 2), nn.Linear(2, 1)

    def rate_groups(self, *, backbone_scale, layer_decay):
        return [
            (backbone_scale * layer_decay, True, [self.body.weight]),
            (backbone_scale, False, [self.body.bias]),
            (1.0, True, list(self.head.parameters())),
        ]

    def forward(self, x):
        return self.head(self.body(x))


def test_parts_of_a_model_learn_at_their_own_rates():
    settings = FineTuningSettings(
        learning_rate=0.1, schedule="linear", backbone_lr_scale=0.5, layer_decay=0.2
    )
    model = TwoParts()
    updater = Updater(model, settings, device=CPU, n_steps=2)
    updater.update(model(torch.ones(3, 2)).sum(), step=1)
    groups = updater.optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.005, 0.025, 0.05])
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0, 0.05]


def test_the_first_update_moves_each_part_by_its_rate():
    """Adam's first update moves every weight by its learning rate."""
    settings = FineTuningSettings(
        learning_rate=0.1, schedule="constant", backbone_lr_scale=0.5, weight_decay=0.0, clip_norm=0.0
    )
    model = TwoParts()
    before = [model.body.bias.detach().clone(), model.head.bias.detach().clone()]
    Updater(model, settings, device=CPU, n_steps=1).update(model(torch.rand(3, 2)).square().sum(), step=0)
    moved = [
        float((model.body.bias.detach() - before[0]).abs().max()),
        float((model.head.bias.detach() - before[1]).abs().max()),
    ]
    assert moved == pytest.approx([0.05, 0.1], rel=1e-3)


def test_plain_settings_give_every_model_one_rate():
    scales = {group.scale for group in rate_groups(TwoParts(), TrainingSettings())}
    assert scales == {1.0}
