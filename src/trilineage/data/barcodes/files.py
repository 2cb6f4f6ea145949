"""Barcodes as AnnData files: patients x latents in `X`, patients in `obs`, how they were made in `uns`."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Int64, Shaped

from trilineage.core.errors import FormatError, MatrixError, NewerVersionError
from trilineage.core.files import atomic_path
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.expression.anndata_file import RawTable, read_anndata_node
from trilineage.data.expression.hdf5 import HDF5Node, open_hdf5
from trilineage.data.expression.matrices import join_rows

KIND, VERSION = "barcodes", 1
_TEXTS, _WEIGHTINGS = ("weighting", "dictionary_key", "encoder_key"), ("mean", "log1p", "tf-idf")


def write_barcodes(path: Path | str, barcodes: Barcodes) -> None:
    """Write barcodes as an h5ad file that anndata and scanpy open; the old file stays until the new one is whole.

    Raises
    ------
    StorageError
        If the disk is full, read-only or out of reach.
    """
    obs = pd.DataFrame({"n_images": barcodes.n_images}, index=pd.Index(barcodes.names.astype(str)))
    for name, column in (("label", barcodes.labels), ("site", barcodes.sites)):
        if column is not None:
            obs[name] = pd.Categorical(column.astype(str))
    about = {
        "kind": KIND,
        "version": VERSION,
        "tau": float(barcodes.tau),
        "uses_cls": int(barcodes.uses_cls),
        **{name: getattr(barcodes, name) for name in _TEXTS},
    }
    latents = pd.DataFrame(index=pd.Index([f"latent {latent}" for latent in range(barcodes.n_latents)]))
    adata = anndata.AnnData(X=sp.csr_matrix(barcodes.values), obs=obs, var=latents, uns={KIND: about})
    with atomic_path(path) as temporary:
        adata.write_h5ad(temporary, compression="gzip")


def read_barcodes(path: Path | str) -> Barcodes:
    """Read barcodes from an h5ad file, checking links, sizes and values before anything is believed.

    Raises
    ------
    FormatError
        If there is no such file, it is damaged or truncated, or it holds no barcodes.
    NewerVersionError
        If a newer version of this package wrote it.
    MatrixError, CohortError
        If its values are no numbers, or its patients have no image or several rows.
    """
    path = Path(path)
    with open_hdf5(path) as root:
        options = _options(root, path.name)
        table = read_anndata_node(root)
        blocks = [table.matrix.read_rows(start, stop) for start, stop in table.matrix.blocks()]
    rows = join_rows(blocks)
    shape = (table.matrix.n_rows, table.matrix.n_columns)
    return Barcodes(
        names=np.array(table.obs.index, dtype=str),
        values=sp.csr_array((rows.values, rows.indices, rows.indptr), shape=shape),
        n_images=_n_images(table, path.name),
        labels=_texts(table, "label"),
        sites=_texts(table, "site"),
        **options,
    )


def _options(root: HDF5Node, name: str) -> dict[str, Any]:
    """Return what `uns` says of how the barcodes were made, after looking at kind and version."""
    uns = root.child("uns") if "uns" in root.names() else None
    if uns is None or KIND not in uns.names() or not uns.child(KIND).is_group:
        raise FormatError(
            f"{name} holds no barcodes",
            seen=f"uns: {', '.join(uns.names()[:10]) or 'nothing'}" if uns else "no uns",
            allowed="an h5ad file written by write_barcodes",
            remedy="make the barcodes first",
        )
    about = uns.child(KIND)
    version = _number(about, "version", name)
    if version > VERSION:
        raise NewerVersionError(
            f"{name} was written by a newer trilineage",
            seen=f"version {version:g} of the format",
            allowed=f"up to {VERSION}",
            remedy="update trilineage",
        )
    texts = {key: str(about.child(key).values()) for key in _TEXTS}
    if texts["weighting"] not in _WEIGHTINGS:
        raise FormatError(
            f"barcodes of an unknown weighting in {name}",
            seen=texts["weighting"][:60],
            allowed=", ".join(_WEIGHTINGS),
        )
    uses_cls = bool(_number(about, "uses_cls", name))
    return {"tau": _number(about, "tau", name), "uses_cls": uses_cls, **texts}


def _number(about: HDF5Node, name: str, file: str) -> float:
    value = about.child(name).values()
    if value.shape != () or value.dtype.kind not in "iufb" or not np.isfinite(value):
        raise FormatError(f"'{name}' of the barcodes in {file} is no number", seen=str(value)[:60])
    return float(value)


def _texts(table: RawTable, name: str) -> Shaped[np.ndarray, " patient"] | None:
    if name not in table.obs.columns:
        return None
    column = table.obs[name].astype(object)
    return np.array(["" if value is None or value != value else str(value) for value in column], dtype=str)


def _n_images(table: RawTable, file: str) -> Int64[np.ndarray, " patient"]:
    if "n_images" not in table.obs.columns or table.obs["n_images"].dtype.kind not in "iu":
        raise MatrixError(
            f"{file} does not say how many images each barcode is made of",
            seen=", ".join(table.obs.columns) or "no column",
            allowed="whole numbers in obs['n_images']",
            remedy="write the file again with write_barcodes",
        )
    return table.obs["n_images"].to_numpy().astype(np.int64)
