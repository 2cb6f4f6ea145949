"""Progress that a person or a log can follow: a bar with rate and ETA on a terminal, a line now and then elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

_LOG_EVERY_S = 30.0
_is_quiet = False

logger = logging.getLogger(__name__)


class Meter:
    """Counter of finished units; tell it with `advance` what was done.

    Parameters
    ----------
    description
        What is being done ("autoencoder").
    total
        Units in all, or None where unknown.
    unit
        What is counted, in the plural ("cells").
    show
        Called after every step with the meter; draws it, logs it, or does nothing.
    clock
        Seconds that only grow; a test gives its own.
    """

    def __init__(
        self,
        description: str,
        total: int | None,
        unit: str,
        *,
        show: Callable[["Meter"], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.description, self.total, self.unit = description, total, unit
        self.done = 0
        self.shown: dict[str, float] = {}
        self._show, self._clock, self._start = show, clock, clock()

    def advance(self, n: int = 1, **shown_values: float) -> None:
        """Count `n` more units as done and show these values (a loss, a score) beside the bar."""
        self.done += n
        self.shown.update(shown_values)
        self._show(self)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the meter started."""
        return self._clock() - self._start

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return self.done / max(self.elapsed_s, 1e-9)

    @property
    def remaining_s(self) -> float | None:
        """Seconds still to go at this rate; None where the total or the rate is unknown."""
        if self.total is None or self.done == 0:
            return None
        return max(self.total - self.done, 0) / self.rate

    def values(self) -> str:
        """Return the shown values as text (`loss 0.123`)."""
        return " ".join(f"{name} {value:.4g}" for name, value in self.shown.items())

    def line(self) -> str:
        """Return one line for a log: what, how much, how fast, how long still, and the shown values."""
        total = "" if self.total is None else f"/{self.total:,}"
        parts = [f"{self.done:,}{total} {self.unit}", f"{self.rate:,.0f} {self.unit}/s"]
        if self.remaining_s is not None:
            parts.append(f"{duration(self.remaining_s)} left")
        parts.extend(filter(None, [self.values()]))
        return f"{self.description}: " + ", ".join(parts)


def set_quiet(is_quiet: bool) -> None:
    """Silence (or bring back) every bar and line from now on."""
    global _is_quiet  # one switch for the process, as the terminal is one
    _is_quiet = is_quiet


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Show no bar and no line inside the block."""
    before = _is_quiet
    set_quiet(True)
    try:
        yield
    finally:
        set_quiet(before)


@contextlib.contextmanager
def progress(description: str, total: int | None, unit: str = "steps") -> Iterator[Meter]:
    """Follow a piece of work: a rich bar on a terminal, a log line every 30 seconds otherwise.

    Examples
    --------
    >>> set_quiet(True)
    >>> with progress("demo", 3, "cells") as meter:
    ...     meter.advance(3, loss=0.5)
    >>> meter.done
    3
    >>> set_quiet(False)
    """
    if _is_quiet:
        yield Meter(description, total, unit, show=lambda meter: None)
    elif sys.stderr.isatty():
        with _bar(description, total) as show:
            yield Meter(description, total, unit, show=show)
    else:
        yield Meter(description, total, unit, show=logged())


def logged(every_s: float = _LOG_EVERY_S) -> Callable[[Meter], None]:
    """Return a `show` that writes a log line at most once in `every_s` seconds, and one when all is done."""
    last_s = 0.0

    def show(meter: Meter) -> None:
        nonlocal last_s
        is_done = meter.total is not None and meter.done >= meter.total
        if meter.elapsed_s - last_s >= every_s or (is_done and last_s > 0):
            last_s = meter.elapsed_s
            logger.info(meter.line())

    return show


@contextlib.contextmanager
def _bar(description: str, total: int | None) -> Iterator[Callable[[Meter], None]]:
    """Draw a rich bar on standard error and give the function that moves it."""
    from rich.console import Console  # late: only a terminal needs it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]} {task.fields[values]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, rate="", values="")

        def show(meter: Meter) -> None:
            rate = f"{meter.rate:,.0f} {meter.unit}/s"
            bar.update(task, completed=meter.done, rate=rate, values=meter.values())

        yield show


def duration(seconds: float) -> str:
    """Return seconds as 45s, 3m20s or 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
