"""What each synthetic disease does to genes: a program in progenitors, kept, attenuated or lost in each lineage."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from trilineage.core.seeding import generator
from trilineage.data.simulate.hematopoiesis import LINEAGES, TREE
from trilineage.data.simulate.settings import Fates, SimulationSettings

FATES = ("kept", "attenuated", "lost")
"""What becomes of a progenitor's effect in another lineage, in the order of the fate codes."""


class DiseaseProgram(NamedTuple):
    """Genes that one disease changes."""

    name: str
    """Class the program belongs to."""
    genes: Int[np.ndarray, " program"]
    """Gene positions, ascending."""
    effects: Float[np.ndarray, "program lineage"]
    """Log fold change against healthy cells of the same type, `signal` included, by lineage as in `LINEAGES`."""
    fates: Int[np.ndarray, "program lineage"]
    """Position in `FATES` of each gene in each lineage; in progenitors all are kept."""


def draw_disease_programs(
    settings: SimulationSettings, candidates: Bool[np.ndarray, " gene"]
) -> tuple[DiseaseProgram, ...]:
    """Draw one program per disease; the healthy class has none.

    A share `disease_overlap` of a program comes from a pool that all diseases draw on (of twice that size, so that two
    diseases share about half of these genes), the rest belongs to the disease alone as long as genes last. Seven
    genes in ten go up.

    Parameters
    ----------
    settings
        Shares, effects and fates.
    candidates
        Genes that a program may hold.
    """
    pool = generator(settings.seed, "simulate", "disease pool").permutation(np.flatnonzero(candidates))
    n_program = min(max(2, round(settings.disease_program_share * settings.n_genes)), len(pool))
    n_shared = round(settings.disease_overlap * n_program)
    common, private = pool[: 2 * n_shared], np.roll(pool, -2 * n_shared)
    programs = []
    for index, name in enumerate(settings.classes[1:]):
        random = generator(settings.seed, "simulate", "disease", name)
        shared = random.permutation(common)[:n_shared]
        n_own = n_program - len(shared)
        own = private[(index * n_own + np.arange(n_own)) % len(private)]
        programs.append(_draw_program(name, np.union1d(shared, own), settings, random))
    return tuple(programs)


def draw_composition_shifts(settings: SimulationSettings) -> Float[np.ndarray, "class node"]:
    """Draw the shift of the log share of each cell type by class, zero for the healthy class."""
    shifts = np.zeros((len(settings.classes), len(TREE)))
    for code, name in enumerate(settings.classes[1:], start=1):
        random = generator(settings.seed, "simulate", "composition", name)
        shifts[code] = settings.signal * settings.composition_shift * random.standard_normal(len(TREE))
    return shifts


def dense_effects(
    programs: tuple[DiseaseProgram, ...], n_classes: int, n_genes: int
) -> Float[np.ndarray, "class lineage gene"]:
    """Spread the programs over all genes; class 0 is healthy and stays zero."""
    effects = np.zeros((n_classes, len(LINEAGES), n_genes))
    for code, program in enumerate(programs, start=1):
        effects[code][:, program.genes] = program.effects.T
    return effects


def _draw_program(
    name: str, genes: Int[np.ndarray, " program"], settings: SimulationSettings, random: np.random.Generator
) -> DiseaseProgram:
    signs = np.where(random.random(len(genes)) < 0.7, 1.0, -1.0)
    sizes = settings.disease_effect * random.gamma(4.0, 1 / 4.0, size=len(genes))
    factors = np.array([1.0, settings.attenuation, 0.0])
    fates = np.zeros((len(genes), len(LINEAGES)), dtype=np.int64)
    for column, lineage in enumerate(LINEAGES[1:], start=1):
        fates[:, column] = random.choice(3, size=len(genes), p=_fates_of(lineage, settings))
    effects = settings.signal * (signs * sizes)[:, None] * factors[fates]
    return DiseaseProgram(name, genes, effects, fates)


def _fates_of(lineage: str, settings: SimulationSettings) -> Fates:
    named = {"monocyte": settings.monocyte_fates, "lymphocyte": settings.lymphocyte_fates}
    return named.get(lineage, settings.other_fates)
