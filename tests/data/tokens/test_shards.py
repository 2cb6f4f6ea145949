"""Shards: whole or unfinished, whatever happens between the first byte and the mark."""

import errno
import itertools
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from trilineage.core.errors import AlteredFileError, ArtifactError, NewerVersionError, StorageError
from trilineage.core.files import sha256_file
from trilineage.data.tokens import shards
from trilineage.data.tokens.shards import ABOUT_NAME, TokenFolder, write_shard
from trilineage.data.tokens.store import TokenStore

KILLED = """
import itertools, os, signal, sys
from pathlib import Path
import numpy as np
from trilineage.data.tokens import shards
from trilineage.data.tokens.shards import TokenFolder, write_shard

folder, moment = TokenFolder.read(Path(sys.argv[1])), sys.argv[2]
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
write = shards.write_atomically
def dying(path, data):
    if moment in Path(path).name:
        kill()
    write(path, data)
shards.write_atomically = dying
with write_shard(folder, 1, clock=itertools.count().__next__) as writer:
    writer.add(np.ones((2, 5, 3), np.float16), np.ones((2, 5), np.float32))
    if moment == "half":
        writer.stream.flush()
        kill()
    writer.add(np.ones((1, 5, 3), np.float16), np.ones((1, 5), np.float32))
"""


@pytest.mark.parametrize("moment", ["half", "norms", "done"])
def test_a_kill_leaves_an_unfinished_shard_that_is_made_again(moment, made, filled):
    folder = made(shards=(0, 2, 3))
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder.path), moment]
    assert subprocess.run(command, check=False).returncode == -9
    assert folder.unfinished() == [1]
    with pytest.raises(ArtifactError, match="no sound mark of shards 1;"):
        TokenStore.open(folder.path)
    filled(folder, [1])
    assert sorted(path.name for path in folder.path.iterdir() if path.name.startswith(".")) == []
    assert TokenStore.open(folder.path).read(np.arange(3, 6))[:, 0, 0].tolist() == [3, 4, 5]


def test_what_a_killed_process_left_of_a_shard_goes_and_what_others_are_writing_stays(made, filled):
    folder = made(shards=())
    left = [".done_000001.json.ab.tmp.json", ".norms_000001.npy.ab.tmp.npy", ".tokens_000001.npy.ab.tmp.npy"]
    for name in [*left, ".tokens_000002.npy.ab.tmp.npy"]:
        (folder.path / name).write_bytes(b"half")
    filled(folder, [1])
    hidden = [path.name for path in folder.path.iterdir() if path.name.startswith(".")]
    assert hidden == [".tokens_000002.npy.ab.tmp.npy"]


def test_a_folder_comes_back_as_it_was_made(made):
    folder = made()
    assert TokenFolder.read(folder.path) == folder


def test_the_last_shard_has_what_is_left(made):
    folder = made()
    assert folder.n_shards == 4
    assert list(folder.images_of(3)) == [9]
    assert folder.open_shard(3, verify=True).shape == (1, 5, 3)


def test_a_mark_knows_digests_images_and_norms(made):
    folder = made()
    mark = folder.mark(1)
    assert (mark.first, mark.n_images, mark.key) == (3, 3, folder.source.key)
    assert mark.tokens_sha256 == sha256_file(folder.tokens_path(1))
    assert mark.largest_norm == pytest.approx((25 + 16 + 1) ** 0.5)
    assert mark.median_norm == pytest.approx(26**0.5)  # of the last token of image 3


def test_a_block_that_fails_leaves_no_file_of_its_shard(made):
    folder = made(shards=())
    with (
        pytest.raises(ValueError, match="broken"),
        write_shard(folder, 0, clock=itertools.count().__next__),
    ):
        raise ValueError("broken")
    assert [path.name for path in folder.path.iterdir()] == [ABOUT_NAME]


def test_a_full_disk_is_a_storage_error_and_finished_shards_stay(made, filled, monkeypatch):
    folder = made(shards=(0, 1))
    written = shards.TokenShardWriter.add

    def full(writer, tokens, norms):
        written(writer, tokens, norms)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards.TokenShardWriter, "add", full)
    with pytest.raises(StorageError, match=r"cannot write .*tokens_000002.npy; seen: No space left"):
        filled(folder, [2])
    assert folder.unfinished() == [2, 3]


@pytest.mark.parametrize("name", ["tokens_000002.npy", "norms_000002.npy"])
def test_a_shard_that_was_cut_short_is_unfinished(name, made):
    folder = made()
    path = folder.path / name
    path.write_bytes(path.read_bytes()[:-2])
    assert folder.unfinished() == [2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}'])
def test_a_mark_that_is_damaged_counts_as_none(content, made):
    folder = made()
    folder.mark_path(0).write_bytes(content)
    assert folder.unfinished() == [0]


def test_a_mark_of_other_tokens_counts_as_none(made):
    folder, other = made(), made(name="other", block=3)
    folder.mark_path(0).write_bytes(other.mark_path(0).read_bytes())
    assert folder.unfinished() == [0]


@pytest.mark.parametrize("name", ["tokens_000001.npy", "norms_000001.npy"])
def test_a_changed_byte_is_noticed(name, made):
    folder = made()
    data = bytearray((folder.path / name).read_bytes())
    data[-1] ^= 1
    (folder.path / name).write_bytes(data)
    with pytest.raises(AlteredFileError, match=f"{name} is not the file that was written"):
        TokenStore.open(folder.path).verify()


def test_a_shard_of_objects_is_not_opened(made):
    folder = made()
    np.save(folder.tokens_path(0), np.array([{}], dtype=object), allow_pickle=True)
    content = json.loads(folder.mark_path(0).read_bytes())
    content["tokens_bytes"] = folder.tokens_path(0).stat().st_size
    folder.mark_path(0).write_text(json.dumps(content))
    with pytest.raises(AlteredFileError, match="not the file that was written"):
        folder.open_shard(0, verify=False)


def test_a_folder_without_tokens_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="holds no tokens.*trilineage concepts tokens"):
        TokenFolder.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"n_images": 3}'])
def test_a_damaged_first_page_is_refused(content, made):
    folder = made()
    (folder.path / ABOUT_NAME).write_text(content)
    with pytest.raises(ArtifactError, match="damaged"):
        TokenFolder.read(folder.path)


def test_tokens_of_a_newer_version_are_refused(made):
    folder = made()
    content = json.loads((folder.path / ABOUT_NAME).read_text()) | {"format_version": 2}
    (folder.path / ABOUT_NAME).write_text(json.dumps(content))
    with pytest.raises(NewerVersionError, match="newer version"):
        TokenFolder.read(folder.path)


def test_many_unfinished_shards_are_named_in_runs():
    assert shards.ranges([*range(5), *range(10, 40, 2)]) == "0-4, 10, 12, 14, 16, 18, 20, 22 and 8 more runs"
