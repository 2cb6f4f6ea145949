"""The door for expression data: any format in, one checked `Expression` out, every guess reported."""

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from trilineage.core.errors import ColumnError, ConfigError, FormatError
from trilineage.core.files import sha256_file
from trilineage.data.expression.anndata_file import RawTable, read_anndata_node, read_matrix
from trilineage.data.expression.columns import ColumnMap
from trilineage.data.expression.compact import compact_rows, require_counts
from trilineage.data.expression.dataset import Expression, RowStore, View
from trilineage.data.expression.disk import DiskRows
from trilineage.data.expression.genes import GeneTable, gene_table, merge_duplicates
from trilineage.data.expression.hdf5 import HDF5Node, close_hdf5, node_of, open_hdf5_node
from trilineage.data.expression.keys import choose_keys
from trilineage.data.expression.matrices import CsrMatrix, DenseMatrix, Matrix, csr_from_columns, sample_rows
from trilineage.data.expression.options import ExpressionSettings
from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.state import MatrixState, check_stated, detect_state, stated
from trilineage.data.expression.tables import is_table, join_obs, read_table
from trilineage.data.expression.tenx import is_tenx_node, read_tenx_folder, read_tenx_node
from trilineage.data.expression.zarr_file import open_zarr

__all__ = ["Expression", "ExpressionSettings", "from_anndata", "open_expression"]

OWN_COLUMNS = "trilineage_"
"""How the names of the columns begin that we write into a sample table."""

logger = logging.getLogger(__name__)

_BYTES_PER_COUNT, _BYTES_PER_VALUE = 3.2, 6.0
"""Compact form per stored value: uint16 gene with uint8 count (and some large ones), or with float32."""


def open_expression(settings: ExpressionSettings) -> Expression:
    """Open expression data of any supported format.

    Parameters
    ----------
    settings
        Where the data are and how they are read; see `ExpressionSettings`.

    Raises
    ------
    FormatError
        If the file is absent, damaged, not of a supported format, or claims more than it holds.
    MatrixError
        If the values cannot be what they are said, or seem, to be.
    ColumnError
        If a column or layer asked for is absent.
    ConfigError
        If no path is given.
    """
    if settings.path is None:
        raise ConfigError("no expression data given", remedy="set path=FILE")
    path = Path(settings.path)
    node = open_hdf5_node(path) if _is_hdf5_name(path) else None
    close = (lambda: close_hdf5(node)) if node is not None else _nothing_to_close
    try:
        table = _read(path, node, settings)
        if settings.obs_path is not None:
            table = table._replace(obs=join_obs(table.obs, Path(settings.obs_path)))
        return _assemble(table, settings, fingerprint=cache(lambda: _file_digest(settings)), close=close)
    except BaseException:
        close()
        raise


def from_anndata(adata: anndata.AnnData, settings: ExpressionSettings | None = None) -> Expression:
    """Take expression data that are already open.

    Parameters
    ----------
    adata
        Samples x genes. The matrix is copied into the compact form; that of a backed AnnData stays on disk where
        `settings.backed` says so, as that of a file does. Columns of ours (`trilineage_...`) are no data.
    settings
        As for files; paths are ignored.

    Raises
    ------
    ColumnError
        If the layer does not exist; those there are are named.
    FormatError, MatrixError
        As `open_expression`.
    """
    settings = settings or ExpressionSettings()
    matrix, var, is_on_disk = _chosen_matrix(adata, settings.layer)
    theirs = [name for name in adata.obs.columns if not str(name).startswith(OWN_COLUMNS)]
    table = RawTable(matrix, adata.obs[theirs].copy(), var)

    @cache
    def fingerprint() -> str:
        return _content_digest(table)

    where = settings if is_on_disk else settings.replace(backed="no")
    return _assemble(table, where, fingerprint=fingerprint, close=_nothing_to_close)


