"""Checkpoints: whole or absent, the newest sound one is found, nothing foreign is gone on with."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors

from trilineage.core import files
from trilineage.core.errors import ArtifactError, NewerVersionError, StorageError, UnsafeFileError
from trilineage.training.checkpoint import Checkpoint, CheckpointStore, decode_checkpoint


def checkpoint(step, value=1.0):
    tensors = {
        "a/weight": np.full((3, 2), value, np.float32),
        "n": np.array(step),
        "empty": np.zeros((0, 4)),
        "mask": np.array([True, False]),
    }
    return Checkpoint(step, tensors, {"step": step, "loss": 0.1 + 0.2, "nothing": None})


def test_what_was_saved_comes_back_to_the_last_bit(tmp_path):
    store = CheckpointStore(tmp_path, "autoencoder")
    store.save(checkpoint(7))
    found = decode_checkpoint(store.newest())
    assert found.step == 7
    assert found.state == checkpoint(7).state
    for name, array in checkpoint(7).tensors.items():
        assert found.tensors[name].dtype == array.dtype
        assert found.tensors[name].shape == array.shape
        assert np.array_equal(found.tensors[name], array)


def test_a_checkpoint_is_a_safetensors_file(tmp_path):
    path = CheckpointStore(tmp_path, "a").save(checkpoint(1))
    assert sorted(load_tensors(path.read_bytes())) == ["a/weight", "empty", "mask", "n"]


def test_the_name_carries_the_step_and_the_digest(tmp_path):
    path = CheckpointStore(tmp_path, "fold 0/a").save(checkpoint(12))
    assert path.name == f"fold_0_a.0000000012.{files.sha256_file(path)}.safetensors"


def test_the_newest_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, "a", keep=2)
    for step in range(5):
        store.save(checkpoint(step))
    assert decode_checkpoint(store.newest()).step == 4
    assert sorted(path.name[:12] for path in tmp_path.iterdir()) == ["a.0000000003", "a.0000000004"]


def test_of_one_step_only_the_last_written_stays(tmp_path):
    store = CheckpointStore(tmp_path, "a", keep=2)
    for value in (1.0, 2.0):
        store.save(checkpoint(1, value))
    assert len(list(tmp_path.iterdir())) == 1
    assert decode_checkpoint(store.newest()).tensors["a/weight"][0, 0] == 2.0


def test_trainings_with_names_that_begin_alike_do_not_meet(tmp_path):
    CheckpointStore(tmp_path, "a.b").save(checkpoint(1))
    assert CheckpointStore(tmp_path, "a").newest() is None
    CheckpointStore(tmp_path, "a").clear()
    assert CheckpointStore(tmp_path, "a.b").newest() is not None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_passed_over_for_the_one_before_it(tmp_path, damage):
    store = CheckpointStore(tmp_path, "a")
    store.save(checkpoint(1))
    path = store.save(checkpoint(2))
    data = bytearray(path.read_bytes())
    data[-1] ^= damage == "flipped"
    path.write_bytes({"cut": data[:-3], "flipped": data, "empty": b""}[damage])
    assert decode_checkpoint(store.newest()).step == 1
    assert not path.exists()


def test_what_a_killed_write_left_is_swept_away(tmp_path):
    store = CheckpointStore(tmp_path, "a")
    store.save(checkpoint(1))
    left = tmp_path / ".a.0000000002.0123.abc.tmp.safetensors"
    left.write_bytes(b"half")
    other = tmp_path / ".b.0000000002.0123.abc.tmp.safetensors"
    other.write_bytes(b"half")
    assert decode_checkpoint(store.newest()).step == 1
    assert (left.exists(), other.exists()) == (False, True)


def test_a_full_disk_is_named_and_the_old_checkpoint_intact(tmp_path):
    store = CheckpointStore(tmp_path, "a")
    store.save(checkpoint(1))
    big = checkpoint(2)._replace(tensors={"big": np.zeros(100_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot write"):
            store.save(big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert decode_checkpoint(store.newest()).step == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_disk_that_fails_at_any_call_is_named_and_the_old_checkpoint_intact(tmp_path, monkeypatch, call):
    store = CheckpointStore(tmp_path, "a")
    store.save(checkpoint(1))

    def fail(*arguments):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StorageError, match="Read-only"):
            store.save(checkpoint(2))
    assert decode_checkpoint(store.newest()).step == 1


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("trilineage.training.checkpoint.FORMAT_VERSION", 2)
    store = CheckpointStore(tmp_path, "a")
    store.save(checkpoint(1))
    monkeypatch.undo()
    with pytest.raises(NewerVersionError, match="newer version"):
        decode_checkpoint(store.newest())


def test_a_pickle_is_not_opened():
    with pytest.raises(UnsafeFileError):
        decode_checkpoint(b"\x80\x04\x95" + b"\x00" * 40)


def test_weights_of_something_else_are_refused():
    data = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(56)
    with pytest.raises(ArtifactError, match="no checkpoint"):
        decode_checkpoint(len(data).to_bytes(8, "little") + data + b"x")


def test_a_training_killed_at_random_moments_ends_with_the_same_bits(small, tmp_path):
    """A checkpoint after every step: most kills fall into the writing of one."""
    result = tmp_path / "digest"
    command = [sys.executable, str(Path(__file__).with_name("killed.py"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "checkpoints"), str(result), "1"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    n_killed, digest = done.stdout.split()
    assert int(n_killed) >= 3
    assert digest == small.digest(small.fit(epochs=30)[0])


def test_every_state_between_two_steps_leads_to_the_same_end(small, tmp_path):
    """Resume from the checkpoint of each step in turn, as if the process had been killed just after it."""
    expected = small.digest(small.fit(epochs=2)[0])
    small.fit(tmp_path / "all", epochs=2, keep=100)
    files_of_steps = sorted((tmp_path / "all").iterdir())
    assert len(files_of_steps) == 10
    for number, path in enumerate(files_of_steps[:-1]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / path.name).write_bytes(path.read_bytes())
        assert small.digest(small.fit(folder, epochs=2, checkpoint_every_s=1e6)[0]) == expected


def test_the_state_is_json_that_a_person_can_read(small, tmp_path):
    small.fit(tmp_path, epochs=1)
    found = decode_checkpoint(CheckpointStore(tmp_path, "training").newest())
    assert json.loads(json.dumps(found.state)) == found.state
    assert found.state["identity"]["learning_rate"] == 0.01
