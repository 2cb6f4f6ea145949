"""HDF5 files opened with suspicion: links, filters and claimed sizes are checked before anything is read."""

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from trilineage.core.errors import FormatError
from trilineage.data.expression.hdf5_heaps import check_heaps

_MAGIC = b"\x89HDF\r\n\x1a\n"
_OTHER_FORMATS = {b"\x1f\x8b": "gzip", b"PK": "zip", b"\x80": "pickle", b"%%Ma": "MatrixMarket text"}
_LARGEST_RATIO = 1100
"""Deflate cannot shrink by more than 1,032; anything above is a claim, not data."""
_FREE_BYTES = 1_000_000
"""Small claims need no proof."""
_FREE_CHUNK_BYTES = 16_000_000
"""A chunk may be larger than its dataset (one that was made to grow), but not by more."""
_STRING_BLOCK = 512
"""Most texts read at once, after a careful start: each may claim to be as long as the file."""
_LONG_TEXT = 10_000
"""Letters above which names, on average, are no names; only these are held against the size of the file."""
_MISSING_FILTERS = "compression filter that is not installed here"
_FOREIGN_FAILURES = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, UnicodeError, OverflowError,
    MemoryError, IndexError, SystemError,
)  # fmt: skip
"""What h5py raises on damaged files, depending on which byte is wrong."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever the HDF5 library raises on a damaged file into a FormatError that names the file."""
    try:
        yield
    except _FOREIGN_FAILURES as error:
        raise FormatError(
            f"cannot read {path.name}",
            seen=f"{type(error).__name__}: {str(error)[:200]}",
            remedy="the file is damaged or truncated; copy or write it again",
        ) from error


