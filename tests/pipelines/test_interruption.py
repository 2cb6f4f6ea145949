"""A fit that is asked to stop goes on where it was and ends with the same bytes.

What kills do to it is in `tests/soak`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trilineage.pipelines import rna


def start_and_wait_for_a_checkpoint(config: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "trilineage.cli.main",
        "rna",
        "fit",
        "--config",
        str(config),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while not list((out / "checkpoints").rglob("*.safetensors")):
        assert process.poll() is None, "the fit ended before a checkpoint was written"
        assert time.monotonic() < give_up, "no checkpoint was written"
        time.sleep(0.01)
    return process


def test_sigterm_leaves_a_checkpoint_and_exits_75(quick, tmp_path):
    often = {"autoencoder_training.epochs": 20, "autoencoder_training.checkpoint_every_s": 0.0}
    config = quick.replace(**often, **{"evaluation.n_nulls": 0, "classifier_training.epochs": 3})
    config.save(tmp_path / "config.toml")
    process = start_and_wait_for_a_checkpoint(tmp_path / "config.toml", tmp_path / "run")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    assert not (tmp_path / "run" / "weights").exists()
    stopped, undisturbed = (rna.fit(config, tmp_path / name, device="cpu") for name in ("run", "undisturbed"))
    assert weights(stopped.path) == weights(undisturbed.path)


def weights(out: Path) -> bytes:
    return (out / "weights" / "fold0.safetensors").read_bytes()
