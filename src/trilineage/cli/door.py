"""Where commands meet people: one clear message for an error, the right exit code, the whole story in a log."""

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import typer

from trilineage.core.errors import (
    EXIT_INTERRUPTED,
    ConfigError,
    DataError,
    Interrupted,
    LeakageError,
    TrilineageError,
)

EXIT_FAILED = 1
"""The work failed: a Run that cannot be used, a full disk, a defect."""
EXIT_WRONG_INPUT = 2
"""What was asked, or the files it was asked of, must be mended first."""
EXIT_STOPPED = 130
"""Stopped by Ctrl-C with nothing to resume (128 + SIGINT)."""

RESUME_HINT = "Run the same command again to go on from there."

logger = logging.getLogger("trilineage")


def door(*, is_resumable: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for commands that turns every exception into a message and an exit code.

    Parameters
    ----------
    is_resumable
        Whether the same command goes on where an interrupted one stopped; its `out` or `run` argument is the Run.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def guarded(*args: Any, **options: Any) -> None:
            run_path = next((Path(options[key]) for key in ("out", "run") if options.get(key)), None)
            with _errors_shown(run_path, is_resumable), _terminate_like_interrupt():
                command(*args, **options)
                sys.stdout.flush()

        return guarded

    return decorate


def exit_code(error: TrilineageError) -> int:
    """Return 75 for work that can go on, 2 for options or files to mend, 1 for the rest."""
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED
    return EXIT_WRONG_INPUT if isinstance(error, DataError | ConfigError | LeakageError) else EXIT_FAILED


def is_first_process() -> bool:
    """Tell whether this is the process that speaks: the only one, or the first of those torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def configure_messages(*, debug: bool = False, quiet: bool = False) -> None:
    """Send log lines of this package to standard error: all with `debug`, warnings only with `quiet`.

    Of several processes the first one speaks; the others show warnings only.
    """
    from trilineage.core.progress import set_quiet

    is_silent = quiet or not is_first_process()
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    for handler in [handler for handler in logger.handlers if handler.name == "terminal"]:
        logger.removeHandler(handler)
    terminal = logging.StreamHandler()
    terminal.name = "terminal"
    terminal.setFormatter(logging.Formatter("%(message)s"))
    terminal.setLevel(logging.WARNING if is_silent else logging.NOTSET)
    logger.addHandler(terminal)
    set_quiet(is_silent)


def complain(text: str) -> None:
    """Write a message to standard error, with the process number where there are several."""
    rank = os.environ.get("RANK")
    typer.echo(text if rank in (None, "0") else f"[process {rank}] {text}", err=True)


@contextlib.contextmanager
def _errors_shown(run_path: Path | None, is_resumable: bool) -> Iterator[None]:
    """Show what a command raises and leave with its exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Interrupted as error:
        _leave(f"Interrupted: {_message(error)} {RESUME_HINT}", EXIT_INTERRUPTED)
    except TrilineageError as error:
        _show_debug_traceback()
        _leave(f"{type(error).__name__}: {_message(error)}", exit_code(error))
    except KeyboardInterrupt:
        _leave_interrupted(run_path, is_resumable)
    except BrokenPipeError:
        _leave_closed_pipe()
    except Exception as error:  # noqa: BLE001  (the door: whatever came this far is logged and shown)
        _leave_unexpected(error, run_path)


def _leave(text: str, code: int) -> NoReturn:
    complain(text)
    raise typer.Exit(code)


def _leave_interrupted(run_path: Path | None, is_resumable: bool) -> NoReturn:
    """Leave with 75 if the Run has begun and the command can go on with it."""
    if is_resumable and run_path is not None and (run_path / "run.json").exists():
        _leave(f"Interrupted. {RESUME_HINT}", EXIT_INTERRUPTED)
    _leave("Stopped.", EXIT_STOPPED)


def _leave_closed_pipe() -> NoReturn:
    """The reader of our output has gone (`| head`): be silent, now and when Python flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(0)


def _leave_unexpected(error: Exception, run_path: Path | None) -> NoReturn:
    """Show one line, keep the traceback in the log of the Run if there is one."""
    _show_debug_traceback()
    log_path = _write_to_log(run_path)
    where = f"The traceback is in {log_path}" if log_path else "`trilineage --debug ...` shows the traceback"
    summary = "".join(traceback.format_exception_only(error)).strip()
    _leave(f"Unexpected error, a defect of trilineage: {summary}\n{where}.", EXIT_FAILED)


def _write_to_log(run_path: Path | None) -> Path | None:
    """Append the current traceback to the log of a Run; None where there is no Run or no room."""
    if run_path is None or not (run_path / "run.json").exists():
        return None
    log_path = run_path / "log.txt"
    try:
        with open(log_path, "a", encoding="utf-8") as stream:
            stream.write(traceback.format_exc())
    except OSError as error:
        logger.debug("the traceback could not be written to %s: %s", log_path, error)
        return None
    return log_path


def _show_debug_traceback() -> None:
    if logger.isEnabledFor(logging.DEBUG):
        complain(traceback.format_exc().rstrip())


def _message(error: TrilineageError) -> str:
    """Return the message of an error with the notes that were added on its way up."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM arrive as Ctrl-C does; a training loop takes over both while it runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
