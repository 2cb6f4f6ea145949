"""A fit that is stopped or killed goes on where it was and ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def command(config: Path, out: Path) -> list[str]:
    return [
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


@pytest.fixture(scope="module")
def slow_config(quick, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick recipe without baselines' null, long enough to be caught in the act, with frequent checkpoints."""
    path = tmp_path_factory.mktemp("config") / "config.toml"
    overrides = {"autoencoder_training.epochs": 60, "autoencoder_training.checkpoint_every_s": 0.2}
    quick.replace(**overrides, **{"evaluation.n_nulls": 0}).save(path)
    return path


@pytest.fixture(scope="module")
def undisturbed(slow_config: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    subprocess.run(command(slow_config, out), check=True, capture_output=True, timeout=180)
    return weights(out)


def weights(out: Path) -> bytes:
    return (out / "weights" / "fold0.safetensors").read_bytes()


def start_and_wait_for_a_checkpoint(config: Path, out: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command(config, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while not list((out / "checkpoints").rglob("*.safetensors")):
        assert process.poll() is None, "the fit ended before a checkpoint was written"
        assert time.monotonic() < give_up, "no checkpoint was written"
        time.sleep(0.02)
    return process


def test_a_killed_fit_ends_with_the_same_bytes(slow_config, undisturbed, tmp_path):
    process = start_and_wait_for_a_checkpoint(slow_config, tmp_path / "run")
    process.kill()
    process.wait()
    assert not (tmp_path / "run" / "weights").exists()
    subprocess.run(command(slow_config, tmp_path / "run"), check=True, capture_output=True, timeout=180)
    assert weights(tmp_path / "run") == undisturbed


def test_sigterm_leaves_a_checkpoint_and_exits_75(slow_config, undisturbed, tmp_path):
    process = start_and_wait_for_a_checkpoint(slow_config, tmp_path / "run")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    subprocess.run(command(slow_config, tmp_path / "run"), check=True, capture_output=True, timeout=180)
    assert weights(tmp_path / "run") == undisturbed
