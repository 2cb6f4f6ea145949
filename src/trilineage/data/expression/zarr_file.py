"""AnnData in a zarr folder, opened with suspicion: pickling codecs and claims beyond the stored bytes are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Shaped

from trilineage.core.errors import FormatError, UnsafeFileError

_METADATA = (".zarray", "zarr.json", ".zmetadata")
_LARGEST_RATIO = 20_000
"""Blosc shrinks long runs of one value further than deflate; beyond this it is a claim, not data."""
_FREE_BYTES = 16_000_000
_FAILURES = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    UnicodeError,
    OverflowError,
    MemoryError,
    IndexError,
)


class ZarrNode:
    """A group or an array of a zarr store, with the face of an HDF5 node."""

    def __init__(self, item: Any, name: str):
        self._item, self._name = item, name

    @property
    def is_group(self) -> bool:
        """Whether it has children (else it is an array)."""
        return isinstance(self._item, zarr.Group)

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes."""
        return dict(self._item.attrs)

    def names(self) -> list[str]:
        """Names of the children."""
        return sorted(self._item.keys()) if self.is_group else []

    def child(self, name: str) -> "ZarrNode":
        """Return a child.

        Raises
        ------
        FormatError
            If it is absent or damaged, or claims more than is stored.
        """
        if name not in self.names():
            raise FormatError(f"{self._name} has no '{name}'", seen=", ".join(self.names()[:20]))
        try:
            node = ZarrNode(self._item[name], f"{self._name}/{name}")
            if not node.is_group:
                node._check_claim()
            return node
        except _FAILURES as error:
            raise FormatError(f"cannot read '{name}' of {self._name}", seen=str(error)[:200]) from error

    def array(self) -> Any:
        """Return the array itself; its slices are NumPy arrays."""
        if self.is_group:
            raise FormatError(f"'{self._name}' is a group where an array should be")
        return _ReadableArray(self._item, self._name)

    def values(self) -> Shaped[np.ndarray, "*axes"]:
        """Return the whole array; texts as str."""
        values = np.asarray(self.array()[...])
        if values.dtype.kind in "biuf":
            return values
        return np.array([str(value) for value in values.reshape(-1)], dtype=object).reshape(values.shape)

    def _check_claim(self) -> None:
        claimed, stored = int(self._item.nbytes), int(self._item.nbytes_stored())
        if claimed > _LARGEST_RATIO * stored + _FREE_BYTES:
            raise FormatError(
                f"'{self._name}' claims more data than is stored",
                seen=f"{claimed:,} bytes claimed, {stored:,} stored",
            )


def open_zarr(path: Path) -> ZarrNode:
    """Open a zarr folder for reading.

    Raises
    ------
    FormatError
        If it is no zarr group.
    UnsafeFileError
        If an array is stored with a codec that unpickles.
    """
    if not any((path / name).is_file() for name in (".zgroup", "zarr.json")):
        raise FormatError("not a zarr group", seen=path, allowed="a folder with zarr.json or .zgroup")
    for name in _METADATA:
        for metadata in path.rglob(name):
            if "pickle" in metadata.read_text(errors="replace"):
                raise UnsafeFileError(
                    "a zarr array that needs unpickling",
                    seen=metadata,
                    remedy="write it again with plain types",
                )
    try:
        return ZarrNode(zarr.open_group(path, mode="r"), path.name)
    except _FAILURES as error:
        raise FormatError(f"cannot open {path.name} as zarr", seen=str(error)[:200]) from error


class _ReadableArray:
    """A zarr array whose failures while slicing become FormatErrors."""

    def __init__(self, array: Any, name: str):
        self._array, self._name = array, name
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> Shaped[np.ndarray, "*axes"]:
        try:
            return np.asarray(self._array[key])
        except _FAILURES as error:
            raise FormatError(f"cannot read '{self._name}'", seen=str(error)[:200]) from error
