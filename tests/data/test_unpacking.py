"""Archives good and bad: what should come out does, what should not leaves no trace."""

import io
import random
import stat
import tarfile
import zipfile

import pytest

from trilineage.core.errors import FormatError, StorageError, UnsafeFileError
from trilineage.data.unpacking import UnpackingSettings, is_archive, unpack

GOOD = {"set/A/1.png": b"one", "set/B/2.png": b"two"}


def made_zip(path, members, **attributes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(entry, key, value)
            archive.writestr(entry, data)
    return path


def made_tar(path, members, kind=tarfile.REGTYPE, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = (
                kind,
                len(data) if kind == tarfile.REGTYPE else 0,
                "/etc/hosts",
            )
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("make", [made_zip, made_tar])
def test_plain_files_come_out_as_they_went_in(make, tmp_path):
    archive = make(tmp_path / "cells.archive", GOOD | {"__MACOSX/set/._1.png": b"x", "set/.DS_Store": b"x"})
    assert is_archive(archive)
    assert unpack(archive, tmp_path / "out") == 2
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")
    }
    assert found == GOOD


def assert_refused(archive, tmp_path, **limits):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeFileError, match="will not be unpacked"):
        unpack(archive, tmp_path / "out", UnpackingSettings(**limits))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("make", [made_zip, made_tar])
@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "a/b/../../../evil"]
)
def test_a_path_that_leads_out_is_refused(make, name, tmp_path):
    assert_refused(make(tmp_path / "bad.archive", GOOD | {name: b"x"}), tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    assert_refused(made_tar(tmp_path / "bad.tar.gz", {"evil": b""}, kind), tmp_path)


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = (stat.S_IFLNK | 0o777) << 16
    assert_refused(made_zip(tmp_path / "bad.zip", {"evil": b"/etc/hosts"}, external_attr=link), tmp_path)


@pytest.mark.parametrize("make", [made_zip, made_tar])
def test_a_bomb_is_stopped(make, tmp_path):
    archive = make(tmp_path / "bomb", {"zeros": bytes(3_000_000)})
    assert_refused(archive, tmp_path, free_bytes=100_000, max_ratio=50)
    assert unpack(archive, tmp_path / "out") == 1, "small archives may be as flat as they like"


def test_too_many_files_are_refused(tmp_path):
    assert_refused(made_zip(tmp_path / "many.zip", {str(i): b"" for i in range(11)}), tmp_path, max_files=10)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a", "a/b"])
def test_the_same_place_twice_is_refused(second, tmp_path):
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr(second, b"2")
    assert_refused(tmp_path / "twice.zip", tmp_path)


@pytest.mark.parametrize("make", [made_zip, made_tar])
def test_a_broken_archive_is_said_to_be_broken(make, tmp_path):
    archive = make(tmp_path / "broken", {"noise": random.Random(0).randbytes(20_000)})
    data = bytearray(archive.read_bytes())
    data[5_000:6_000] = bytes(1_000)
    archive.write_bytes(data)
    with pytest.raises(FormatError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_archive_is_said_to_be_none(tmp_path):
    (tmp_path / "cells.zip").write_bytes(b"<html>not found</html>")
    assert not is_archive(tmp_path / "cells.zip")
    with pytest.raises(FormatError, match="no archive"):
        unpack(tmp_path / "cells.zip", tmp_path / "out")


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(StorageError, match="not empty"):
        unpack(made_zip(tmp_path / "a.zip", GOOD), tmp_path / "out")


def test_no_permission_of_the_archive_survives(tmp_path):
    unpack(
        made_zip(tmp_path / "a.zip", {"run": b"x"}, external_attr=(stat.S_IFREG | 0o4777) << 16),
        tmp_path / "out",
    )
    assert not (tmp_path / "out" / "run").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)
