"""Files of tensors in, float32 arrays out: safetensors, and what torch.save wrote provided it carries no code."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor
from torch._weights_only_unpickler import UnpicklingError

from trilineage.core.errors import FormatError, UnsafeFileError
from trilineage.core.weights import decode_weights, read_header

_ZIP_START = b"PK\x03\x04"


class _Configuration:
    """Stands in for the configuration class of the package that wrote a checkpoint; only its attributes are kept."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises
    ------
    FormatError
        If there is no such file.
    UnsafeFileError
        If it is a pickle.
    ArtifactError
        If it is not a sound safetensors file.
    """
    data = _bytes(path)
    read_header(data, name=str(path))
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError):
        decode_weights(data, name=str(path))
        raise


def read_torch(path: Path, *, configurations: Iterable[str] = ()) -> Any:
    """Return what `torch.save` wrote, provided it is tensors and plain values in plain containers.

    Parameters
    ----------
    path
        A zip archive as torch writes it.
    configurations
        Modules whose classes may occur: an object that can do nothing takes the place of each.

    Raises
    ------
    UnsafeFileError
        If anything else would have to be imported or called; it is not.
    FormatError
        If it is no such file, or is damaged.
    """
    if not path.is_file():
        _bytes(path)
    with open(path, "rb") as stream:
        if stream.read(len(_ZIP_START)) != _ZIP_START:
            _refuse_code(path, "a bare pickle, or no file of weights at all")
    modules = tuple(f"{module}." for module in configurations)
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        foreign = sorted(name for name in named if not name.startswith(modules))
        if foreign:
            _refuse_code(path, ", ".join(foreign))
        stubs: list[Any] = [(_Configuration, name) for name in named]
        with torch.serialization.safe_globals(stubs):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        _refuse_code(path, str(error).splitlines()[0])
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise FormatError(
            f"{path} is not a sound file of torch.save",
            seen=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="copy it again from where it came",
        ) from None


def attributes(configuration: Any) -> dict[str, Any]:
    """Return the values of a configuration that `read_torch` gave: of a stand-in, or a table."""
    return dict(configuration) if isinstance(configuration, Mapping) else dict(vars(configuration))


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON table.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        table = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no JSON", seen=error, remedy="copy it again") from None
    if not isinstance(table, dict):
        raise FormatError(f"{path} holds no table", seen=type(table).__name__, allowed="names and values")
    return table


class Table:
    """Tensors by name, taken out as float32 arrays of the shape that is expected.

    Parameters
    ----------
    tensors
        Tensors by name.
    path
        Where they are from, for messages.
    """

    def __init__(self, tensors: Any, path: Path):
        self.path = path
        self.tensors = dict(tensors) if isinstance(tensors, Mapping) else {}

    def __contains__(self, name: str) -> bool:
        return isinstance(self.tensors.get(name), Tensor)

    def rows(self, name: str, *, transposed: bool = False) -> np.ndarray:
        """Return a matrix, one row per latent."""
        matrix = self._tensor(name, n_axes=2)
        return np.ascontiguousarray((matrix.T if transposed else matrix).float().numpy())

    def vector(self, name: str, length: int) -> np.ndarray:
        """Return a vector of a length; one number stands for as many."""
        vector = self._tensor(name, n_axes=None).float().reshape(-1)
        if len(vector) == 1 and length != 1:
            vector = vector.expand(length)
        if len(vector) != length:
            self._refuse(name, tuple(vector.shape), f"{length} numbers")
        return np.ascontiguousarray(vector.numpy()).copy()

    def number(self, name: str, otherwise: Any) -> Any:
        """Return a number of a tensor with one element, or something else if there is no such tensor."""
        tensor = self.tensors.get(name)
        return tensor.item() if isinstance(tensor, Tensor) and tensor.numel() == 1 else otherwise

    def _tensor(self, name: str, *, n_axes: int | None) -> Tensor:
        tensor = self.tensors.get(name)
        if not isinstance(tensor, Tensor) or (n_axes is not None and tensor.ndim != n_axes):
            shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else "no such tensor"
            self._refuse(name, shape, "a matrix" if n_axes == 2 else "a vector")
        return tensor

    def _refuse(self, name: str, seen: object, allowed: str) -> NoReturn:
        raise FormatError(
            f"{self.path} lacks {name!r} in the shape that its format has",
            seen=seen,
            allowed=f"{allowed}; there are: {', '.join(map(str, self.tensors)) or 'no tensors'}",
            remedy="check what package wrote it",
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {path}", seen=error.strerror, remedy="check the path") from None


def _refuse_code(path: Path, seen: str) -> NoReturn:
    raise UnsafeFileError(
        f"{path} is not opened, because it can carry code",
        seen=seen,
        allowed="tensors and plain values, or safetensors",
        remedy="convert it with its own package in a place you trust",
    )
