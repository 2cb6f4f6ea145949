"""What made the counts: programs, fates, donors; kept as plain arrays beside the data, to score findings against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from jaxtyping import Float, Float32, Shaped

from trilineage.core.errors import DataError, FormatError
from trilineage.data.simulate.disease import FATES, DiseaseProgram
from trilineage.data.simulate.hematopoiesis import CELL_TYPES, LINEAGES, parent_positions
from trilineage.data.simulate.settings import SimulationSettings
from trilineage.data.simulate.world import Donor, World

KIND = "trilineage.simulation"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Truth:
    """Programs and effects behind simulated counts; all effects are natural-log fold changes."""

    classes: tuple[str, ...]
    """Class names, healthy first."""
    lineages: tuple[str, ...]
    """Lineages in the order of the `effect_*` and `fate_*` columns."""
    genes: Shaped[np.ndarray, " gene"]
    """Gene ids in the order of the matrix."""
    disease_programs: pd.DataFrame
    """One row per class and changed gene: disease, gene, and for each lineage `effect_<lineage>` (against healthy
    cells of the same type, the signal included) and `fate_<lineage>` (kept, attenuated, lost)."""
    cell_programs: pd.DataFrame
    """One row per cell type and gene that differs from the root: cell_type, gene, effect, is_inherited."""
    donors: pd.DataFrame
    """One row per donor: donor_id, disease, site, median_library and `share_<cell type>`."""
    donor_effects: Float32[np.ndarray, "donor gene"]
    """Each donor's own effect, in the order of `donors`."""
    site_effects: Float32[np.ndarray, "site gene"]
    """Each site's effect; site-1 first."""
    dispersion: Float32[np.ndarray, " gene"]
    """Negative-binomial dispersion: variance = mean + dispersion * mean squared."""
    settings: str
    """The settings as TOML."""

    def effects(self, disease: str, lineage: str = "progenitor") -> Float[np.ndarray, " gene"]:
        """Return the effect of a disease on every gene in a lineage, zero where there is none.

        Raises
        ------
        DataError
            If the disease or the lineage is not in the simulation.
        """
        if disease not in self.classes or lineage not in self.lineages:
            raise DataError(
                "the truth holds no such class or lineage",
                seen=f"{disease}, {lineage}",
                allowed=f"{', '.join(self.classes)}; {', '.join(self.lineages)}",
            )
        rows = self.disease_programs[self.disease_programs["disease"] == disease]
        positions = pd.Index(self.genes).get_indexer(rows["gene"])
        dense = np.zeros(len(self.genes))
        dense[positions] = rows[f"effect_{lineage}"].to_numpy(dtype=float)
        return dense

    def program(self, disease: str, lineage: str = "progenitor") -> dict[str, float]:
        """Return the genes that a disease changes in a lineage, strongest first, with their effects."""
        effects = self.effects(disease, lineage)
        order = np.argsort(-np.abs(effects), kind="stable")[: np.count_nonzero(effects)]
        return {str(self.genes[gene]): float(effects[gene]) for gene in order}

    def to_uns(self) -> dict[str, Any]:
        """Return the truth as nested dictionaries of arrays, for `uns["truth"]`."""
        tables = {
            name: {column: getattr(self, name)[column].to_numpy() for column in getattr(self, name)}
            for name in ("disease_programs", "cell_programs", "donors")
        }
        return {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "classes": np.array(self.classes, dtype=object),
            "lineages": np.array(self.lineages, dtype=object),
            "genes": self.genes,
            **tables,
            "donor_effects": self.donor_effects,
            "site_effects": self.site_effects,
            "dispersion": self.dispersion,
            "settings": self.settings,
        }

    @classmethod
    def from_uns(cls, uns: Mapping[str, Any]) -> "Truth":
        """Read the truth back from `uns["truth"]`.

        Raises
        ------
        FormatError
            If it is not the truth of a simulation, or of a newer version.
        """
        if str(uns.get("kind")) != KIND or int(uns.get("format_version", 0)) > FORMAT_VERSION:
            raise FormatError(
                "this is no truth that can be read",
                seen=f"kind {uns.get('kind')}, version {uns.get('format_version')}",
                allowed=f"kind {KIND}, version up to {FORMAT_VERSION}",
                remedy="simulate the data again or update trilineage",
            )
        return cls(
            classes=tuple(map(str, uns["classes"])),
            lineages=tuple(map(str, uns["lineages"])),
            genes=np.asarray(uns["genes"], dtype=object),
            disease_programs=pd.DataFrame(dict(uns["disease_programs"])),
            cell_programs=pd.DataFrame(dict(uns["cell_programs"])),
            donors=pd.DataFrame(dict(uns["donors"])),
            donor_effects=np.asarray(uns["donor_effects"]),
            site_effects=np.asarray(uns["site_effects"]),
            dispersion=np.asarray(uns["dispersion"]),
            settings=str(uns["settings"]),
        )


