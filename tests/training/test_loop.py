"""The loop: the same numbers as torch by hand, the same bytes twice, the best weights, clear errors."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from trilineage.core.errors import ArtifactError, ConfigError, DataError, DivergenceError, StorageError
from trilineage.training.batches import batch_bounds
from trilineage.training.loop import StepOutput


def by_hand(small, n_epochs, model):
    """Train with torch alone on the same batches, without dropout."""
    data, optimizer = small.Line(), torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    losses = []
    for epoch in range(n_epochs):
        order = data.order(seed=5, epoch=epoch)
        for start, stop in batch_bounds(len(order), 8):
            output = small.step(model, data.take(order[start:stop]))
            loss = output.loss_sum / output.weight
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def without_dropout(small):
    model = small.network()
    model.layers[3].p = 0.0
    return model


def test_the_loop_is_torch_by_hand(small):
    expected = without_dropout(small)
    losses = by_hand(small, 3, expected)
    model, history = small.fit(model=without_dropout(small), epochs=3)
    assert small.digest(model) == small.digest(expected)
    assert len(losses) == history.n_steps == 15
    assert [record["epoch"] for record in history.epochs] == [1, 2, 3]
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]


def test_the_loss_of_an_epoch_is_weighted_by_the_batches(small):
    """With a learning rate of next to nothing, it is the loss over all samples at once."""
    model = small.network(with_norm=False)
    model.layers[3].p = 0.0
    data = small.Line()
    output = small.step(model, data.take(np.arange(len(data))))
    _, history = small.fit(model=model, epochs=1, learning_rate=1e-30)
    assert history.epochs[0]["loss"] == pytest.approx(
        float((output.loss_sum / output.weight).detach()), rel=1e-5
    )


def test_the_same_seed_gives_the_same_bytes(small):
    assert small.digest(small.fit()[0]) == small.digest(small.fit()[0])


def test_noise_of_the_caller_changes_nothing_and_finds_its_generators_unchanged(small):
    expected = small.digest(small.fit()[0])
    model = small.network()
    torch.manual_seed(99)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    fitted, _ = small.fit(model=model)
    assert small.digest(fitted) == expected
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_validation_that_draws_random_numbers_does_not_change_training(small):
    def validate():
        torch.rand(100)
        return {"valid_loss": 0.0}

    assert small.digest(small.fit(validate=validate)[0]) == small.digest(small.fit()[0])


def test_checkpoints_and_reading_ahead_do_not_change_training(small, tmp_path):
    expected = small.digest(small.fit()[0])
    assert small.digest(small.fit(tmp_path)[0]) == expected
    assert small.digest(small.fit(prefetch="yes")[0]) == expected


def test_the_model_ends_in_evaluation_without_gradients(small):
    model, _ = small.fit(epochs=1)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_early_stopping_brings_the_best_weights_back(small):
    values = iter([3.0, 1.0, 2.0, 1.0, float("nan"), 0.0])
    validate = {"validate": lambda: {"valid_loss": next(values)}}
    model, history = small.fit(epochs=6, patience=3, **validate)
    assert (history.best_epoch, len(history.epochs), history.n_steps) == (2, 5, 25)
    assert small.digest(model) == small.digest(small.fit(epochs=2)[0])


def test_higher_can_be_better(small):
    values = iter([0.5, 0.9, 0.7, 0.8])
    options = {"monitor": "accuracy", "monitor_mode": "max", "patience": 9}
    _, history = small.fit(validate=lambda: {"accuracy": next(values)}, **options)
    assert history.best_epoch == 2


def test_the_training_loss_can_be_monitored(small):
    _, history = small.fit(monitor="loss", patience=9)
    losses = [record["loss"] for record in history.epochs]
    assert history.best_epoch == 1 + int(np.argmin(losses))


def test_early_stopping_goes_on_exactly_after_a_resume(small, tmp_path):
    """The third epoch is the best; training breaks off in the fourth, and stops after the fifth."""

    def scores():
        table = {5: 3.0, 10: 2.0, 15: 1.0, 20: 4.0, 25: 5.0}
        counter = iter(sorted(table))
        return lambda: {"valid_loss": table[next(counter)]}

    whole_model, whole = small.fit(epochs=9, patience=2, validate=scores())
    scores_with_a_break = scores()

    def break_off(model, batch):
        break_off.n_calls += 1
        if break_off.n_calls == 18:
            raise ZeroDivisionError
        return small.step(model, batch)

    break_off.n_calls = 0
    with pytest.raises(ZeroDivisionError):
        small.fit(tmp_path, epochs=9, patience=2, validate=scores_with_a_break, step_function=break_off)
    model, history = small.fit(tmp_path, epochs=9, patience=2, validate=scores_with_a_break)
    assert history == whole
    assert small.digest(model) == small.digest(whole_model)


def test_a_finished_training_returns_at_once_with_the_same(small, tmp_path):
    values = {"validate": lambda: {"valid_loss": 1.0}, "patience": 2}
    model, history = small.fit(tmp_path, **values)

    def never(model, batch):
        raise AssertionError

    again, history_again = small.fit(tmp_path, step_function=never, **values)
    assert history_again == history
    assert small.digest(again) == small.digest(model)
    assert not any(module.training for module in again.modules())


def test_a_resume_reads_only_the_batches_that_are_left(small, tmp_path):
    small.fit(tmp_path, epochs=2, keep=100)
    files = sorted(tmp_path.iterdir())
    for path in files[7:]:
        path.unlink()
    data = small.Line()
    small.fit(tmp_path, batches=data, epochs=2)
    assert [len(positions) for positions in data.taken] == [8, 8, 9]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.02}, "learning_rate: 0.01 then, 0.02 now"),
        ({"epochs": 5}, "epochs: 4 then, 5 now"),
        ({"fingerprint": "b"}, "data and configuration: '' then, 'b' now"),
    ],
)
def test_checkpoints_of_other_options_or_data_are_refused_and_the_difference_named(
    small, tmp_path, change, named
):
    small.fit(tmp_path)
    with pytest.raises(ArtifactError, match="belong to another training") as caught:
        small.fit(tmp_path, **change)
    assert named in str(caught.value)


def test_checkpoints_of_another_model_are_refused(small, tmp_path):
    small.fit(tmp_path)
    with pytest.raises(ArtifactError, match="shapes of the weights"):
        small.fit(tmp_path, model=small.network(with_norm=False))


def test_options_that_change_no_result_may_change(small, tmp_path):
    _, history = small.fit(tmp_path)
    assert small.fit(tmp_path, checkpoint_every_s=7.0, keep=5, prefetch="yes")[1] == history


def test_between_checkpoints_passes_the_time_that_was_asked_for(small, tmp_path, monkeypatch):
    now = iter(range(10_000))
    monkeypatch.setattr("trilineage.training.resuming.time.monotonic", lambda: float(next(now)))
    written = []
    monkeypatch.setattr(
        "trilineage.training.checkpoint.CheckpointStore.save",
        lambda store, checkpoint: written.append(checkpoint.step),
    )
    small.fit(tmp_path, checkpoint_every_s=10.0)  # the clock is read after every step, epoch and checkpoint
    assert written == [9, 17, 20]


def test_a_loss_that_is_no_number_stops_with_step_and_learning_rate_and_spoils_nothing(small, tmp_path):
    def explode(model, batch):
        output = small.step(model, batch)
        explode.n_calls += 1
        return output._replace(loss_sum=output.loss_sum * (float("nan") if explode.n_calls == 8 else 1.0))

    explode.n_calls = 0
    with pytest.raises(
        DivergenceError, match=r"step 8 with learning rate 0\.01; the last checkpoint \(step 7\)"
    ):
        small.fit(tmp_path, step_function=explode)
    assert small.digest(small.fit(tmp_path)[0]) == small.digest(small.fit()[0])


def test_a_loss_that_is_no_number_names_the_samples_of_its_batch(small, tmp_path):
    class Named(small.Line):
        def describe(self, positions):
            return [f"cell_{position}.png" for position in positions]

    def spoil(model, batch):
        output = small.step(model, batch)
        return output._replace(
            loss_sum=output.loss_sum * torch.where((batch[0] == marked).all(1).any(), torch.nan, 1.0)
        )

    data = Named()
    order = data.order(seed=5, epoch=0)
    marked = data.features[order[9]]  # the second of the second batch
    names = ", ".join(f"cell_{position}.png" for position in order[8:16])
    with pytest.raises(DivergenceError, match=rf"batch 2 of epoch 1 \(samples {names}\)"):
        small.fit(tmp_path, batches=data, step_function=spoil)
    assert len(list(tmp_path.iterdir())) == 1


def test_weights_that_are_no_numbers_are_never_written(small, tmp_path):
    def explode(model, batch):
        output = small.step(model, batch)
        explode.n_calls += 1
        if explode.n_calls == 3:  # a finite loss whose gradient is infinite
            weight = next(model.parameters())
            return output._replace(loss_sum=output.loss_sum + (weight - weight.detach()).abs().sqrt().sum())
        return output

    explode.n_calls = 0
    with pytest.raises(DivergenceError, match="is not finite in step 3"):
        small.fit(tmp_path, step_function=explode)
    assert small.digest(small.fit(tmp_path)[0]) == small.digest(small.fit()[0])


def test_a_full_disk_stops_training_and_the_old_checkpoint_is_gone_on_with(small, tmp_path, monkeypatch):
    def fail(*arguments):
        fail.n_calls += 1
        if fail.n_calls > 6:
            raise OSError(28, "No space left on device")
        return replace(*arguments)

    replace, fail.n_calls = __import__("os").replace, 0
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(StorageError, match="No space left"):
            small.fit(tmp_path)
    assert small.digest(small.fit(tmp_path)[0]) == small.digest(small.fit()[0])


def test_a_monitor_that_nobody_computes_is_refused_with_what_there_is(small):
    with pytest.raises(ConfigError, match="seen: monitor=valid_loss; allowed: loss, accuracy"):
        small.fit(patience=2, validate=lambda: {"accuracy": 0.5})


def test_training_on_nothing_is_refused(small):
    with pytest.raises(DataError, match="no sample"):
        small.fit(batches=small.Line(0))


def test_an_epoch_of_another_length_is_refused(small):
    class Short(small.Line):
        def order(self, *, seed, epoch):
            return super().order(seed=seed, epoch=epoch)[:-epoch]

    with pytest.raises(DataError, match="another length"):
        small.fit(batches=Short())


def test_a_single_sample_can_be_learned_from(small):
    model, history = small.fit(batches=small.Line(1), epochs=2)
    assert history.n_steps == 2
    assert np.isfinite(small.weights(model)).all()


def test_batches_that_can_move_are_sent_to_the_device(small):
    class Movable:
        def __init__(self, pair):
            self.pair, self.devices = pair, []

        def to(self, device):
            self.devices.append(device)
            return self.pair

    class Data(small.Line):
        def take(self, positions):
            self.batch = Movable(super().take(positions))
            return self.batch

    data = Data()
    small.fit(batches=data, epochs=1)
    assert data.batch.devices == [small.CPU]


def test_batches_without_weight_teach_nothing(small):
    def weightless(model, batch):
        output = small.step(model, batch)
        return StepOutput(output.loss_sum * 0.0, 0.0)

    model, history = small.fit(model=small.network(with_norm=False), step_function=weightless, epochs=1)
    assert history.epochs[0]["loss"] == 0.0
    assert small.digest(model) == small.digest(small.network(with_norm=False))


def test_bfloat16_on_a_cpu_learns_too_and_keeps_float32_weights(small):
    model, history = small.fit(precision="bfloat16", epochs=8)
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_tied_and_frozen_weights_survive_a_resume(small, tmp_path):
    def tied():
        torch.manual_seed(0)
        first, second = nn.Linear(6, 6), nn.Linear(6, 6)
        second.weight = first.weight
        first.bias.requires_grad_(False)
        return nn.Sequential(first, nn.ReLU(), second, nn.Linear(6, 1), nn.Flatten(0))

    expected = small.digest(small.fit(model=tied(), epochs=2)[0])
    small.fit(tmp_path, model=tied(), epochs=2, keep=100)
    for path in sorted(tmp_path.iterdir())[4:]:
        path.unlink()
    assert small.digest(small.fit(tmp_path, model=tied(), epochs=2)[0]) == expected


def test_the_log_tells_where_training_went_on(small, tmp_path, caplog):
    small.fit(tmp_path, keep=100)
    for path in sorted(tmp_path.iterdir())[6:]:
        path.unlink()
    with caplog.at_level(logging.INFO, logger="trilineage"):
        small.fit(tmp_path)
        small.fit(tmp_path)
    assert "training: going on after step 6" in caplog.messages
    assert "training: finished before" in caplog.messages
