"""The moving average of the weights: values by hand, part of checkpoints, what validation and the caller see."""

import numpy as np
import pytest
import torch
from torch import nn

from trilineage.core.errors import Interrupted
from trilineage.training.averaging import WeightAverage
from trilineage.training.loop import train
from trilineage.training.settings import FineTuningSettings

CPU = torch.device("cpu")
OPTIONS = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.05,
    "average_decay": 0.9,
    "checkpoint_every_s": 0.0,
}


def test_the_average_moves_by_the_pace_of_its_age():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay=0.9)
    nn.init.ones_(model.weight)
    average.update(1)  # d = 2 / 11
    average.update(2)  # d = 3 / 12
    assert float(average.tensors["weight"]) == pytest.approx(1 - (2 / 11) * (3 / 12))


def test_an_old_average_moves_by_its_decay():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay=0.9)
    nn.init.ones_(model.weight)
    average.update(10_000)
    assert float(average.tensors["weight"]) == pytest.approx(0.1)


def test_counters_are_copied_and_running_statistics_averaged():
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, decay=0.5)
    model(torch.randn(8, 2))
    average.update(1)
    assert int(average.tensors["num_batches_tracked"]) == 1
    assert not torch.equal(average.tensors["running_mean"], model.running_mean)


def test_a_model_has_its_own_weights_back_even_after_an_error():
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.5)
    nn.init.ones_(model.weight)
    with pytest.raises(RuntimeError, match="stop"), average.lent():
        assert not torch.equal(model.weight, torch.ones(2, 2))
        raise RuntimeError("stop")
    assert torch.equal(model.weight, torch.ones(2, 2))


def averaged_fit(small, folder=None, step=None, validate=None, **options):
    model = small.network()
    settings = FineTuningSettings(**(OPTIONS | options))
    history = train(
        model,
        step or small.step,
        small.Line(),
        settings,
        seed=5,
        device=CPU,
        checkpoints_dir=folder,
        validate=validate,
    )
    return model, history


def test_training_ends_with_the_average(small):
    plain, _ = averaged_fit(small, average_decay=0.0)
    averaged, _ = averaged_fit(small)
    assert small.digest(plain) != small.digest(averaged)


def test_the_average_changes_nothing_of_the_training_itself(small):
    plain, averaged = averaged_fit(small, average_decay=0.0)[1], averaged_fit(small)[1]
    assert [row["loss"] for row in plain.epochs] == [row["loss"] for row in averaged.epochs]


def test_validation_sees_the_average(small):
    model = small.network()
    seen = []

    def validate():
        seen.append(small.digest(model))
        return {}

    train(
        model, small.step, small.Line(), FineTuningSettings(**OPTIONS), seed=5, device=CPU, validate=validate
    )
    assert seen[-1] == small.digest(model)


def test_a_training_stopped_and_resumed_ends_with_the_same_bytes(small, tmp_path):
    expected, _ = averaged_fit(small)
    calls = []

    def interrupted(model, batch):
        calls.append(1)
        if len(calls) == 8:
            raise Interrupted("stopped by the test")
        return small.step(model, batch)

    with pytest.raises(Interrupted):
        averaged_fit(small, tmp_path, step=interrupted)
    resumed, _ = averaged_fit(small, tmp_path)
    assert small.digest(resumed) == small.digest(expected)


def test_the_best_weights_are_the_average_of_their_epoch(small):
    model = small.network()
    digests, values = [], iter([3.0, 1.0, 2.0])

    def validate():
        digests.append(small.digest(model))
        return {"valid_loss": next(values)}

    settings = FineTuningSettings(**OPTIONS, patience=3)
    history = train(model, small.step, small.Line(), settings, seed=5, device=CPU, validate=validate)
    assert history.best_epoch == 2
    assert small.digest(model) == digests[1]
    assert np.unique(digests).size == 3
