"""Two processes learn what one learns: thresholds of a batch top-k and silent latents are those of the whole batch."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("paired_sae.py")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Weights of both of two Gloo processes that torchrun started."""
    folder = tmp_path_factory.mktemp("pair")
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-addr", "localhost", "--master-port", str(port), str(SCRIPT), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(torchrun, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in (0, 1)]


def test_both_processes_have_the_same_weights_and_statistics(pair):
    assert all(np.array_equal(pair[0][name], value) for name, value in pair[1].items())


@pytest.mark.parametrize("recipe", ["topk", "batch_topk", "relu"])
def test_two_processes_learn_what_one_learns(pair, recipe, plain):
    spec = importlib.util.spec_from_file_location("paired_sae", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in module.fit(plain, module.RECIPES[recipe]).items():
        assert np.abs(pair[0][f"{recipe}/{name}"] - value).max() < 1e-5, name