def _chosen_matrix(adata: anndata.AnnData, layer: str | None) -> tuple[Matrix, pd.DataFrame, bool]:
    """Return the matrix that a layer names, the genes of its columns, and whether it lies on disk."""
    if adata.isbacked and (adata.is_view or layer == "raw"):
        adata = adata.to_memory()
    if layer == "raw" and adata.raw is not None:
        return _in_memory(adata.raw.X), adata.raw.var, False
    if layer not in (None, "X", "raw"):
        name = str(layer).removeprefix("layers/")
        if name not in adata.layers:
            known = ", ".join([*adata.layers, "X", "raw"])
            raise ColumnError(
                f"there is no layer '{name}'", seen=layer, allowed=known, remedy="name one of these"
            )
        return _in_memory(adata.layers[name]), adata.var, False
    if not adata.isbacked:
        return _in_memory(adata.X), adata.var, False
    return read_matrix(node_of(adata.file["X"]), "X"), adata.var, True


def _read(path: Path, node: HDF5Node | None, settings: ExpressionSettings) -> RawTable:
    if node is not None:
        return read_tenx_node(node) if is_tenx_node(node) else read_anndata_node(node, settings.layer)
    if path.is_dir():
        is_zarr = any((path / name).is_file() for name in (".zgroup", "zarr.json"))
        return read_anndata_node(open_zarr(path), settings.layer) if is_zarr else read_tenx_folder(path)
    if is_table(path):
        asked = (settings.label_key, settings.patient_key, settings.cell_type_key, settings.site_key)
        wanted = [key for key in asked if key is not None]
        return read_table(path, orientation=settings.orientation, asked=wanted)
    if not path.exists():
        raise FormatError("no such file or folder", seen=path, remedy="check the path")
    raise FormatError(
        "a file of unknown kind",
        seen=path.name,
        allowed=".h5ad, .h5, .zarr, a 10x folder, .csv, .tsv, .txt (also .gz)",
    )


def _assemble(
    table: RawTable,
    settings: ExpressionSettings,
    *,
    fingerprint: Callable[[], str],
    close: Callable[[], None],
) -> Expression:
    """Detect the state, choose keys, merge duplicated genes, and decide between memory and disk."""
    matrix = table.matrix
    if not matrix.n_rows or not matrix.n_columns:
        raise FormatError("an empty matrix", seen=f"{matrix.n_rows} samples x {matrix.n_columns} genes")
    state = _state(matrix, settings)
    genes, columns, gene_notes = _genes(table, state)
    _require_columns_once(table.obs)
    obs, name_notes = _unique_names(table.obs)
    chosen = choose_keys(
        obs,
        {
            "label": settings.label_key,
            "patient": settings.patient_key,
            "cell_type": settings.cell_type_key,
            "site": settings.site_key,
        },
    )
    store = _store(matrix, state, settings, close)
    notes = (*table.notes, *gene_notes, *name_notes, *chosen.notes)
    for note in (
        f"values are {state.kind}: {'; '.join(state.evidence)}",
        *notes[: -len(chosen.notes) or None],
    ):
        logger.info(note)
    view = View(obs, genes, columns, state, settings.target_sum, chosen.keys, notes)
    return Expression(store, view, fingerprint)


def _state(matrix: Matrix, settings: ExpressionSettings) -> MatrixState:
    sample = sample_rows(matrix)
    if settings.state == "auto":
        return detect_state(sample, matrix.n_columns)
    return stated(settings.state, sample, matrix.n_columns)


def _genes(table: RawTable, state: MatrixState) -> tuple[GeneTable, ColumnMap, tuple[str, ...]]:
    every = gene_table([str(name) for name in table.var.index], table.var)
    left_out = np.zeros(len(every), np.bool_)
    if "is_left_out" in table.var.columns:
        left_out = table.var["is_left_out"].to_numpy(dtype=np.bool_)
    kept = np.flatnonzero(~left_out)
    genes, place = merge_duplicates(every.take(kept))
    target = np.full(len(every), -1, np.int32)
    target[kept] = place
    average = not state.is_linear_additive
    n_merged = len(kept) - len(genes)
    verb = "averaged" if average else "summed"
    notes = (f"{n_merged} columns name a gene that is already there: {verb} into one",) if n_merged else ()
    return genes, ColumnMap.build(target, len(genes), average=average), notes


