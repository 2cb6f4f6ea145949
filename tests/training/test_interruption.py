"""Ctrl-C and SIGTERM: the step is finished, a checkpoint written, and the old handlers come back."""

import os
import signal
import threading

import pytest

from trilineage.core.errors import Interrupted
from trilineage.training.interruption import StoppedAtOnce, interruptible


def send(number):
    os.kill(os.getpid(), number)


class SignalAt:
    """The step of the small training, which sends signals in the middle of one call."""

    def __init__(self, small, call, *numbers):
        self.small, self.call, self.numbers = small, call, numbers
        self.n_calls = 0

    def __call__(self, model, batch):
        self.n_calls += 1
        if self.n_calls == self.call:
            for number in self.numbers:
                send(number)
        return self.small.step(model, batch)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_the_same_call_goes_on_to_the_same_weights(small, tmp_path, number):
    step = SignalAt(small, 7, number)
    with pytest.raises(Interrupted, match="stopped after 7 of at most 20 steps; a checkpoint was written"):
        small.fit(tmp_path, step_function=step, checkpoint_every_s=1e6)
    assert step.n_calls == 7
    assert small.digest(small.fit(tmp_path)[0]) == small.digest(small.fit()[0])


def test_a_second_ctrl_c_does_not_wait(small, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small.fit(tmp_path, step_function=SignalAt(small, 3, signal.SIGINT, signal.SIGINT))


def test_a_second_sigterm_waits_like_the_first(small, tmp_path):
    with pytest.raises(Interrupted):
        small.fit(tmp_path, step_function=SignalAt(small, 3, signal.SIGTERM, signal.SIGTERM))


def test_a_signal_in_the_last_step_of_an_epoch_loses_no_validation(small, tmp_path):
    values = {"validate": lambda: {"valid_loss": 1.0}}
    with pytest.raises(Interrupted):
        small.fit(tmp_path, step_function=SignalAt(small, 5, signal.SIGTERM), **values)
    assert small.fit(tmp_path, **values)[1] == small.fit(**values)[1]


def test_a_signal_stops_a_validation_at_once_and_it_is_done_again(small, tmp_path):
    reached = []

    def validate():
        send(signal.SIGTERM)
        reached.append("end")
        return {"valid_loss": 0.0}

    with pytest.raises(Interrupted, match="after 5 of"):
        small.fit(tmp_path, validate=validate, checkpoint_every_s=1e6)
    assert reached == []
    values = {"validate": lambda: {"valid_loss": 0.0}}
    assert small.fit(tmp_path, **values)[1] == small.fit(**values)[1]


def test_without_a_folder_the_message_says_that_nothing_was_kept(small):
    with pytest.raises(Interrupted, match="nothing was kept"):
        small.fit(step_function=SignalAt(small, 2, signal.SIGTERM))


def test_the_old_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_work_between_trainings_can_ask_whether_to_stop():
    with interruptible() as outer, interruptible() as inner:
        inner.check("nothing")
        send(signal.SIGTERM)
        assert outer.is_requested
        with pytest.raises(Interrupted, match="the graph was stopped; seen: SIGTERM"):
            outer.check("the graph")
        with pytest.raises(StoppedAtOnce), outer.at_once():
            pass


def test_another_thread_trains_without_handlers():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with interruptible() as interruption:
            seen.append((interruption.is_requested, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
