"""The parts of an AnnData file (.h5ad or .zarr) that we need, read element by element: matrix, obs and var.

The element layout is AnnData's on-disk format 0.1.0 (encoding-type attributes); only the parts asked for are touched.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from trilineage.core.errors import ColumnError, FormatError
from trilineage.data.expression.matrices import (
    ArrayLike,
    CsrMatrix,
    DenseMatrix,
    Matrix,
    csr_from_columns,
)


@runtime_checkable
class Node(Protocol):
    """A group or an array of a hierarchical file."""

    @property
    def is_group(self) -> bool:
        """Whether it has children."""
        ...

    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes."""
        ...

    def names(self) -> list[str]:
        """Names of the children."""
        ...

    def child(self, name: str) -> Self:
        """Return a child."""
        ...

    def array(self) -> ArrayLike:
        """Return the array, unread."""
        ...

    def values(self) -> Shaped[np.ndarray, "*axes"]:
        """Return the whole array."""
        ...


class RawTable(NamedTuple):
    """What every reader returns: a matrix, the tables beside it, and remarks for the user."""

    matrix: Matrix
    """Samples x columns."""
    obs: pd.DataFrame
    """One row per sample, indexed by name."""
    var: pd.DataFrame
    """One row per matrix column, indexed by name."""
    notes: tuple[str, ...] = ()
    """Remarks worth showing."""


def read_anndata_node(root: Node, layer: str | None = None) -> RawTable:
    """Read the chosen matrix, obs and var below the root of an AnnData file.

    Parameters
    ----------
    layer
        None for X, `raw` for the raw matrix, else the name of a layer (with or without `layers/`).

    Raises
    ------
    FormatError
        If parts are absent, damaged, or do not fit each other.
    ColumnError
        If the layer does not exist; those there are are named.
    """
    parent, name = _matrix_place(root, layer)
    var_parent = parent if layer == "raw" else root
    obs, var = read_frame(root.child("obs"), "obs"), read_frame(var_parent.child("var"), "var")
    matrix = read_matrix(parent.child(name), name)
    if (matrix.n_rows, matrix.n_columns) != (len(obs), len(var)):
        raise FormatError(
            "matrix, obs and var do not fit each other",
            seen=f"{matrix.n_rows} x {matrix.n_columns}, {len(obs)} obs, {len(var)} var",
            remedy="the file is damaged; write it again",
        )
    return RawTable(matrix, obs, var, _other_matrices(root, layer))


def read_matrix(node: Node, name: str) -> Matrix:
    """Read a matrix element: dense, or sparse by rows or by columns (turned into rows in memory)."""
    if not node.is_group:
        return DenseMatrix(node.array())
    attributes = node.attributes()
    parts = (node.child("data").array(), node.child("indices").array(), node.child("indptr").array())
    shape = _shape(attributes.get("shape", attributes.get("h5sparse_shape")), name)
    kind = str(attributes.get("encoding-type", attributes.get("h5sparse_format", ""))).removesuffix("_matrix")
    if kind == "csr":
        return CsrMatrix(*parts, shape)
    if kind == "csc":
        return csr_from_columns(*parts, shape)
    raise FormatError(f"a sparse matrix '{name}' of unknown layout", seen=repr(kind), allowed="csr, csc")


def read_frame(node: Node, name: str) -> pd.DataFrame:
    """Read a table element (obs or var) into a DataFrame indexed by the names of its rows."""
    if not node.is_group:
        raise FormatError(
            f"'{name}' is written in the layout of anndata before 0.7",
            remedy="open and write the file with a current anndata",
        )
    index_name = str(node.attributes().get("_index", "_index"))
    index = read_column(node.child(index_name), index_name)
    if index.ndim != 1:
        raise FormatError(f"the names of '{name}' are no list", seen=f"shape {index.shape}")
    columns = {}
    for column in _column_names(node, index_name):
        values = read_column(node.child(column), column)
        if len(values) != len(index):
            raise FormatError(
                f"column '{column}' of '{name}' has the wrong length",
                seen=len(values),
                allowed=len(index),
            )
        columns[column] = values
    return pd.DataFrame(columns, index=pd.Index([str(value) for value in index], dtype=object))


def read_column(node: Node, name: str) -> Any:
    """Read one column: numbers, texts, a categorical, or a nullable array (as object with None)."""
    if not node.is_group:
        values = node.values()
        if values.dtype.kind not in "biufO" or values.ndim != 1:
            return np.array([str(value) for value in values.reshape(len(values), -1)[:, 0]], dtype=object)
        return values
    parts = set(node.names())
    if {"codes", "categories"} <= parts:
        return _categorical(node, name)
    if {"values", "mask"} <= parts:
        values, mask = node.child("values").values(), node.child("mask").values().astype(bool)
        if values.shape != mask.shape:
            raise FormatError(f"column '{name}' has values and mask of different length")
        nullable = values.astype(object)
        nullable[mask] = None
        return nullable
    raise FormatError(f"column '{name}' has an unknown layout", seen=", ".join(sorted(parts)[:10]))


def _categorical(node: Node, name: str) -> pd.Categorical:
    codes, categories = node.child("codes").values(), node.child("categories").values()
    if codes.dtype.kind not in "iu" or codes.ndim != 1 or categories.ndim != 1:
        raise FormatError(
            f"column '{name}' has unusable category codes", seen=f"{codes.dtype}, {codes.shape}"
        )
    codes = codes.astype(np.int64)
    if len(codes) and (codes.min() < -1 or codes.max() >= len(categories)):
        raise FormatError(
            f"column '{name}' has category codes out of range",
            seen=f"{codes.min()} to {codes.max()}",
            allowed=f"-1 to {len(categories) - 1}",
        )
    names = pd.Index(categories)
    if not names.is_unique or names.hasnans:
        raise FormatError(f"column '{name}' has repeated or missing categories")
    return pd.Categorical.from_codes(codes, categories=names)


def _column_names(node: Node, index_name: str) -> list[str]:
    present = [column for column in node.names() if column not in (index_name, "__categories")]
    order = node.attributes().get("column-order")
    if order is None:
        return present
    listed = [str(column) for column in np.asarray(order, dtype=object).reshape(-1)]
    return [column for column in listed if column in present]


def _matrix_place(root: Node, layer: str | None) -> tuple[Node, str]:
    if layer in (None, "X"):
        return root, "X"
    if layer == "raw":
        return root.child("raw"), "X"
    wanted = str(layer).removeprefix("layers/")
    layers = root.child("layers").names() if "layers" in root.names() else []
    if wanted not in layers:
        raise ColumnError(
            f"there is no layer '{wanted}'", seen=layer, allowed=", ".join([*layers, "X", "raw"])
        )
    return root.child("layers"), wanted


def _other_matrices(root: Node, layer: str | None) -> tuple[str, ...]:
    """Name the matrices that could have been chosen instead."""
    names = root.names()
    others = [name for name in (root.child("layers").names() if "layers" in names else []) if name != layer]
    others += ["raw"] if "raw" in names and layer != "raw" else []
    return (f"the file also holds these matrices (layer=...): {', '.join(others)}",) if others else ()


def _shape(value: Any, name: str) -> tuple[int, int]:
    shape = np.asarray(value if value is not None else [], dtype=object).reshape(-1)
    if len(shape) != 2 or not all(isinstance(n, int | np.integer) and 0 <= n < 2**40 for n in shape):
        raise FormatError(f"sparse matrix '{name}' without a usable shape", seen=value)
    return int(shape[0]), int(shape[1])