def _require_columns_once(obs: pd.DataFrame) -> None:
    """Refuse a sample table in which a name stands for two columns: nobody could say which is meant."""
    twice = obs.columns[obs.columns.duplicated()]
    if len(twice):
        raise FormatError(
            "the sample table names a column twice",
            seen=", ".join(dict.fromkeys(repr(str(name)) for name in twice)),
            allowed="a name of its own for each column",
            remedy="rename or remove one of them",
        )


def _unique_names(obs: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give repeated sample names a number, so that every table written later has one row per name."""
    names = obs.index.astype(str)
    if not names.has_duplicates:
        return obs.set_axis(pd.Index(names, dtype=object), axis=0), ()
    n_before = pd.Series(names).groupby(names.to_numpy()).cumcount().to_numpy()
    unique = [f"{name}-{n}" if n else name for name, n in zip(names, n_before, strict=True)]
    note = f"{int((n_before > 0).sum())} repeated sample names were numbered"
    if len(set(unique)) < len(unique):
        unique = [f"{name}-row{i}" for i, name in enumerate(names)]
    return obs.set_axis(pd.Index(unique, dtype=object), axis=0), (note,)


def _store(
    matrix: Matrix, state: MatrixState, settings: ExpressionSettings, close: Callable[[], None]
) -> RowStore:
    is_whole = state.kind == "counts"
    per_value = _BYTES_PER_COUNT if is_whole else _BYTES_PER_VALUE
    is_large = matrix.n_stored * per_value > settings.memory_limit_gb * 1e9
    if settings.backed == "no" or (settings.backed == "auto" and not is_large):
        compact = compact_rows(matrix, whole=is_whole, check=_checker(state))
        close()
        return compact
    return DiskRows(
        matrix,
        block_size=settings.block_size,
        shuffle_blocks=settings.shuffle_blocks,
        check=_checker(state),
        close=close,
    )


def _checker(state: MatrixState) -> Callable[[RawRows], None]:
    """Return the check every block passes: the state was seen in a sample, and must hold for the rest."""

    def check(rows: RawRows) -> None:
        if state.kind == "counts":
            require_counts(rows.values)
        elif len(rows.values):
            check_stated(state.kind, float(rows.values.min()), float(rows.values.max()), 0.0)

    return check


def _in_memory(values: Any) -> Matrix:
    if sparse.issparse(values):
        parts = (values.data, values.indices, values.indptr)
        if values.format == "csr":
            return CsrMatrix(*parts, values.shape)
        if values.format == "csc":
            return csr_from_columns(*parts, values.shape)
        return _in_memory(sparse.csr_matrix(values))
    return DenseMatrix(np.asarray(values))


def _file_digest(settings: ExpressionSettings) -> str:
    """Return the SHA-256 of the file; of several files, the SHA-256 of their names and digests."""
    path = Path(str(settings.path))
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files += [Path(settings.obs_path)] if settings.obs_path is not None else []
    if len(files) == 1:
        return sha256_file(files[0])
    listing = "\n".join(f"{file.name} {sha256_file(file)}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _content_digest(table: RawTable) -> str:
    """Return the SHA-256 of matrix, names and sample table, whatever arrays they came in."""
    digest = hashlib.sha256()
    for frame in (table.obs, table.var):
        digest.update(frame.to_csv().encode())
    for start, stop in table.matrix.blocks():
        for array in table.matrix.read_rows(start, stop):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _is_hdf5_name(path: Path) -> bool:
    return path.suffix.lower() in (".h5ad", ".h5", ".hdf5")


def _nothing_to_close() -> None:
    """Data in memory hold no file open."""
