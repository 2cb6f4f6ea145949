"""What the files of sparse autoencoders hold: tables of tensors, taken out as float32 arrays, and configurations."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from trilineage.core.errors import FormatError
from trilineage.data.tensor_files import read_bytes


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
        table = json.loads(read_bytes(path))
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
