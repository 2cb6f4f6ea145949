"""Weights as safetensors bytes: written the same every time, checked before they are believed, never a pickle."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from trilineage.core.errors import ArtifactError, UnsafeFileError

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 64 << 20
"""No model of ours needs a longer list of tensors."""

_UNSAFE_STARTS = {b"\x80": "a pickle", b"PK\x03\x04": "a zip archive, as torch.save writes"}
_UNSAFE_STARTS |= {b"\x1f\x8b": "a gzip archive", b"\x93NUMPY": "a numpy file"}


def encode_weights(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return named arrays, and texts about them, as one safetensors file; equal input gives equal bytes.

    Raises
    ------
    ArtifactError
        For an array that is not plain numbers.
    """
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ArtifactError(
                f"tensor {name!r} cannot be saved", seen=array.dtype, allowed="booleans, integers and floats"
            )
    # 0-d arrays become 1-d in ascontiguousarray; the shape is part of the value.
    arrays = {name: array.reshape(np.shape(tensors[name])) for name, array in arrays.items()}
    return _with_metadata(save_tensors(arrays), metadata or {})


def decode_weights(data: bytes, *, name: str = "weights") -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file.

    Parameters
    ----------
    data
        The whole file.
    name
        How messages call it.

    Raises
    ------
    UnsafeFileError
        If it is a pickle or an archive that may hold one; it is not opened.
    ArtifactError
        If it is not a sound safetensors file.
    """
    read_header(data, name=name)
    try:
        arrays = load_tensors(data)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _unsound(name, error) from None
    return {key: array.copy() for key, array in arrays.items()}


def decode_metadata(data: bytes, *, name: str = "weights") -> dict[str, str]:
    """Return the texts saved with the arrays; raises as `decode_weights`."""
    metadata = read_header(data, name=name).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _unsound(name, "metadata that is not text")
    return metadata


def read_header(data: bytes, *, name: str) -> dict[str, Any]:
    """Return the table of contents after checking that its claims fit the bytes there are."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    end = _LENGTH_BYTES + length
    if end > len(data) or length > _MAX_HEADER_BYTES or data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        _refuse(data, name)
    try:
        header = json.loads(data[_LENGTH_BYTES:end])
    except (ValueError, RecursionError) as error:
        raise _unsound(name, error) from None
    if not isinstance(header, dict):
        raise _unsound(name, "a header that is no table")
    return header


def _refuse(data: bytes, name: str) -> NoReturn:
    """Raise for bytes that cannot be safetensors, saying which dangerous format they are if they are one.

    A sound file may begin with the byte of a pickle (a header of 640 bytes does), so this comes after the structure
    was found impossible, never before.
    """
    for start, what in _UNSAFE_STARTS.items():
        if data.startswith(start):
            raise UnsafeFileError(
                f"{name} is not opened, because its format can carry code",
                seen=what,
                allowed="safetensors",
                remedy="convert it with its own tool in a place you trust, or fit the model again",
            )
    raise _unsound(name, f"{len(data):,} bytes beginning {data[:12]!r}")


def _unsound(name: str, seen: object) -> ArtifactError:
    return ArtifactError(
        f"{name} is not a sound safetensors file",
        seen=seen,
        allowed="a whole file as this package writes it",
        remedy="copy it again from where it came, or fit the model again",
    )


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Enter the texts in alphabetical order: the library would write them in the random order of a hash table."""
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.loads(data[_LENGTH_BYTES:end])
    if metadata:
        header = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + data[end:]
