"""Files of tensors that others wrote: safetensors, and what torch.save wrote provided it carries no code."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor
from torch._weights_only_unpickler import UnpicklingError

from trilineage.core.errors import FormatError, TrilineageError, UnsafeFileError
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
    data = read_bytes(path)
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
        read_bytes(path)
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
    except TrilineageError:
        raise
    except UnpicklingError as error:
        _refuse_code(path, str(error).splitlines()[0])
    except Exception as error:  # noqa: BLE001  (a damaged list of instructions trips torch anywhere)
        raise FormatError(
            f"{path} is not a sound file of torch.save",
            seen=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="copy it again from where it came",
        ) from None


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    FormatError
        If there is no such file, or it cannot be read.
    """
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
