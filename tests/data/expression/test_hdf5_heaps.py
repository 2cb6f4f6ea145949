"""Text heaps that would make the HDF5 library loop."""

import struct

import pytest

from trilineage.core.errors import FormatError
from trilineage.data.expression.hdf5_heaps import check_heaps


def heap(*objects: tuple[int, int], size: int = 4096) -> bytes:
    """Build a heap from pairs (index, bytes); each object is followed by its bytes, free space (index 0) is not."""
    content = b"GCOL\x01\x00\x00\x00" + struct.pack("<Q", size)
    for index, n_bytes in objects:
        content += struct.pack("<HHIQ", index, 1, 0, n_bytes)
        content += b"x" * ((n_bytes + 7) // 8 * 8 if index and n_bytes < size else 0)
    return content.ljust(size, b"\0")


def test_a_sound_heap_passes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before" + heap((1, 13), (2, 8), (0, 4096 - 16 - 32 - 24)) + b"after")
    check_heaps(path)


def test_a_real_file_passes(h5ad):
    check_heaps(h5ad)


@pytest.mark.parametrize("objects", [[(0, 0)], [(1, 13), (0, 0)], [(1, 5000)], [(1, 2**64 - 8)], [(0, 4081)]])
def test_an_object_that_does_not_fit_is_refused(tmp_path, objects):
    path = tmp_path / "file"
    path.write_bytes(b"before" + heap(*objects))
    with pytest.raises(FormatError, match="text heap whose parts do not fit"):
        check_heaps(path)


def test_bytes_that_only_look_like_a_heap_are_left_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(heap((0, 0), size=100) + b"GCOL\x01\x00\x00\x00")
    check_heaps(path)


def test_a_heap_near_the_end_of_a_large_file_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("trilineage.data.expression.hdf5_heaps._SCANNED_BYTES", 5000)
    path = tmp_path / "file"
    path.write_bytes(bytes(50_000) + heap((0, 0)))
    with pytest.raises(FormatError):
        check_heaps(path)
