"""Every choice of the simulator, with the reason for its default."""

from typing import Self

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError

CLASSES = ("healthy", "AML", "ALL", "CML", "CLL", "MDS", "MPN")
"""The seven *synthetic* classes: blood diseases that reach the progenitors lend their names, and nothing else.

No gene, effect or frequency is taken from patients with these diseases.
"""

Fates = tuple[float, float, float]
"""Shares of a disease's genes whose effect is kept, attenuated and lost in a lineage; they sum to 1."""


class SimulationSettings(Settings):
    """Options of the simulated blood; effects are natural-log fold changes of a gene's share of the counts."""

    seed: int = Field(0, ge=0)
    """Names the world: genes, programs, donors and counts. The same seed gives the same bytes."""
    signal: float = Field(1.0, ge=0.0, le=10.0)
    """Scale of everything a disease does, composition included; 0 leaves nothing to learn."""
    n_classes: int = Field(len(CLASSES), ge=2, le=len(CLASSES))
    """Classes simulated: healthy and the first diseases of the list."""
    labels: tuple[str, ...] = ()
    """Names of the classes instead of those above, the one without disease first: for instance the leaves of a
    taxonomy. Each names a program of its own; empty: `n_classes` of the list."""
    patients: str | None = None
    """CSV with the columns patient, diagnosis (one of the classes) and, where known, site and part of a split: the
    donors to simulate instead of `n_donors_per_class` of each class, for instance those of simulated smears."""
    n_donors_per_class: int = Field(12, ge=1)
    """Donors of each class: 12 leave three or four for testing, enough for an interval over donors."""
    n_cells_per_donor: int = Field(150, ge=1)
    """Cells of each donor; about half of them are progenitors."""
    first_donor: int = Field(0, ge=0)
    """Number of the first donor of each class: with 12, new donors of the same world as those of 0 to 11."""
    n_genes: int = Field(2_000, ge=20)
    """Genes; 29,150 with `density` 0.07 is the size of a whole transcriptome."""
    density: float = Field(0.2, gt=0.0, lt=0.9)
    """Share of non-zero counts, which sets the median library size: 0.2 for a selection of 2,000 genes (about 1,000
    counts per cell), 0.07 for 29,150 genes (about 4,500), as droplet data show."""

    n_sites: int = Field(4, ge=1)
    """Sites (batches); each donor's is drawn independently of the disease, so that neither tells of
    the other."""
    site_effect: float = Field(0.15, ge=0.0)
    """Standard deviation of a site's effect on a gene."""
    donor_effect: float = Field(0.25, ge=0.0)
    """Standard deviation of a donor's effect on a gene, the same in all the donor's cells: enough to tell donors
    apart, so that a split by cells leaks, as it does in real data."""

    cell_program_share: float = Field(0.03, gt=0.0, le=0.5)
    """Share of the genes that each step of the tree switches on."""
    cell_program_effect: float = Field(1.2, ge=0.0)
    """Mean effect of a cell program on its genes."""
    program_loss: float = Field(0.3, ge=0.0, le=1.0)
    """Chance that a gene switched on by an ancestor is switched off again at a step of the tree."""

    disease_program_share: float = Field(0.05, gt=0.0, le=0.5)
    """Share of the genes that a disease changes in progenitors."""
    disease_effect: float = Field(1.05, ge=0.0)
    """Mean absolute effect of a disease on its genes in progenitors."""
    disease_overlap: float = Field(0.25, ge=0.0, le=1.0)
    """Share of a disease's genes that come from a pool which all diseases draw on, each with effects of its own."""
    monocyte_fates: Fates = (0.60, 0.30, 0.10)
    """Fate of a disease's genes in monocytes, close kin of the diseased progenitors."""
    lymphocyte_fates: Fates = (0.45, 0.30, 0.25)
    """Fate of a disease's genes in lymphocytes, distant kin."""
    other_fates: Fates = (0.45, 0.30, 0.25)
    """Fate of a disease's genes in granulocytes, dendritic cells, erythroid cells and megakaryocytes."""
    attenuation: float = Field(0.5, ge=0.0, le=1.0)
    """Factor on an attenuated effect."""

    composition_concentration: float = Field(60.0, gt=0.0)
    """Concentration of the Dirichlet distribution of a donor's cell-type shares: at 60 a type of 10 % varies between
    donors by 4 points."""
    composition_shift: float = Field(0.2, ge=0.0)
    """Standard deviation of a disease's shift of the log share of a cell type."""

    abundance_spread: float = Field(2.0, gt=0.0, le=4.0)
    """Standard deviation of the log abundance of genes."""
    dispersion: float = Field(0.3, gt=0.0)
    """Median over genes of the negative-binomial dispersion (variance = mean + dispersion * mean squared)."""
    library_spread: float = Field(0.35, ge=0.0)
    """Standard deviation of the log library size between the cells of a donor."""
    donor_library_spread: float = Field(0.2, ge=0.0)
    """Standard deviation of the log library size between donors."""

    @model_validator(mode="after")
    def _fates_are_shares(self) -> Self:
        for name in ("monocyte_fates", "lymphocyte_fates", "other_fates"):
            fates = getattr(self, name)
            if min(fates) < 0 or abs(sum(fates) - 1) > 1e-6:
                raise ConfigError(
                    f"{name} are no shares",
                    seen=fates,
                    allowed="three numbers from 0 to 1 that sum to 1: kept, attenuated, lost",
                )
        return self

    @model_validator(mode="after")
    def _labels_are_classes(self) -> Self:
        if self.labels and (len(self.labels) < 2 or len(set(self.labels)) < len(self.labels)):
            raise ConfigError(
                "the labels are no list of classes",
                seen=", ".join(self.labels),
                allowed="at least two names, each once, the one without disease first",
            )
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes simulated, healthy first."""
        return self.labels or CLASSES[: self.n_classes]

    @property
    def n_donors(self) -> int:
        """Donors in all, unless a list of patients is given."""
        return len(self.classes) * self.n_donors_per_class
