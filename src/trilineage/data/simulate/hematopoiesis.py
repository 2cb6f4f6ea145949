"""The tree of blood formation, and gene programs inherited along it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from trilineage.core.seeding import generator
from trilineage.data.simulate.settings import SimulationSettings


class CellType(NamedTuple):
    """One node of the tree."""

    name: str
    """Name, as in `obs["cell_type"]`."""
    parent: str
    """Name of the type it arises from; the root is its own parent."""
    lineage: str
    """Branch it belongs to, as in `obs["lineage"]`."""
    share: float
    """Mean share of the cells of a donor."""


TREE = (
    CellType("HSC", "HSC", "progenitor", 0.06),
    CellType("MPP", "HSC", "progenitor", 0.10),
    CellType("LMPP", "MPP", "progenitor", 0.07),
    CellType("CMP", "MPP", "progenitor", 0.08),
    CellType("GMP", "CMP", "progenitor", 0.08),
    CellType("MEP", "CMP", "progenitor", 0.07),
    CellType("CLP", "LMPP", "progenitor", 0.04),
    CellType("classical monocyte", "GMP", "monocyte", 0.13),
    CellType("non-classical monocyte", "classical monocyte", "monocyte", 0.05),
    CellType("neutrophil", "GMP", "granulocyte", 0.03),
    CellType("conventional dendritic cell", "GMP", "dendritic", 0.02),
    CellType("plasmacytoid dendritic cell", "LMPP", "dendritic", 0.02),
    CellType("erythroblast", "MEP", "erythroid", 0.03),
    CellType("megakaryocyte", "MEP", "megakaryocyte", 0.02),
    CellType("B cell", "CLP", "lymphocyte", 0.05),
    CellType("plasma cell", "B cell", "lymphocyte", 0.01),
    CellType("CD4 T cell", "CLP", "lymphocyte", 0.06),
    CellType("CD8 T cell", "CD4 T cell", "lymphocyte", 0.05),
    CellType("NK cell", "CLP", "lymphocyte", 0.03),
)
"""Parents before children. Half of the cells are progenitors, as after enrichment for them.

CD8 T cells stand below CD4 T cells so that they share a T-cell program; in the thymus both arise from one precursor.
"""

LINEAGES = tuple(dict.fromkeys(node.lineage for node in TREE))
"""Branches of the tree in order of appearance; the first is the progenitors."""

CELL_TYPES = tuple(node.name for node in TREE)
"""Names of the nodes in order."""


def parent_positions() -> Int[np.ndarray, " node"]:
    """Return the position of each node's parent in `TREE` (the root's is its own)."""
    return np.array([CELL_TYPES.index(node.parent) for node in TREE], dtype=np.int64)


def lineage_positions() -> Int[np.ndarray, " node"]:
    """Return the position of each node's lineage in `LINEAGES`."""
    return np.array([LINEAGES.index(node.lineage) for node in TREE], dtype=np.int64)


def draw_cell_programs(
    settings: SimulationSettings, candidates: Bool[np.ndarray, " gene"]
) -> Float[np.ndarray, "node gene"]:
    """Draw the log fold changes of each node against the root.

    A node keeps each gene of its parent's programs with chance `1 - program_loss` and switches on genes of its own,
    with effects around `cell_program_effect`.

    Parameters
    ----------
    settings
        Shares and effects.
    candidates
        Genes that a program may hold.
    """
    random = generator(settings.seed, "simulate", "cell programs")
    n_program = max(1, round(settings.cell_program_share * settings.n_genes))
    pool = np.flatnonzero(candidates)
    effects = np.zeros((len(TREE), settings.n_genes))
    for node, parent in enumerate(parent_positions()):
        if node == parent:
            continue
        is_kept = random.random(settings.n_genes) >= settings.program_loss
        own = random.choice(pool, size=min(n_program, len(pool)), replace=False)
        effects[node] = effects[parent] * is_kept
        effects[node, own] += settings.cell_program_effect * random.gamma(8.0, 1 / 8.0, size=len(own))
    return effects
