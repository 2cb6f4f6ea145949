"""What a command says while it works: log lines on the terminal, and all of them in files."""

import contextlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from trilineage import __version__
from trilineage.core.errors import StorageError
from trilineage.core.progress import set_quiet

RUN_LOG = "log.txt"
"""Name of the log in a Run."""
MANIFEST = "run.json"

logger = logging.getLogger("trilineage")


class LogFile(logging.Handler):
    """Appends lines to a file, each with its time (UTC); a full disk stops the log and never the work.

    Parameters
    ----------
    path
        The file.
    beside
        A file that must be there first: a Run is begun by the command, and its folder must not be touched before.
        Lines wait until then; where the Run is removed and begun again, its log begins again with all of them.
    """

    def __init__(self, path: Path, *, beside: Path | None = None):
        super().__init__()
        self.path, self.beside = path, beside
        self._lines: list[str] = []
        self._n_written = 0
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, and those that waited."""
        self._lines.append(self.format(record) + "\n")
        if self.beside is not None and not self.beside.exists():
            return
        start = self._n_written if self.path.exists() else 0
        with contextlib.suppress(OSError), open(self.path, "a", encoding="utf-8") as stream:
            stream.writelines(self._lines[start:])
            self._n_written = len(self._lines)

    @property
    def has_begun(self) -> bool:
        """Whether lines were written."""
        return self._n_written > 0 and self.path.exists()


def configure_messages(*, debug: bool = False, quiet: bool = False) -> None:
    """Send log lines of this package to standard error: all with `debug`, warnings only with `quiet`.

    Of several processes the first one speaks; the others show warnings only.
    """
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


def quieten() -> None:
    """Show warnings and errors only from now on; log files keep every line."""
    for handler in logger.handlers:
        if handler.name == "terminal":
            handler.setLevel(logging.WARNING)
    set_quiet(True)


def is_first_process() -> bool:
    """Tell whether this is the process that speaks: the only one, or the first of those torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def complain(text: str) -> None:
    """Write a message to standard error, with the process number where there are several, and to the log files."""
    rank = os.environ.get("RANK")
    typer.echo(text if rank in (None, "0") else f"[process {rank}] {text}", err=True)
    note(text, logging.ERROR)


def note(text: str, level: int = logging.INFO) -> None:
    """Write a line to the log files only."""
    for handler in log_files():
        handler.handle(logger.makeRecord(logger.name, level, "", 0, text, (), None))


def log_files() -> list[LogFile]:
    """Return the log files that are open."""
    return [handler for handler in logger.handlers if isinstance(handler, LogFile)]


@contextlib.contextmanager
def logged_to(log_file: Path | None, run_path: Path | None) -> Iterator[None]:
    """Keep the log of a command in a file, and in `log.txt` of its Run once there is one; the first process writes.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    handlers = []
    if is_first_process():
        handlers += [] if log_file is None else [_opened(log_file)]
        handlers += [] if run_path is None else [LogFile(run_path / RUN_LOG, beside=run_path / MANIFEST)]
    for handler in handlers:
        logger.addHandler(handler)
    note(f"trilineage {__version__}: {shlex.join(['trilineage', *sys.argv[1:]])}")
    code = 0
    try:
        yield
    except typer.Exit as leaving:
        code = leaving.exit_code
        raise
    finally:
        note(f"exit code {code}")
        for handler in handlers:
            logger.removeHandler(handler)


def _opened(path: Path) -> LogFile:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            return LogFile(path)
    except OSError as error:
        raise StorageError(
            f"cannot write the log {path}",
            seen=error.strerror,
            allowed="a file in a folder that can be written",
            remedy="choose another --log-file",
        ) from None
