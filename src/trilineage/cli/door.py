"""Where commands meet people: one clear message for an error, the right exit code, the whole story in a log."""

import contextlib
import functools
import inspect
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from trilineage.cli.answers import answer, answering, error_facts, silence_closed_pipe
from trilineage.cli.messages import complain as complain
from trilineage.cli.messages import configure_messages as configure_messages
from trilineage.cli.messages import is_first_process as is_first_process
from trilineage.cli.messages import log_files, logged_to, note, quieten
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
EXIT_WRONG_USE = 2
"""What was asked must be mended first: options, or their values."""
EXIT_BAD_DATA = 65
"""The files it was asked of must be mended first (EX_DATAERR of sysexits.h)."""
EXIT_STOPPED = 130
"""Stopped by Ctrl-C with nothing to resume (128 + SIGINT)."""

RESUME_HINT = "Run the same command again to go on from there."

_PANEL = "Output"
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        rich_help_panel=_PANEL,
        help="Print one JSON object to standard output, and everything else to standard error.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", rich_help_panel=_PANEL, help="Show results, warnings and errors only, no progress."
    ),
]
LogTo = Annotated[
    Path | None,
    typer.Option(
        "--log-file", metavar="FILE", rich_help_panel=_PANEL, help="Also append the log to this file."
    ),
]
OUTPUT_OPTIONS: dict[str, tuple[Any, Any]] = {
    "as_json": (AsJson, False),
    "is_quiet": (Quiet, False),
    "log_file": (LogTo, None),
}
"""Options that every command has, by argument: annotation and default."""

logger = logging.getLogger("trilineage")


def door(*, is_resumable: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for commands that turns every exception into a message and an exit code.

    The command also gets `--json`, `--quiet` and `--log-file`, of which it need not know: it calls
    `cli.answers.answer` with what a program would want, and prints for people as if there were nobody else.

    Parameters
    ----------
    is_resumable
        Whether the same command goes on where an interrupted one stopped; its `out` or `run` argument is the Run.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def guarded(
            *args: Any,
            as_json: bool = False,
            is_quiet: bool = False,
            log_file: Path | None = None,
            **options: Any,
        ) -> None:
            run_path = next((Path(options[key]) for key in ("out", "run") if options.get(key)), None)
            is_heard = as_json and is_first_process()
            with (
                answering(is_wanted=is_heard, is_quiet=is_quiet),
                _story(log_file, run_path, is_quiet=is_quiet),
                _errors_shown(run_path, is_resumable),
                _terminate_like_interrupt(),
            ):
                command(*args, **options)
                sys.stdout.flush()
                answer(status="done")

        return _with_output_options(guarded, command)

    return decorate


def exit_code(error: TrilineageError) -> int:
    """Return 75 for work that can go on, 65 for data to mend, 2 for options to mend, 1 for the rest."""
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED
    if isinstance(error, DataError | LeakageError):
        return EXIT_BAD_DATA
    return EXIT_WRONG_USE if isinstance(error, ConfigError) else EXIT_FAILED


def _with_output_options(guarded: Callable[..., None], command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all have; typer reads signature and annotations."""
    kinds = inspect.Parameter
    own = list(inspect.signature(command).parameters.values())
    more = [
        kinds(name, kinds.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in OUTPUT_OPTIONS.items()
    ]
    rest = [parameter for parameter in own if parameter.kind is kinds.VAR_KEYWORD]
    named = [parameter for parameter in own if parameter.kind is not kinds.VAR_KEYWORD]
    guarded.__signature__ = inspect.Signature([*named, *more, *rest])  # type: ignore[attr-defined]
    guarded.__annotations__ = command.__annotations__ | {
        name: annotation for name, (annotation, _) in OUTPUT_OPTIONS.items()
    }
    return guarded


@contextlib.contextmanager
def _story(log_file: Path | None, run_path: Path | None, *, is_quiet: bool) -> Iterator[None]:
    """Keep the log of a command; a log file that cannot be written is an error like every other."""
    if is_quiet:
        quieten()
    with contextlib.ExitStack() as stack:
        with _errors_shown(run_path, is_resumable=False):
            stack.enter_context(logged_to(log_file, run_path))
        yield


@contextlib.contextmanager
def _errors_shown(run_path: Path | None, is_resumable: bool) -> Iterator[None]:
    """Show what a command raises and leave with its exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Interrupted as error:
        answer(error=error_facts(error))
        _leave(f"Interrupted: {_message(error)} {RESUME_HINT}", EXIT_INTERRUPTED)
    except TrilineageError as error:
        answer(error=error_facts(error))
        _show_debug_traceback()
        _leave(f"{type(error).__name__}: {_message(error)}", exit_code(error))
    except KeyboardInterrupt:
        _leave_interrupted(run_path, is_resumable)
    except BrokenPipeError:
        silence_closed_pipe()
        raise typer.Exit(0) from None
    except Exception as error:  # noqa: BLE001  (the door: whatever came this far is logged and shown)
        _leave_unexpected(error)


def _leave(text: str, code: int) -> NoReturn:
    answer(status="interrupted" if code in (EXIT_INTERRUPTED, EXIT_STOPPED) else "failed", exit_code=code)
    complain(text)
    raise typer.Exit(code)


def _leave_interrupted(run_path: Path | None, is_resumable: bool) -> NoReturn:
    """Leave with 75 if the Run, or another folder of results, has begun and the command can go on with it."""
    if is_resumable and run_path is not None and run_path.is_dir() and any(run_path.iterdir()):
        _leave(f"Interrupted. {RESUME_HINT}", EXIT_INTERRUPTED)
    _leave("Stopped.", EXIT_STOPPED)


def _leave_unexpected(error: Exception) -> NoReturn:
    """Show one line, keep the traceback in the log if there is one."""
    _show_debug_traceback()
    note(traceback.format_exc().rstrip(), logging.ERROR)
    log_path = next((file.path for file in log_files() if file.has_begun), None)
    where = f"The traceback is in {log_path}" if log_path else "`trilineage --debug ...` shows the traceback"
    summary = "".join(traceback.format_exception_only(error)).strip()
    answer(error={"type": type(error).__name__, "what": summary})
    _leave(f"Unexpected error, a defect of trilineage: {summary}\n{where}.", EXIT_FAILED)


def _show_debug_traceback() -> None:
    if logger.isEnabledFor(logging.DEBUG):
        typer.echo(traceback.format_exc().rstrip(), err=True)


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
