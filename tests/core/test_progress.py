"""Progress: what is counted, what is shown, and when it is silent."""

import io
import logging
import sys

import pytest

from trilineage.core.progress import Meter, logged, progress, quietly, set_quiet


class Clock:
    time_s = 0.0

    def __call__(self):
        return self.time_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def loud():
    yield
    set_quiet(False)


def test_rate_and_remaining_time_follow_from_what_was_done(clock):
    meter = Meter("fit", 300, "cells", show=lambda meter: None, clock=clock)
    clock.time_s = 10.0
    meter.advance(100, loss=0.25)
    assert (meter.done, meter.rate, meter.remaining_s) == (100, 10.0, 20.0)
    assert meter.line() == "fit: 100/300 cells, 10 cells/s, 20s left, loss 0.25"


def test_an_unknown_total_has_no_remaining_time(clock):
    meter = Meter("read", None, "cells", show=lambda meter: None, clock=clock)
    clock.time_s = 2.0
    meter.advance(4)
    assert meter.remaining_s is None
    assert meter.line() == "read: 4 cells, 2 cells/s"


@pytest.mark.parametrize(("total", "text"), [(460, "45s"), (2010, "3m20s"), (75_010, "2h05m")])
def test_durations_are_readable(clock, total, text):
    meter = Meter("fit", total, "cells", show=lambda meter: None, clock=clock)
    clock.time_s = 1.0
    meter.advance(10)
    assert f"{text} left" in meter.line()


def test_the_log_gets_a_line_every_30_seconds_and_one_at_the_end(clock, caplog):
    caplog.set_level(logging.INFO)
    meter = Meter("fit", 5, "steps", show=logged(30.0), clock=clock)
    for time_s in (10.0, 31.0, 45.0, 62.0, 63.0):
        clock.time_s = time_s
        meter.advance()
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "fit: 2/5 steps",
        "fit: 4/5 steps",
        "fit: 5/5 steps",
    ]


def test_a_quick_piece_of_work_leaves_no_line(caplog):
    caplog.set_level(logging.INFO)
    with progress("fit", 2) as meter:
        meter.advance(2)
    assert not caplog.records


def test_a_terminal_gets_a_bar(monkeypatch, loud):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("autoencoder", 10, "cells") as meter:
        meter.advance(10, loss=0.5)
    assert "autoencoder" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()
    assert "cells/s" in stream.getvalue()


def test_quiet_shows_nothing(monkeypatch, loud):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    set_quiet(True)
    with progress("autoencoder", 10) as meter:
        meter.advance(10)
    assert stream.getvalue() == ""
    assert meter.done == 10


@pytest.mark.parametrize("before", [True, False])
def test_a_quiet_block_shows_nothing_and_what_was_before_comes_back(monkeypatch, loud, before):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    set_quiet(before)
    with quietly(), progress("inside", 1) as meter:
        meter.advance()
    assert stream.getvalue() == ""
    with progress("after", 1) as meter:
        meter.advance()
    assert ("after" in stream.getvalue()) is not before