def read_truth(path: Path | str) -> Truth:
    """Read the truth of a simulated h5ad file, leaving its cells on disk.

    Raises
    ------
    FormatError
        If the file is no HDF5 file, or holds no truth.
    """
    try:
        with h5py.File(path, "r") as file:
            if "uns/truth" not in file:
                raise FormatError(
                    f"{path} holds no truth",
                    seen="no uns/truth",
                    allowed="a file written by the simulator",
                    remedy="score findings against the truth on simulated data only",
                )
            return Truth.from_uns(read_elem(file["uns/truth"]))
    except OSError as error:
        raise FormatError(
            f"cannot read {path}", seen=error, allowed="an h5ad file", remedy="check the path"
        ) from None


def gene_ids(n_genes: int) -> list[str]:
    """Return gene ids that look like Ensembl's: SIMG00000000001 and so on."""
    return [f"SIMG{gene + 1:011d}" for gene in range(n_genes)]


def build_truth(world: World, donors: Sequence[Donor], settings: SimulationSettings) -> Truth:
    """Gather the truth of a finished simulation."""
    genes = np.array(gene_ids(settings.n_genes), dtype=object)
    tables = [_disease_table(program, genes) for program in world.disease_programs]
    return Truth(
        classes=settings.classes,
        lineages=LINEAGES,
        genes=genes,
        disease_programs=pd.concat(tables, ignore_index=True),
        cell_programs=_cell_table(world, genes),
        donors=_donor_table(donors, settings),
        donor_effects=np.stack([donor.effect for donor in donors]).astype(np.float32),
        site_effects=world.site_effects.astype(np.float32),
        dispersion=(1 / world.theta).astype(np.float32),
        settings=settings.to_toml(),
    )


def _disease_table(program: DiseaseProgram, genes: Shaped[np.ndarray, " gene"]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "disease": np.full(len(program.genes), program.name, dtype=object),
        "gene": genes[program.genes],
    }
    words = np.array(FATES, dtype=object)
    for column, lineage in enumerate(LINEAGES):
        columns[f"effect_{lineage}"] = program.effects[:, column]
        columns[f"fate_{lineage}"] = words[program.fates[:, column]]
    return pd.DataFrame(columns)


def _cell_table(world: World, genes: Shaped[np.ndarray, " gene"]) -> pd.DataFrame:
    nodes, columns = np.nonzero(world.cell_programs)
    return pd.DataFrame(
        {
            "cell_type": np.array(CELL_TYPES, dtype=object)[nodes],
            "gene": genes[columns],
            "effect": world.cell_programs[nodes, columns],
            "is_inherited": world.cell_programs[parent_positions()[nodes], columns] != 0,
        }
    )


def _donor_table(donors: Sequence[Donor], settings: SimulationSettings) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "donor_id": [donor.name for donor in donors],
            "disease": [settings.classes[donor.class_code] for donor in donors],
            "site": [f"site-{donor.site + 1}" for donor in donors],
            "median_library": [donor.median_library for donor in donors],
        },
        dtype=object,
    ).astype({"median_library": float})
    for node, name in enumerate(CELL_TYPES):
        table[f"share_{name}"] = [donor.composition[node] for donor in donors]
    return table