class HDF5Node:
    """A group or a dataset of a checked file; children are checked when they are asked for."""

    def __init__(self, item: h5py.Group | h5py.Dataset, guard: "_Guard"):
        self._item, self._guard = item, guard

    @property
    def is_group(self) -> bool:
        """Whether it has children (else it is an array)."""
        return isinstance(self._item, h5py.Group)

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes, texts as str."""
        with reading(self._guard.path):
            return {name: _plain(value) for name, value in self._item.attrs.items()}

    def names(self) -> list[str]:
        """Names of the children, in file order."""
        with reading(self._guard.path):
            return [str(_plain(name)) for name in self._item] if self.is_group else []

    def child(self, name: str) -> "HDF5Node":
        """Return a child after checking it.

        Raises
        ------
        FormatError
            If it is absent, a link out of the file, or claims more than the file can hold.
        """
        with reading(self._guard.path):
            link = self._item.get(name, getlink=True) if self.is_group else None
            if link is None:
                raise FormatError(
                    f"{self._guard.path.name} has no '{name}'", seen=", ".join(self.names()[:20])
                )
            if not isinstance(link, h5py.HardLink):
                raise FormatError(f"'{name}' is a link out of its place", seen=type(link).__name__)
            item = self._item[name]
            if isinstance(item, h5py.Dataset):
                self._guard.check(name, item)
            elif not isinstance(item, h5py.Group):
                raise FormatError(f"'{name}' is neither group nor array", seen=type(item).__name__)
            return HDF5Node(item, self._guard)

    def array(self) -> Any:
        """Return the dataset as something that slices, without the HDF5 library where it lies plain in the file."""
        if self.is_group:
            raise FormatError(f"'{self._item.name}' is a group where an array should be")
        if self._item.dtype.kind not in "iufb":
            raise FormatError(f"'{self._item.name}' holds no numbers", seen=f"type {self._item.dtype}")
        offset = self._item.id.get_offset()
        if offset is not None and self._item.size and self._item.dtype.isnative:
            return _PlainArray(self._item, offset, self._guard)
        return _GuardedArray(self._item, self._guard.path)

    def values(self) -> Shaped[np.ndarray, "*axes"]:
        """Return the whole array; texts as str."""
        if self.is_group:
            raise FormatError(f"'{self._item.name}' is a group where an array should be")
        with reading(self._guard.path):
            if h5py.check_string_dtype(self._item.dtype) is not None:
                return self._guard.texts(self._item)
            return np.asarray(self._item[()])


@contextmanager
def open_hdf5(path: Path) -> Iterator[HDF5Node]:
    """Open a file for reading and close it afterwards; see `open_hdf5_node`."""
    node = open_hdf5_node(path)
    try:
        yield node
    finally:
        close_hdf5(node)


def open_hdf5_node(path: Path) -> HDF5Node:
    """Open an HDF5 file and return its root.

    Raises
    ------
    FormatError
        If there is no such file, it is no HDF5 file, or it is truncated.
    """
    if not path.is_file():
        raise FormatError("no such file", seen=path, remedy="check the path")
    with open(path, "rb") as stream:
        head = stream.read(8)
    if head != _MAGIC:
        names = [name for magic, name in _OTHER_FORMATS.items() if head.startswith(magic)]
        raise FormatError(
            f"{path.name} is not an HDF5 file",
            seen=f"{names[0]} data" if names else f"first bytes {head!r}",
            allowed="a file written as .h5ad or .h5",
            remedy="give the right file, or write it again",
        )
    check_heaps(path)
    with reading(path):
        return HDF5Node(h5py.File(path, "r", locking=False), _Guard(path))


def node_of(item: h5py.Group | h5py.Dataset) -> HDF5Node:
    """Return a group or dataset of a file that somebody else has opened, and closes."""
    return HDF5Node(item, _Guard(Path(item.file.filename)))


def close_hdf5(node: HDF5Node) -> None:
    """Close the file a node belongs to."""
    node._guard.close()
    node._item.file.close()


class _Guard:
    """What a file can hold, held against what its datasets claim."""

    def __init__(self, path: Path):
        self.path = path
        self._size = path.stat().st_size
        self._stored = 0
        self._file = os.open(path, os.O_RDONLY)
        self._closing = weakref.finalize(self, os.close, self._file)

    def close(self) -> None:
        """Close the file that plain arrays are read from."""
        self._closing()

    def read_into(self, out: Shaped[np.ndarray, "*axes"], offset: int) -> None:
        """Fill an array with the bytes of the file from an offset on; other threads go on meanwhile."""
        rest = out.reshape(-1).view(np.uint8).data
        while len(rest):
            n_read = os.preadv(self._file, [rest], offset)
            if n_read == 0:
                raise FormatError(f"{self.path.name} ends too early", remedy="copy or write the file again")
            rest, offset = rest[n_read:], offset + n_read

    def check(self, name: str, dataset: h5py.Dataset) -> None:
        """Refuse a dataset that lies elsewhere, cannot be decoded, or claims more than its bytes can give."""
        if dataset.is_virtual or dataset.external:
            raise FormatError(f"'{name}' lies in another file", remedy="write all data into one file")
        if dataset.dtype.kind == "O" and h5py.check_string_dtype(dataset.dtype) is None:
            raise FormatError(f"'{name}' holds references or ragged arrays", seen=str(dataset.dtype))
        self._check_filters(name, dataset)
        claimed = dataset.size * dataset.dtype.itemsize if dataset.shape else dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        chunk = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize if dataset.chunks else 0
        self._stored += stored
        is_plain = dataset.chunks is None
        limit = stored if is_plain and claimed > _FREE_BYTES else _LARGEST_RATIO * stored + _FREE_BYTES
        is_oversized = chunk > claimed + _FREE_CHUNK_BYTES
        if is_oversized or max(claimed, chunk) > limit or self._stored > 2 * self._size + _FREE_BYTES:
            raise FormatError(
                f"'{name}' claims more data than the file holds",
                seen=f"{max(claimed, chunk):,} bytes claimed, {stored:,} stored, file of {self._size:,}",
                remedy="the file is damaged, or made to exhaust memory; write it again",
            )

    def _check_filters(self, name: str, dataset: h5py.Dataset) -> None:
        plan = dataset.id.get_create_plist()
        for i in range(plan.get_nfilters()):
            code, _, _, label = plan.get_filter(i)
            if not h5py.h5z.filter_avail(code):
                raise FormatError(
                    f"'{name}' needs a {_MISSING_FILTERS}",
                    seen=f"{label.decode(errors='replace')} ({code})",
                    allowed="none, gzip, lzf, shuffle",
                    remedy="write the file again with gzip",
                )

    def texts(self, dataset: h5py.Dataset) -> Shaped[np.ndarray, "*axes"]:
        """Read texts in blocks and stop when they add up to more than the file could hold."""
        flat = dataset.shape == ()
        if not flat and len(dataset.shape) != 1:
            raise FormatError("texts in a table of more than one axis", seen=f"shape {dataset.shape}")
        if flat:
            return np.array(dataset.asstr(errors="replace")[()])
        texts: list[str] = []
        n_letters, step = 0, 8
        while len(texts) < dataset.shape[0]:
            block = dataset.asstr(errors="replace")[len(texts) : len(texts) + step].tolist()
            step = min(2 * step, _STRING_BLOCK)
            n_letters += sum(map(len, block))
            texts += block
            if n_letters > 4 * self._size + _FREE_BYTES and n_letters > _LONG_TEXT * len(texts):
                raise FormatError("texts longer than the file that holds them", seen=f"{n_letters:,} letters")
        return np.array(texts, dtype=object)


class _PlainArray:
    """A dataset that lies in one piece: slices along its first axis are read straight from the file."""

    def __init__(self, dataset: h5py.Dataset, offset: int, guard: _Guard):
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self._offset, self._guard = offset, guard

    def __getitem__(self, key: slice) -> Shaped[np.ndarray, "..."]:
        start, stop, step = key.indices(self.shape[0])
        out = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        self._guard.read_into(out, self._offset + start * row_bytes)
        return out[::step]


class _GuardedArray:
    """A chunked dataset whose failures while slicing become FormatErrors."""

    def __init__(self, dataset: h5py.Dataset, path: Path):
        self._dataset, self._path = dataset, path
        self.shape, self.dtype = dataset.shape, dataset.dtype

    def __getitem__(self, key: Any) -> Shaped[np.ndarray, "*axes"]:
        with reading(self._path):
            return np.asarray(self._dataset[key])


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return [_plain(item) for item in value.tolist()]
    return value
