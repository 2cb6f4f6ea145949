"""Atomic files: whole or not at all, and a disk that refuses is a named error with the old file intact."""

import errno
import hashlib
import os
import subprocess
import sys

import pytest

from trilineage.core.errors import StorageError
from trilineage.core.files import atomic_path, is_temporary, sha256_bytes, sha256_file, write_atomically

REASONS = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO]


def test_new_bytes_replace_old_ones_and_leave_nothing_behind(tmp_path):
    path = tmp_path / "deep" / "file.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_disk_that_refuses_is_a_storage_error_and_the_old_file_stays(tmp_path, monkeypatch, reason, call):
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")

    def refuse(*arguments, **keywords):
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match=r"file\.bin"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


def test_a_disk_that_is_really_full_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")
    script = (
        "import resource, sys\n"
        "from trilineage.core.files import write_atomically\n"
        "from trilineage.core.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_atomically(sys.argv[1], bytes(5000))\n"
        "except StorageError:\n    sys.exit(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 3
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        write_atomically(tmp_path / "file" / "below.bin", b"")


def test_a_library_may_write_to_the_lent_path(tmp_path):
    with atomic_path(tmp_path / "table.csv") as temporary:
        assert temporary.suffix == ".csv"
        assert is_temporary(temporary.name)
        temporary.write_text("a,b\n")
        assert not (tmp_path / "table.csv").exists()
    assert (tmp_path / "table.csv").read_text() == "a,b\n"


def test_a_block_that_raises_leaves_the_old_file_and_its_own_error(tmp_path):
    write_atomically(tmp_path / "file.bin", b"old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "file.bin") as temporary:
        temporary.write_bytes(b"half")
        raise KeyError("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]
    assert (tmp_path / "file.bin").read_bytes() == b"old"


def test_a_missing_input_inside_the_block_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.bin"):
        (tmp_path / "absent").read_bytes()


def test_a_full_disk_inside_the_block_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No space left"), atomic_path(tmp_path / "out.bin"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_block_that_writes_nothing_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError), atomic_path(tmp_path / "out.bin"):
        pass


def test_digests_are_those_of_the_standard_library(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "file.bin").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_bytes(data) == sha256_file(tmp_path / "file.bin") == expected
