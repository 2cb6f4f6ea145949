"""Start two processes that know of each other, as torchrun does, and read what each of them wrote."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

LONGEST_S = 300.0


def run_together(
    script: Path, folder: Path, *given: str, launcher: bool = False
) -> list[dict[str, np.ndarray]]:
    """Run a script in two processes; it gets the folder first and leaves `rank0.npz` and `rank1.npz` there.

    Parameters
    ----------
    launcher
        Let torchrun start them, as users do; else they get the variables that torchrun sets, which is quicker.
    """
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = str(listener.getsockname()[1])
    command = [str(script), str(folder), *given]
    if launcher:
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "localhost"]
        _wait([_start([*torchrun, "--master-port", port, *command], {})])
    else:
        world = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
        _wait([_start(command, {**world, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01"])
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in "01"]


def _start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def _wait(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for all; if one fails, none is left behind."""
    try:
        said = [process.communicate(timeout=LONGEST_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
