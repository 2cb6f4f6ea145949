"""A process that has imported everything and does nothing but fork: each child runs one fit, to its end or its death.

Importing torch takes longer than a child lives. No OpenMP region ever runs in this process, so that forking is sound;
compiled kernels use numba's own thread pool (`NUMBA_THREADING_LAYER=workqueue`), which survives a fork.

What a fit imports on its way is imported here once a child has come to its end, so that the next ones need not.

Commands come as lines of JSON on standard input: `{"trainer", "data", "out", "life_s"}`; the answer is
`{"killed", "status", "seconds"}`. A `life_s` of null lets the child finish.
"""

import contextlib
import importlib
import json
import logging
import os
import select
import signal
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from trainers import TRAINERS

import trilineage.pipelines.concepts
import trilineage.pipelines.images
import trilineage.pipelines.rna  # noqa: F401  (what the children would import)


def run_child(asked: dict) -> dict:
    """Fork, wait for the end or the hour of death, and tell which it was."""
    began = time.monotonic()
    imported = Path(asked["data"]) / "imported.json"
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            warnings.simplefilter("ignore")
            TRAINERS[asked["trainer"]](Path(asked["data"]), Path(asked["out"]))
            imported.write_text(json.dumps(list(sys.modules)))
            status = 0
        os._exit(status)
    watch = os.pidfd_open(child)
    is_over = bool(select.select([watch], [], [], asked["life_s"])[0])
    os.close(watch)
    if not is_over:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds, killed = time.monotonic() - began, os.WIFSIGNALED(status)
    if not killed:
        import_all(imported)
    return {"killed": killed, "status": 0 if killed else os.WEXITSTATUS(status), "seconds": seconds}


def import_all(imported: Path) -> None:
    """Import what a child says it had imported; names that only it could make are passed over."""
    names = json.loads(imported.read_text()) if imported.exists() else []
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def main() -> None:
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run_child(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
