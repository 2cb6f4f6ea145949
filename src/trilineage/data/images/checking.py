"""The look at every image before it enters the table: its digest, its size, and whether it can be decoded."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from trilineage.core.errors import ImageError
from trilineage.core.files import sha256_bytes, write_atomically
from trilineage.core.progress import progress
from trilineage.data.cohort import shown
from trilineage.data.images.decoding import probe
from trilineage.data.images.listing import Listing
from trilineage.data.images.reading import read_bytes
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.threads import in_threads, n_workers

_INDEX_VERSION = 1


class Findings(NamedTuple):
    """What was found out about each image of a list."""

    content: Shaped[np.ndarray, " image"]
    """SHA-256 of the file (of the pixels, in an array); empty where it could not be read."""
    sizes: Int64[np.ndarray, "image 2"]
    """Width and height in pixels; 0 where unreadable."""
    reasons: Shaped[np.ndarray, " image"]
    """Why an image cannot be read; empty where it can."""

    @property
    def is_readable(self) -> Bool[np.ndarray, " image"]:
        """Whether each image can be read."""
        return self.reasons == ""


class _Record(NamedTuple):
    content: str
    width: int
    height: int
    reason: str


def look_at(listing: Listing, settings: ImageDataSettings) -> Findings:
    """Look at every image of a list; with a cache folder only at those that are new or have changed.

    Raises
    ------
    ImageError
        If images are smaller than `min_size`, or, with `on_unreadable=refuse`, one cannot be read.
    """
    records = _of_array(listing) if listing.pixels is not None else _of_files(listing, settings)
    columns = list(zip(*records, strict=True)) or [(), (), (), ()]
    findings = Findings(
        np.array(columns[0], dtype=str),
        np.array([columns[1], columns[2]], dtype=np.int64).T.reshape(-1, 2),
        np.array(columns[3], dtype=str),
    )
    _refuse_small(listing, findings, settings.min_size)
    _refuse_unreadable(listing, findings, settings)
    return findings


def _of_array(listing: Listing) -> list[_Record]:
    assert listing.pixels is not None
    assert listing.rows is not None
    height, width = listing.pixels.shape[1:3]
    shape = f"{height}x{width}:".encode()
    return [
        _Record(sha256_bytes(shape + np.ascontiguousarray(listing.pixels[row]).tobytes()), width, height, "")
        for row in listing.rows
    ]


def _of_files(listing: Listing, settings: ImageDataSettings) -> list[_Record]:
    assert listing.paths is not None
    index_path = None if settings.cache_dir is None else _index_path(listing, settings)
    known = {} if index_path is None else _read_index(index_path)
    paths = [Path(str(path)) for path in listing.paths]
    stamps = [_stamp(path) for path in paths]
    unknown = [path for path, stamp in zip(paths, stamps, strict=True) if stamp not in known]
    fresh: dict[str, _Record] = {}
    with progress("looking at images", len(unknown), "images") as meter:
        looks = in_threads(lambda path: _look(path, settings), unknown, workers=n_workers(settings.workers))
        for path, record in zip(unknown, looks, strict=True):
            fresh[_stamp(path)] = record
            meter.advance()
    known |= fresh
    if index_path is not None and fresh:
        text = json.dumps({stamp: list(known[stamp]) for stamp in stamps if stamp in known})
        write_atomically(index_path, text.encode())
    return [known.get(stamp) or _look(path, settings) for path, stamp in zip(paths, stamps, strict=True)]


def _look(path: Path, settings: ImageDataSettings) -> _Record:
    content = ""
    try:
        data = read_bytes(path)
        content = sha256_bytes(data)
        header = probe(data, max_pixels=settings.max_pixels, decode=settings.verify == "decode")
    except ImageError as error:
        seen = "" if error.seen is None else f" ({error.seen})"
        return _Record(content, 0, 0, f"{error.what}{seen}")
    return _Record(content, header.width, header.height, "")


def _stamp(path: Path) -> str:
    """Return what changes when a file does: its path, size and time of change."""
    try:
        status = path.stat()
    except OSError:
        return f"{path.absolute()}|absent"
    return f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}"


def _index_path(listing: Listing, settings: ImageDataSettings) -> Path:
    """Return where what was found is kept: one file per list of paths and kind of look."""
    assert listing.paths is not None
    assert settings.cache_dir is not None
    asked = f"{_INDEX_VERSION}|{settings.max_pixels}|{settings.verify}|"
    key = sha256_bytes((asked + "\n".join(listing.paths.tolist())).encode())
    return Path(settings.cache_dir) / f"looks_{key[:24]}.json"


def _read_index(path: Path) -> dict[str, _Record]:
    """Return what was found earlier; a file that is no longer sound counts for nothing."""
    try:
        rows = json.loads(path.read_text()).items()
        return {stamp: _Record(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for stamp, row in rows}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def _refuse_small(listing: Listing, findings: Findings, min_size: int) -> None:
    is_small = findings.is_readable & (findings.sizes.min(axis=1, initial=min_size) < min_size)
    if is_small.any():
        width, height = findings.sizes[is_small][0]
        raise ImageError(
            "images are too small to be looked at",
            seen=f"{int(is_small.sum()):,}: {shown(listing.names[is_small])}; the first has {width} x {height} pixels",
            allowed=f"at least {min_size} pixels either way (min_size)",
            remedy="remove them, take images of a higher resolution, or lower min_size",
        )


def _refuse_unreadable(listing: Listing, findings: Findings, settings: ImageDataSettings) -> None:
    is_bad = ~findings.is_readable
    if is_bad.any() and (settings.on_unreadable == "refuse" or is_bad.all()):
        listed = [
            f"{name}: {why}"
            for name, why in zip(listing.names[is_bad], findings.reasons[is_bad], strict=True)
        ]
        remedy = "replace or remove them"
        raise ImageError(
            "images cannot be read" if not is_bad.all() else "no image can be read",
            seen=f"{int(is_bad.sum()):,} of {len(listing):,}: {shown(listed)}",
            allowed="whole images of the kinds PNG, JPEG, TIFF, BMP, WebP or GIF",
            remedy=remedy if is_bad.all() else f"{remedy}, or set on_unreadable=skip to leave them out",
        )
