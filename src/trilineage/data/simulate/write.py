"""Simulated cells straight to an h5ad file, block by block: any number of cells in a few hundred MB of memory."""

from collections.abc import Iterable
from pathlib import Path

import anndata
import h5py
import numpy as np
import scipy.sparse

from trilineage.core.files import atomic_path
from trilineage.core.progress import Meter, progress
from trilineage.data.simulate.expression import (
    Cells,
    CountRows,
    cell_table,
    count_blocks,
    gene_table,
    join_tables,
    simulated_donors,
)
from trilineage.data.simulate.listed import ListedPatient
from trilineage.data.simulate.settings import SimulationSettings
from trilineage.data.simulate.truth import build_truth
from trilineage.data.simulate.world import Donor, World, asked_donors, draw_world

CHUNK = 1 << 20
"""Entries per chunk of the growing datasets: 4 MB of gene positions."""


def simulate_to_h5ad(
    settings: SimulationSettings, path: Path | str, *, patients: Iterable[ListedPatient] | None = None
) -> int:
    """Write the cells that `simulate_expression` returns to a file that AnnData reads; return how many there are.

    Counts are uncompressed CSR (uint16), so that shuffled reading from disk is fast; memory holds one donor's cells and
    the sample table. The file takes its name when it is complete.

    Parameters
    ----------
    settings
        What to draw.
    path
        File to write.
    patients
        Patients to draw instead of those of the settings.

    Raises
    ------
    ConfigError
        The density cannot be reached, or the list of patients cannot be used.
    StorageError
        The disk is full or the folder cannot be written; nothing is left at `path`.
    """
    world, asked = draw_world(settings), asked_donors(settings, patients)
    n_cells = len(asked) * settings.n_cells_per_donor
    with atomic_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        _write_frame(file, settings, n_cells)
        with progress("simulating", n_cells, "cells") as meter:
            _write_cells(file, simulated_donors(world, settings, asked), world, settings, meter)
    return n_cells


def _write_frame(file: h5py.File, settings: SimulationSettings, n_cells: int) -> None:
    """Write everything that does not grow, in the encoding of AnnData (its file-format page, version 0.1.0)."""
    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    anndata.io.write_elem(file, "var", gene_table(settings))
    for name in ("layers", "obsm", "varm", "obsp", "varp"):
        anndata.io.write_elem(file, name, {})
    empty = scipy.sparse.csr_matrix((0, settings.n_genes), dtype=np.uint16)
    group = file.create_group("X")
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    group.attrs["shape"] = np.array([n_cells, settings.n_genes], dtype=np.int64)
    for name, dtype in (("data", empty.dtype), ("indices", np.int32)):
        group.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(CHUNK,), dtype=dtype)


def _write_cells(
    file: h5py.File,
    drawn: Iterable[tuple[Donor, Cells]],
    world: World,
    settings: SimulationSettings,
    meter: Meter,
) -> None:
    donors, tables, starts = [], [], [np.zeros(1, dtype=np.int64)]
    for donor, cells in drawn:
        donors.append(donor)
        tables.append(cell_table(donor, cells, settings))
        for rows in count_blocks(world, donor, cells):
            starts.append(rows.indptr[1:] + starts[-1][-1])
            _append(file["X"], rows)
            meter.advance(len(rows.indptr) - 1)
    file["X"].create_dataset("indptr", data=np.concatenate(starts))
    anndata.io.write_elem(file, "obs", join_tables(tables, settings))
    anndata.io.write_elem(file, "uns", {"truth": build_truth(world, donors, settings).to_uns()})


def _append(group: h5py.Group, rows: CountRows) -> None:
    for name, values in (("data", rows.values), ("indices", rows.indices)):
        dataset = group[name]
        start = len(dataset)
        dataset.resize((start + len(values),))
        dataset[start:] = values
