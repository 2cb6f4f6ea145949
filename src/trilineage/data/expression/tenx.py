"""10x Genomics output: the filtered .h5 file (Cell Ranger 2 and 3) and the folder with matrix.mtx."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from scipy import io as scipy_io
from scipy import sparse

from trilineage.core.errors import FormatError
from trilineage.data.expression.anndata_file import Node, RawTable
from trilineage.data.expression.matrices import ArrayLike, CsrMatrix

_EXPRESSION = "Gene Expression"
_BYTES_PER_ENTRY = 6
"""An entry of a MatrixMarket file takes at least three one-digit numbers and three separators."""
_LARGEST_RATIO = 1100
"""Deflate cannot shrink by more than 1,032."""


def is_tenx_node(root: Node) -> bool:
    """Tell whether an HDF5 root looks like Cell Ranger output."""
    names = root.names()
    return "matrix" in names or (
        len(names) == 1 and root.child(names[0]).is_group and "barcodes" in root.child(names[0]).names()
    )


def read_tenx_node(root: Node) -> RawTable:
    """Read Cell Ranger's HDF5 file: genes x cells by columns, which is cells x genes by rows.

    Features other than gene expression (antibodies, guides) are left out.
    """
    names = root.names()
    group = root.child("matrix" if "matrix" in names else names[0])
    var = _features(group)
    barcodes = [str(name) for name in group.child("barcodes").values()]
    shape = group.child("shape").values().astype(np.int64)
    if shape.tolist() != [len(var), len(barcodes)]:
        raise FormatError(
            "shape, features and barcodes do not fit each other",
            seen=f"{shape.tolist()}, {len(var)} features, {len(barcodes)} barcodes",
        )
    parts = (group.child("data").array(), group.child("indices").array(), group.child("indptr").array())
    matrix = CsrMatrix(*parts, (len(barcodes), len(var)))
    obs = pd.DataFrame(index=pd.Index(barcodes, dtype=object))
    kept = _expression_rows(var)
    if kept.all():
        return RawTable(matrix, obs, var)
    return _without_other_features(RawTable(matrix, obs, var), kept)


def read_tenx_folder(folder: Path) -> RawTable:
    """Read matrix.mtx, features.tsv (or genes.tsv) and barcodes.tsv, each plain or .gz.

    Raises
    ------
    FormatError
        If one is absent, damaged, or does not fit the others.
    """
    matrix_path = _one_of(folder, "matrix.mtx")
    var = _feature_table(_read_lines(_one_of(folder, "features.tsv", "genes.tsv")))
    barcodes = [line[0] for line in _read_lines(_one_of(folder, "barcodes.tsv"))]
    counts = _read_market(matrix_path, (len(var), len(barcodes)))
    rows = sparse.csr_matrix(counts.T)
    rows.sum_duplicates()
    matrix = CsrMatrix(*_parts(rows), (len(barcodes), len(var)))
    table = RawTable(matrix, pd.DataFrame(index=pd.Index(barcodes, dtype=object)), var)
    kept = _expression_rows(var)
    return table if kept.all() else _without_other_features(table, kept)


def _features(group: Node) -> pd.DataFrame:
    if "features" in group.names():
        features = group.child("features")
        columns = {name: features.child(name).values() for name in ("id", "name", "feature_type")}
    else:
        columns = {"id": group.child("genes").values(), "name": group.child("gene_names").values()}
        columns["feature_type"] = np.full(len(columns["id"]), _EXPRESSION, dtype=object)
    if len({len(values) for values in columns.values()}) != 1:
        raise FormatError("feature ids, names and types of different length")
    var = pd.DataFrame({name: [str(value) for value in values] for name, values in columns.items()})
    return _named(var)


def _feature_table(lines: list[list[str]]) -> pd.DataFrame:
    rows = [
        (line[0], line[1] if len(line) > 1 else line[0], line[2] if len(line) > 2 else _EXPRESSION)
        for line in lines
    ]
    return _named(pd.DataFrame(rows, columns=["id", "name", "feature_type"]))


def _named(var: pd.DataFrame) -> pd.DataFrame:
    return var.set_index(pd.Index(var["name"].to_numpy(dtype=object), dtype=object)).rename(
        columns={"id": "gene_ids"}
    )


def _expression_rows(var: pd.DataFrame) -> Shaped[np.ndarray, "*axes"]:
    kept = (var["feature_type"] == _EXPRESSION).to_numpy()
    return kept if kept.any() else np.ones(len(var), np.bool_)


def _without_other_features(table: RawTable, kept: Shaped[np.ndarray, "*axes"]) -> RawTable:
    """Drop antibodies and guides; done by naming them, the matrix on disk stays as it is."""
    note = f"{int((~kept).sum())} features that are not gene expression are left out"
    var = table.var.assign(is_left_out=~kept)
    return RawTable(table.matrix, table.obs, var, (*table.notes, note))


def _one_of(folder: Path, *names: str) -> Path:
    candidates = [folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz")]
    present = [path for path in candidates if path.is_file()]
    if not present:
        raise FormatError(
            "no 10x matrix folder",
            seen=f"{folder} without {names[0]}",
            allowed="matrix.mtx, features.tsv (or genes.tsv), barcodes.tsv, each plain or .gz",
        )
    return present[0]


def _read_lines(path: Path) -> list[list[str]]:
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as stream:
            return [line.rstrip("\r\n").split("\t") for line in stream if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise FormatError(f"cannot read {path.name}", seen=str(error)[:200]) from error


def _read_market(path: Path, shape: tuple[int, int]) -> sparse.coo_matrix:
    """Read a MatrixMarket file after holding its claims against the file and the names beside it."""
    try:
        n_rows, n_columns, n_entries, layout, field, _ = scipy_io.mminfo(path)
        size = path.stat().st_size * (_LARGEST_RATIO if path.suffix == ".gz" else 1)
        if layout != "coordinate" or field not in ("integer", "real", "unsigned-integer"):
            raise FormatError(f"{path.name} is no sparse number matrix", seen=f"{layout} {field}")
        if (n_rows, n_columns) != shape:
            raise FormatError(
                "matrix, features and barcodes do not fit each other",
                seen=f"{n_rows} x {n_columns}",
                allowed=f"{shape[0]} features x {shape[1]} barcodes",
            )
        if n_entries * _BYTES_PER_ENTRY > size:
            raise FormatError(f"{path.name} claims more entries than it holds", seen=f"{n_entries:,} entries")
        return sparse.coo_matrix(scipy_io.mmread(path))
    except (OSError, EOFError, ValueError, OverflowError, TypeError, zlib.error) as error:
        raise FormatError(f"cannot read {path.name}", seen=str(error)[:200]) from error


def _parts(rows: sparse.csr_matrix) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
    return rows.data, rows.indices, rows.indptr
