"""What a command answers a program with `--json`: one object, alone on standard output; the rest goes to stderr."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from trilineage.core.errors import TrilineageError

_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)
"""What the command that runs has found out so far; None where no command runs."""


def answer(**facts: Any) -> None:
    """Add facts to the answer of the command that runs; they are printed with `--json` and forgotten without.

    Parameters
    ----------
    facts
        Anything that `core.manifest.to_json` writes: numbers (NaN becomes null), texts, arrays, records, paths as text.
    """
    known = _facts.get()
    if known is not None:
        known.update(facts)


def error_facts(error: TrilineageError) -> dict[str, Any]:
    """Return an error in its four parts, for the answer of a command that failed."""
    parts = {"what": error.what, "seen": error.seen, "allowed": error.allowed, "remedy": error.remedy}
    texts = {name: None if part is None else str(part) for name, part in parts.items()}
    return {"type": type(error).__name__, **texts, "notes": list(getattr(error, "__notes__", []))}


@contextlib.contextmanager
def answering(*, is_wanted: bool, is_quiet: bool = False) -> Iterator[None]:
    """Collect what a command answers; where JSON is wanted, print it at the end and nothing else.

    Whatever the block prints to standard output, tables and paths for people, goes to standard error instead, or
    nowhere if it is to be quiet.
    """
    facts: dict[str, Any] = {}
    token, out = _facts.set(facts), sys.stdout
    elsewhere = contextlib.redirect_stdout(io.StringIO() if is_quiet else sys.stderr)
    try:
        with elsewhere if is_wanted else contextlib.nullcontext():
            yield
    finally:
        _facts.reset(token)
        if is_wanted:
            _print(facts, out)


def silence_closed_pipe() -> None:
    """Let nothing be said any more where the reader of our output has gone (`| head`), not even at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]


def _print(facts: Mapping[str, Any], out: Any) -> None:
    from trilineage.core.manifest import to_json  # late: it brings numpy

    try:
        out.write(to_json(facts).decode().rstrip("\n") + "\n")
        out.flush()
    except BrokenPipeError:
        silence_closed_pipe()
