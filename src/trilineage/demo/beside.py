"""One lineage in a process of its own beside the other, stopped with it and heard if it fails."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from trilineage.core import errors
from trilineage.core.errors import EXIT_INTERRUPTED, Interrupted, TrilineageError
from trilineage.demo.cores import threads_of_a_lineage
from trilineage.demo.places import Demo, read_demo
from trilineage.demo.records import do_step, is_done
from trilineage.demo.steps import phases_of

LOG, FAILURE = "beside.txt", "beside_failed.txt"
GRACE_S = 20.0
"""Seconds to write a checkpoint after being asked to stop."""
_POLL_S, _PARENT_S = 0.2, 1.0

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def beside(demo: Demo, phase_number: int) -> Iterator[None]:
    """Do the steps that run beside a phase in another process while the block runs; wait for it at the end.

    Raises
    ------
    Interrupted
        The other process was stopped.
    TrilineageError
        It failed, with its error.
    """
    demo.log.mkdir(parents=True, exist_ok=True)
    (demo.log / FAILURE).unlink(missing_ok=True)
    threads = str(threads_of_a_lineage())
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    words = [sys.executable, "-m", __name__, str(demo.path), str(phase_number), demo.device, str(os.getpid())]
    with open(demo.log / LOG, "ab") as log:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | dict.fromkeys(names, threads),
        )
    try:
        yield
        _wait(child)
    finally:
        _stop(child)
    _refuse_failure(child.returncode, demo)


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Wait in small steps, so that a signal is heard at once."""
    while child.poll() is None:
        time.sleep(_POLL_S)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a process that still runs to stop, and end it if it does not."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _refuse_failure(code: int, demo: Demo) -> None:
    if code == 0:
        return
    log = demo.log / LOG
    if code in (EXIT_INTERRUPTED, -signal.SIGTERM, -signal.SIGINT):
        raise Interrupted(
            "the lineage beside was stopped", seen=log, remedy="run the same command again to go on"
        )
    said = (demo.log / FAILURE).read_text("utf-8") if (demo.log / FAILURE).is_file() else ""
    name, _, message = said.partition("\n")
    known = getattr(errors, name, TrilineageError)
    failed: TrilineageError = known(message or "the lineage beside ended without a word", seen=log)
    raise failed


def work_beside(demo: Demo, phase_number: int) -> int:
    """Do the steps and return the exit code; an error is left as a file for the process that waits."""
    try:
        for step in phases_of(demo)[phase_number].beside:
            if not is_done(demo, step):
                logger.info("%s", step.title)
                do_step(demo, step)
    except (KeyboardInterrupt, Interrupted):
        return EXIT_INTERRUPTED
    except TrilineageError as error:
        logger.exception("failed")
        (demo.log / FAILURE).write_text(f"{type(error).__name__}\n{error}", "utf-8")
        return 1
    return 0


def _end_with_parent(parent: int) -> None:
    """Stop as on SIGTERM once the process that waits is gone, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(_PARENT_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _raise_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str]) -> int:
    """Run as `python -m trilineage.demo.beside DEMO PHASE DEVICE PARENT`."""
    signal.signal(signal.SIGTERM, _raise_interrupt)
    threading.Thread(target=_end_with_parent, args=(int(words[3]),), daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return work_beside(read_demo(Path(words[0]), words[2]), int(words[1]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
