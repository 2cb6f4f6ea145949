"""Ctrl-C and SIGTERM that wait for a safe point, so that work stops with a checkpoint instead of in the middle."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from trilineage.core.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

logger = logging.getLogger(__name__)


class StoppedAtOnce(KeyboardInterrupt):
    """A signal came inside `Interruption.at_once`, where stopping needs no safe point."""


class Interruption:
    """What signals have asked for; made by `interruptible`."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        """Name of the first signal that came, or None."""
        self._is_at_once = False

    @property
    def is_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self.signal_name is not None

    def check(self, doing: str) -> None:
        """Raise if somebody asked to stop; call it between pieces of work that need no checkpoint.

        Raises
        ------
        Interrupted
            After a signal; the message says what was being done.
        """
        if self.is_requested:
            raise Interrupted(
                f"{doing} was stopped", seen=self.signal_name, remedy="run the same command again to go on"
            )

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal stop the block immediately, by `StoppedAtOnce`: for long work that changes nothing.

        Raises
        ------
        StoppedAtOnce
            As soon as a signal comes, and at the start if one came before.
        """
        if self.is_requested:
            raise StoppedAtOnce(self.signal_name)
        self._is_at_once = True
        try:
            yield
        finally:
            self._is_at_once = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note a signal (the handler); a second Ctrl-C does not wait any more.

        Raises
        ------
        KeyboardInterrupt
            At a second Ctrl-C.
        StoppedAtOnce
            Inside `at_once`.
        """
        is_second = self.is_requested
        self.signal_name = self.signal_name or signal.Signals(number).name
        if self._is_at_once:
            self._is_at_once = False  # a second signal must not cut short what the first one set going
            raise StoppedAtOnce(self.signal_name)
        if is_second and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not is_second:
            logger.warning(
                "%s: stopping after this step; press Ctrl-C again to stop without a checkpoint",
                self.signal_name,
            )


_active: Interruption | None = None


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Catch Ctrl-C and SIGTERM inside the block and put the old handlers back after it.

    Blocks may be nested: the inner one shares the interruption of the outer. Outside the main thread, where Python
    delivers no signals, nothing is caught.
    """
    global _active  # signal handlers belong to the process
    if threading.current_thread() is not threading.main_thread():
        yield Interruption()
        return
    if _active is not None:
        yield _active
        return
    _active = Interruption()
    previous = {number: signal.signal(number, _active.receive) for number in _SIGNALS}
    try:
        yield _active
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _active = None
