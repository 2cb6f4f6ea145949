"""Counters of a training: what is best, when to stop, and their way through JSON."""

import json

import pytest

from trilineage.training.state import TrainingState


def judged(values, mode):
    state = TrainingState()
    for value in values:
        state.epoch += 1
        state.judge(value, mode)
    return state


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([3.0, 1.0, 2.0], "min", 2),
        ([3.0, 1.0, 2.0], "max", 1),
        ([1.0, 1.0], "min", 1),
        ([float("nan"), 5.0, float("nan")], "min", 2),
        ([float("nan")], "max", None),
    ],
)
def test_the_first_best_value_counts_and_nan_never_does(values, mode, best):
    assert judged(values, mode).best_epoch == best


def test_patience_counts_epochs_since_the_best():
    state = judged([1.0, 2.0, 3.0], "min")
    assert [state.has_stopped_early(patience) for patience in (0, 1, 2, 3)] == [False, True, True, False]


def test_the_state_comes_back_from_json_to_the_last_bit():
    state = judged([0.1 + 0.2, 1e-300], "min")
    state.records = [{"epoch": 1, "loss": 1 / 3}]
    assert TrainingState(**json.loads(json.dumps(state.to_dict()))) == state


def test_the_history_is_a_copy():
    state = TrainingState(records=[{"loss": 1.0}], step=3)
    history = state.history()
    state.records[0]["loss"] = 2.0
    assert history.to_dict() == {"epochs": [{"loss": 1.0}], "n_steps": 3, "best_epoch": None}
