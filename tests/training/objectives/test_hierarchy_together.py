"""Means over parents hold over all processes: two that share the batches learn what one learns."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).with_name("paired_hierarchy.py")


def alone():
    spec = importlib.util.spec_from_file_location("paired_hierarchy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fit()


def test_two_processes_learn_what_one_learns(tmp_path):
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "localhost", "--master-port", str(port), str(SCRIPT), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    weights, losses = alone()
    for rank in (0, 1):
        found = np.load(tmp_path / f"rank{rank}.npz")
        np.testing.assert_allclose(found["weights"], weights, atol=1e-5)
        np.testing.assert_allclose(found["losses"], losses, rtol=1e-5)
