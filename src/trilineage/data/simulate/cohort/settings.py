"""Every choice of the simulated cohort: how many patients, what each has, and how both simulators draw them."""

from typing import Self

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.data.simulate.settings import SimulationSettings
from trilineage.data.simulate.smears.diagnoses import DIAGNOSES
from trilineage.data.simulate.smears.settings import SmearSettings

PARTS = ("train", "valid", "test")
"""Parts of the cohort, in the order in which its patients are dealt."""

NEW = "new"
"""Part of the patients whose diagnosis nobody has learned: no model sees them before they are predicted."""


class CohortSettings(Settings):
    """Options of the simulated cohort; seed, patients and diagnoses of both simulators come from here."""

    seed: int = Field(default=0, ge=0)
    """Names the world: patients, smears and expression. The same seed gives the same bytes."""
    diagnoses: tuple[str, ...] = DIAGNOSES
    """Diagnoses of the patients, leaves of the taxonomy of leukemia, the one without disease first."""
    n_train: int = Field(default=5, ge=1)
    """Patients of each diagnosis that models learn from."""
    n_valid: int = Field(default=3, ge=1)
    """Patients of each diagnosis that calibrate: temperatures, weights of the lineages, conformal sets."""
    n_test: int = Field(default=4, ge=1)
    """Patients of each diagnosis that are held out."""
    new_diagnoses: tuple[str, ...] = ("MDS", "MDS", "MPN")
    """Diagnoses that nobody learns, one for each patient who comes later."""
    one_kind: float = Field(default=0.15, ge=0, le=1)
    """Share of the patients of each part who have smears only, or expression only."""
    subtypes: bool = True
    """Draw smears of AML and APML as genetic subtypes with planted signs (cup-like nuclei, perinuclear hofs, bundles of
    Auer rods, ...), so that it is known which concepts there are to find and where."""
    n_sites: int = Field(default=4, ge=1)
    """Laboratories; the one of a patient, of smears and expression, does not depend on the diagnosis."""
    smears: SmearSettings = SmearSettings.load(None, {"n_images_per_patient": 16})
    """How smears are drawn."""
    expression: SimulationSettings = SimulationSettings.load(None, {"n_cells_per_donor": 100})
    """How expression is drawn."""

    @model_validator(mode="after")
    def _parts_the_diagnoses(self) -> Self:
        learned = set(self.diagnoses)
        if len(self.diagnoses) < 2 or len(learned) < len(self.diagnoses) or learned & set(self.new_diagnoses):
            raise ConfigError(
                "the diagnoses are no list of classes",
                seen=f"{', '.join(self.diagnoses)}; new: {', '.join(self.new_diagnoses)}",
                allowed="at least two, each once, and others for the new patients",
            )
        return self

    @property
    def n_patients(self) -> int:
        """Patients in all, the new ones among them."""
        return len(self.diagnoses) * (self.n_train + self.n_valid + self.n_test) + len(self.new_diagnoses)
