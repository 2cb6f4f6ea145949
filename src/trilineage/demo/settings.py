"""Options of the demo, and what its two scales set."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.core.overrides import parse_assignment
from trilineage.data.simulate.cohort.settings import CohortSettings

Scale = Literal["small", "full"]

COHORTS: Mapping[str, Mapping[str, Any]] = {
    "small": {"expression.signal": 0.3, "smears.site_effect": 0.5},
    "full": {
        "n_train": 12,
        "n_valid": 6,
        "n_test": 10,
        "smears.n_images_per_patient": 40,
        "smears.site_effect": 0.5,
        "expression.signal": 0.3,
        "expression.n_cells_per_donor": 250,
        "expression.n_genes": 4_000,
    },
}
"""Sizes of the simulated cohort. The signal of the expression is weak enough that no lineage knows everything."""


class DemoSettings(Settings):
    """Options of the demo; those of a recipe are given as after `--set`, on top of what the scale sets."""

    scale: Scale = "small"
    """`small`: minutes on two cores; `full`: more patients, images, cells and latents, an hour or more."""
    data: str = ""
    """Folder of public data sets to tell the story on (`images/pbc_144`, `rna/bulk_all_multicohort`); empty: a
    simulated cohort whose truth is known."""
    seed: int = Field(default=0, ge=0)
    """The number every generator is derived from."""
    cohort: CohortSettings = CohortSettings()
    """The simulated cohort."""
    images: tuple[str, ...] = ()
    """Options of `images fit`."""
    concepts: tuple[str, ...] = ()
    """Options of `concepts fit`."""
    rna: tuple[str, ...] = ()
    """Options of `rna fit`."""
    cases: tuple[str, ...] = ()
    """Options of `cases fit`."""
    n_explained: int = Field(default=28, ge=1)
    """Images whose maps are scored against the cells."""
    per_patient: int = Field(default=4, ge=1)
    """Telling cells, and concepts, shown of each held-out patient."""

    @classmethod
    def of_scale(cls, scale: Scale, overrides: Mapping[str, Any] | None = None) -> Self:
        """Return the options of a scale, with others on top.

        Raises
        ------
        ConfigError
            If an option does not exist or a value cannot be used.
        """
        sizes = {f"cohort.{name}": value for name, value in COHORTS[scale].items()}
        return cls.load(None, {"scale": scale, **sizes, **(overrides or {})})

    def recipe(
        self, name: Literal["images", "concepts", "rna", "cases"], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the options of a recipe: those given, with what the user asked for on top."""
        return {**given, "seed": self.seed, **dict(parse_assignment(text) for text in getattr(self, name))}
