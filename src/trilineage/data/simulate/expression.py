"""Cells of simulated donors: types, library sizes and counts, in blocks that do not depend on each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float, Int32, Int64, UInt16, UInt64

from trilineage.core.progress import progress
from trilineage.core.seeding import generator
from trilineage.data.simulate.hematopoiesis import CELL_TYPES, LINEAGES, lineage_positions
from trilineage.data.simulate.sampling_kernels import count_nonzeros, draw_counts, fill_rows
from trilineage.data.simulate.settings import SimulationSettings
from trilineage.data.simulate.truth import Truth, build_truth, gene_ids
from trilineage.data.simulate.world import (
    AskedDonor,
    Donor,
    Profiles,
    World,
    asked_donors,
    donor_profiles,
    draw_donor,
    draw_world,
)

BLOCK_CELLS = 1_024
"""Cells whose counts are held dense at once: 60 MB at 29,150 genes."""


class Cells(NamedTuple):
    """Cells of one donor before their counts."""

    nodes: Int64[np.ndarray, " cell"]
    """Position of the cell type in the tree."""
    maturity: Float[np.ndarray, " cell"]
    """How far the cell has come from its parent type, in (0, 1)."""
    library: Float[np.ndarray, " cell"]
    """Expected counts."""
    keys: UInt64[np.ndarray, " cell"]
    """Key of the cell's own stream of random numbers."""


class CountRows(NamedTuple):
    """Non-zero counts of consecutive cells (CSR)."""

    indptr: Int64[np.ndarray, " row_end"]
    """Start of each row and the end of the last."""
    indices: Int32[np.ndarray, " nonzero"]
    """Gene positions, ascending within a row."""
    values: UInt16[np.ndarray, " nonzero"]
    """Counts."""


@dataclass(frozen=True)
class Simulation:
    """Simulated cells with the truth behind them."""

    settings: SimulationSettings
    """What was asked for."""
    counts: scipy.sparse.csr_matrix
    """Counts (cell gene), uint16."""
    obs: pd.DataFrame
    """One row per cell: disease, donor_id, cell_type, lineage, site."""
    var: pd.DataFrame
    """One row per gene: gene_symbol."""
    truth: Truth
    """Programs and effects that made the counts."""

    def to_anndata(self) -> anndata.AnnData:
        """Return the cells as AnnData with the truth in `uns["truth"]`."""
        uns = {"truth": self.truth.to_uns()}
        return anndata.AnnData(self.counts, obs=self.obs.copy(), var=self.var.copy(), uns=uns)


def simulate_expression(settings: SimulationSettings) -> Simulation:
    """Simulate cells in memory.

    The same settings give the same counts, whatever the number of threads. For sizes beyond memory see
    `trilineage.data.simulate.write.simulate_to_h5ad`, which writes the same cells.

    Examples
    --------
    >>> from trilineage.core.progress import set_quiet
    >>> set_quiet(True)
    >>> few = SimulationSettings(n_donors_per_class=2, n_cells_per_donor=5, n_genes=100)
    >>> simulate_expression(few).counts.shape
    (70, 100)
    >>> set_quiet(False)
    """
    world = draw_world(settings)
    donors, parts, tables = [], [], []
    asked = asked_donors(settings)
    with progress("simulating", len(asked) * settings.n_cells_per_donor, "cells") as meter:
        for donor, cells in simulated_donors(world, settings, asked):
            donors.append(donor)
            tables.append(cell_table(donor, cells, settings))
            for rows in count_blocks(world, donor, cells):
                parts.append(_csr(rows, settings.n_genes))
                meter.advance(parts[-1].shape[0])
    return Simulation(
        settings=settings,
        counts=scipy.sparse.csr_matrix(scipy.sparse.vstack(parts, format="csr", dtype=np.uint16)),
        obs=join_tables(tables, settings),
        var=gene_table(settings),
        truth=build_truth(world, donors, settings),
    )


