"""The global heaps of an HDF5 file, walked before the library does: a damaged one makes it loop for ever.

Texts of variable length lie in global heaps ("GCOL" in the HDF5 file format specification, III.E): a header and a chain
of objects, each of which states its size. HDF5 2.0 follows an object of size 0 without end.
"""

import mmap
import struct
from pathlib import Path

from trilineage.core.errors import FormatError

_SCANNED_BYTES = 128_000_000
"""Bytes searched at either end of a file; heaps lie beside the tables, not inside the matrix."""
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER, _OBJECT = 16, 16
_SMALLEST_HEAP = 4096


def check_heaps(path: Path) -> None:
    """Walk every global heap of a file.

    Raises
    ------
    FormatError
        If a heap's objects do not fill it exactly as they say.
    """
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        size = len(content)
        regions = [(0, min(size, _SCANNED_BYTES)), (max(_SCANNED_BYTES, size - _SCANNED_BYTES), size)]
        for start, stop in regions:
            place = content.find(_SIGNATURE, start, stop)
            while place >= 0:
                _walk(content, place, path.name)
                place = content.find(_SIGNATURE, place + 1, stop)


def _walk(content: mmap.mmap, start: int, name: str) -> None:
    if start + _HEADER > len(content):
        return
    (size,) = struct.unpack_from("<Q", content, start + 8)
    end = start + size
    if size < _SMALLEST_HEAP or end > len(content):
        return  # no heap, or one that the library refuses by itself
    place = start + _HEADER
    while place + _OBJECT <= end:
        index, _, _, n_bytes = struct.unpack_from("<HHIQ", content, place)
        step = _OBJECT + (n_bytes + 7) // 8 * 8 if index else n_bytes
        if step < _OBJECT or place + step > end:
            raise FormatError(
                f"cannot read {name}",
                seen=f"a text heap whose parts do not fit ({n_bytes} bytes at {place})",
                remedy="the file is damaged; copy or write it again",
            )
        place += step
