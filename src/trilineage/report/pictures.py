"""Pictures of a Run brought into the page: PNG only, as data URIs, bounded in number and in bytes."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Picture

MAX_BYTES = 8_000_000
"""Bytes of pictures that one section may bring into the page."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 24
_MAX_SIDE = 100_000


@dataclass(frozen=True)
class Wanted:
    """A picture that a section would like to show."""

    file: str
    """Name in the Run."""
    description: str
    """What a reader who cannot see it must know."""
    lines: tuple[str, ...] = field(default=())
    """Lines under it."""


def pictures_of(
    run: Run, wanted: Iterable[Wanted], *, limit: int, max_bytes: int = MAX_BYTES
) -> tuple[Picture, ...]:
    """Return the first pictures that are there, are PNG and fit; at most `limit`, at most `max_bytes` together.

    Raises
    ------
    AlteredFileError
        If a picture was changed after it was written.
    """
    shown: list[Picture] = []
    room = max_bytes
    for one in wanted:
        data = run.read_bytes(one.file) if len(shown) < limit and run.has(one.file) else b""
        size = png_size(data)
        if size is not None and len(data) <= room:
            room -= len(data)
            uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
            shown.append(Picture(one.description, uri, *size, one.lines))
    return tuple(shown)


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG from its header; None if it is none.

    Examples
    --------
    >>> png_size(b"GIF89a") is None
    True
    """
    if len(data) < _HEADER_END or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    return (width, height) if 0 < width < _MAX_SIDE and 0 < height < _MAX_SIDE else None
