"""Write results beside the data: into a copy of the input as h5ad, or into an AnnData that is open."""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData as AnnData  # for those who may not import anndata
from jaxtyping import Float

from trilineage.core.files import atomic_path
from trilineage.data.expression.open import Expression


@dataclass(frozen=True)
class Annotations:
    """What a model has to say about the samples of one file, under AnnData's words."""

    obs: Mapping[str, Any] = field(default_factory=dict)
    """New columns of the sample table, one value per sample."""
    obsm: Mapping[str, Float[np.ndarray, "cell _"]] = field(default_factory=dict)
    """Arrays with one row per sample, such as `X_trilineage`."""
    uns: Mapping[str, object] = field(default_factory=dict)
    """Notes: strings, numbers, arrays, data frames, nested mappings of these."""


def write_annotated(expression: Expression, source: Path, out: Path, annotations: Annotations) -> None:
    """Write `out` as h5ad: everything an h5ad `source` holds, with the annotations added.

    An h5ad source is copied as it is, so its matrix, layers and graphs survive and memory stays flat however large
    it is. From any other format a new file is made with the sample and gene tables and the matrix as opened.

    Raises
    ------
    StorageError
        The disk is full or the folder cannot be written; nothing is left at `out`.
    """
    with atomic_path(out) as temporary:
        if h5py.is_hdf5(source) and _is_anndata(source):
            shutil.copyfile(source, temporary)
        else:
            _write_opened(expression, temporary)
        with h5py.File(temporary, "r+") as file:
            _add(file, annotations)


def annotate(adata: AnnData, annotations: Annotations) -> None:
    """Write annotations into an open AnnData, in memory also where its matrix lies on disk; older ones are replaced.

    A view becomes an AnnData of its own, as with every change to a view.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", anndata.ImplicitModificationWarning)
        for name, values in annotations.obs.items():
            adata.obs[name] = values
        for name, array in annotations.obsm.items():
            adata.obsm[name] = array
        for name, value in annotations.uns.items():
            adata.uns[name] = value


def _is_anndata(path: Path) -> bool:
    with h5py.File(path, "r") as file:
        return {"obs", "var"} <= set(file)


def _write_opened(expression: Expression, path: Path) -> None:
    var = pd.DataFrame(index=pd.Index(expression.genes.ids.astype(str)))
    obs = expression.obs.copy()
    obs.index = obs.index.astype(str)
    matrix = expression.to_csr(np.arange(expression.n_obs))
    anndata.AnnData(X=matrix, obs=obs, var=var).write_h5ad(path)


def _add(file: h5py.File, annotations: Annotations) -> None:
    obs = anndata.io.read_elem(file["obs"])
    for name, values in annotations.obs.items():
        obs[name] = values
    anndata.io.write_elem(file, "obs", obs)
    for kind, entries in (("obsm", annotations.obsm), ("uns", annotations.uns)):
        group = file.require_group(kind)
        for name, value in entries.items():
            anndata.io.write_elem(group, name, value)