def simulated_donors(
    world: World, settings: SimulationSettings, asked: Iterable[AskedDonor]
) -> Iterator[tuple[Donor, Cells]]:
    """Draw the donors one after the other, each with its cells."""
    for one in asked:
        donor = draw_donor(world, settings, one)
        yield donor, _draw_cells(donor, settings)


def count_blocks(
    world: World, donor: Donor, cells: Cells, block_cells: int = BLOCK_CELLS
) -> Iterator[CountRows]:
    """Draw the counts of a donor's cells, `block_cells` at a time; the numbers do not depend on the block size."""
    profiles = donor_profiles(world, donor)
    for start in range(0, len(cells.nodes), block_cells):
        block = Cells(*(field[start : start + block_cells] for field in cells))
        yield _draw_rows(block, profiles, world.theta)


def cell_table(donor: Donor, cells: Cells, settings: SimulationSettings) -> pd.DataFrame:
    """Return the sample table of one donor's cells; with a column `part` if the list of donors has one."""
    n_cells = len(cells.nodes)
    lineages = np.array(LINEAGES, dtype=object)[lineage_positions()]
    table = pd.DataFrame(
        {
            "disease": np.full(n_cells, settings.classes[donor.class_code], dtype=object),
            "donor_id": np.full(n_cells, donor.name, dtype=object),
            "cell_type": np.array(CELL_TYPES, dtype=object)[cells.nodes],
            "lineage": lineages[cells.nodes],
            "site": np.full(n_cells, f"site-{donor.site + 1}", dtype=object),
        },
        index=[f"{donor.name}_{cell:06d}" for cell in range(n_cells)],
    )
    return table.assign(part=donor.part) if donor.part else table


def join_tables(tables: list[pd.DataFrame], settings: SimulationSettings) -> pd.DataFrame:
    """Join the donors' tables and make their columns categorical, classes and cell types in the order of the tree."""
    table = pd.concat(tables)
    order = {"disease": settings.classes, "cell_type": CELL_TYPES, "lineage": LINEAGES}
    for name in table.columns:
        known = order.get(name, tuple(dict.fromkeys(table[name])))
        present = set(table[name])
        table[name] = pd.Categorical(table[name], [word for word in known if word in present])
    return table


def gene_table(settings: SimulationSettings) -> pd.DataFrame:
    """Return the gene table: ids that look like Ensembl's as index, and a symbol each."""
    symbols = [f"SIM{gene + 1}" for gene in range(settings.n_genes)]
    return pd.DataFrame({"gene_symbol": symbols}, index=gene_ids(settings.n_genes))


def _draw_cells(donor: Donor, settings: SimulationSettings) -> Cells:
    n_cells = settings.n_cells_per_donor
    random = generator(settings.seed, "simulate", "cells", *donor.stream)
    nodes = random.choice(len(CELL_TYPES), size=n_cells, p=donor.composition)
    library = donor.median_library * np.exp(settings.library_spread * random.standard_normal(n_cells))
    return Cells(
        nodes=nodes.astype(np.int64),
        maturity=random.beta(6.0, 2.0, size=n_cells),
        library=library,
        keys=random.integers(0, 2**64, size=n_cells, dtype=np.uint64),
    )


def _draw_rows(cells: Cells, profiles: Profiles, theta: Float[np.ndarray, " gene"]) -> CountRows:
    dense = np.empty((len(cells.nodes), len(theta)), dtype=np.uint16)
    draw_counts(*cells, profiles.own, profiles.origin, theta, dense)
    indptr = np.zeros(len(dense) + 1, dtype=np.int64)
    count_nonzeros(dense, indptr[1:])
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], dtype=np.int32)
    values = np.empty(indptr[-1], dtype=np.uint16)
    fill_rows(dense, indptr, indices, values)
    return CountRows(indptr, indices, values)


def _csr(rows: CountRows, n_genes: int) -> scipy.sparse.csr_matrix:
    shape = (len(rows.indptr) - 1, n_genes)
    return scipy.sparse.csr_matrix((rows.values, rows.indices, rows.indptr), shape=shape)
