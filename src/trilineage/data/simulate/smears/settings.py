"""Every choice of the simulated smears, with the reason for its default."""

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.core.registry import nearest_remedy
from trilineage.data.simulate.smears.cell_types import NAMES, UNNAMED, position_of
from trilineage.data.simulate.smears.diagnoses import AML_SUBTYPES, DIAGNOSES, canonical, concepts_of

CELL_FIELD_UM = 26.0
"""Side of an image of one cell: the largest cell with a ring of neighbours."""

SMALLEST_FIELD_UM = 23.0
"""The largest cell fits with a micrometre to spare on either side."""

FINEST_UM, COARSEST_UM = 0.02, 1.25
"""Sides of a pixel that make sense: below is nothing to see under a light microscope, above cells are a few pixels."""

MAX_PIXELS = 2_048
"""Longest side of an image."""


PRESETS: Mapping[str, tuple[str, ...]] = {"aml": (f"diagnoses={','.join(AML_SUBTYPES)}",)}
"""Options, as after `--set`, by the name of what they draw: genetic subtypes of AML with planted signs, and healthy
donors."""


class SmearSettings(Settings):
    """Options of the simulated smears; lengths in micrometres of the slide."""

    seed: int = Field(0, ge=0)
    """Names the world: sites, patients and cells. The same seed gives the same bytes."""
    signal: float = Field(1.0, ge=0.0, le=1.0)
    """How much a diagnosis does, from mixtures of cells to shifts of their attributes; at 0 everybody's blood is
    normal, and a patient's images are the same whatever the diagnosis."""
    background_signal: float = Field(0.0, ge=0.0, le=1.0)
    """How much a diagnosis shows outside the white cell (anaemia, platelets, number of white cells); at 0 all evidence
    lies inside the mask of the cell, and an explanation that points elsewhere is wrong."""
    planted: bool = True
    """Plant the signs of the genetic subtypes of AML into their cells (abnormal eosinophils, cup-like nuclei, bundles
    of Auer rods, ...); where they are stands in the truth. All else of an image is the same with them and without."""
    shared_mixture: bool = False
    """Everybody has the same mixture of cells, blasts, promyelocytes and eosinophils among them, whatever the
    diagnosis: planted concepts alone tell diagnoses apart, and without them nothing does."""
    product: Literal["cells", "fields"] = "cells"
    """Images of one labelled cell in the middle, or fields with many cells and their boxes."""
    label: Literal["diagnosis", "cell_type"] = "diagnosis"
    """What the column `label` of the manifest holds; the table has both. Cell types without a node in the taxonomy of
    white cells (smudge cells) have an empty label."""

    diagnoses: tuple[str, ...] = DIAGNOSES
    """Diagnoses of the patients; MDS, MPN and genetic subtypes of AML (CBFB::MYH11, NPM1, PML::RARA, RUNX1::RUNX1T1)
    can be drawn too."""
    n_patients_per_diagnosis: int = Field(12, ge=1)
    """Patients of each diagnosis: 12 leave three or four for testing, enough for an interval over patients."""
    first_patient: int = Field(0, ge=0)
    """Number of the first patient of each diagnosis: with 12, new patients of the same world as those of 0 to 11."""
    n_images_per_patient: int = Field(20, ge=1)
    """Images of each patient."""
    patients: str | None = None
    """CSV with the columns patient, diagnosis and, where known, site: the patients to draw instead of those above, for
    instance those of a simulated expression study."""
    cell_types: tuple[str, ...] = ()
    """If given, the cell in the middle is one of these types, all equally often, whatever the diagnosis: for tasks on
    cell types. Empty: by the patient's differential count."""

    size: int = Field(96, ge=16, le=MAX_PIXELS)
    """Side of the images in pixels."""
    field_um: float = Field(CELL_FIELD_UM, ge=SMALLEST_FIELD_UM, le=400.0)
    """Side of the images on the slide; a field of many cells needs 60 or more."""
    canvas_um: float = Field(0.14, ge=0.02, le=0.3)
    """Pixels of the canvas are at most this wide, about what the microscope resolves: small images are drawn larger and
    averaged, so that every size shows the same scene at about the same cost, up to that of their pixels."""
    n_white_cells: float = Field(6.0, gt=0.0, le=200.0)
    """Mean number of white cells in a field."""
    neighbours: float = Field(0.12, ge=0.0, le=3.0)
    """Mean number of other white cells in an image of one cell."""
    off_centre_um: float = Field(0.7, ge=0.0, le=3.0)
    """Standard deviation of the place of the labelled cell around the middle; the cell stays inside."""

    n_sites: int = Field(4, ge=1, le=1_000)
    """Laboratories, each with a stain, a microscope and a camera of its own."""
    site_effect: float = Field(1.0, ge=0.0, le=2.0)
    """How much laboratories differ; 0: not at all."""
    site_confounding: float = Field(0.0, ge=0.0, le=1.0)
    """Chance that a patient's laboratory follows from the diagnosis instead of being drawn; 0: it tells nothing, 1:
    each diagnosis comes from one laboratory."""
    patient_effect: float = Field(0.65, ge=0.0, le=3.0)
    """Standard deviation of a patient's own shift of every attribute against that between the patient's cells: .65
    gives the images of a patient a correlation of .3, as slides show."""
    stain_spread: float = Field(0.10, ge=0.0, le=1.0)
    """Standard deviation of the log amount of each dye between slides of one laboratory."""
    composition_concentration: float = Field(14.0, gt=0.0)
    """Concentration of the Dirichlet distribution of a patient's shares of cell types: at 14 a blast share of .7
    varies between patients by .12."""

    red_cell_density: float = Field(17.0, ge=0.0, le=40.0)
    """Red cells per 1,000 square micrometres of the slide."""
    platelet_density: float = Field(1.3, ge=0.0, le=40.0)
    """Platelets per 1,000 square micrometres."""
    blur_um: float = Field(0.16, ge=0.0, le=2.0)
    """Standard deviation of the microscope's blur; each laboratory and image has its own around it."""
    noise: float = Field(0.008, ge=0.0, le=0.2)
    """Standard deviation of the camera's noise in white, where the full scale is 1."""

    image_format: Literal["jpeg", "png"] = "jpeg"
    """Format of the files; JPEG by the quality of the laboratory, PNG without loss."""
    jpeg_quality: tuple[int, int] = (86, 95)
    """Lowest and highest quality; each laboratory has its own."""
    write_masks: bool = True
    """Write the masks beside the images."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        self._check_names()
        self._check_scale()
        self._check_combinations()
        return self

    @property
    def um_per_pixel(self) -> float:
        """Side of a pixel of the image."""
        return self.field_um / self.size

    @property
    def canvas_factor(self) -> int:
        """Pixels of the canvas per pixel of the image, along a side."""
        return math.ceil(self.um_per_pixel / self.canvas_um)

    @property
    def concepts(self) -> tuple[str, ...]:
        """Concepts of the diagnoses: the truth has a column for each, planted or not."""
        return concepts_of(self.diagnoses)

    @property
    def n_patients(self) -> int:
        """Patients in all, unless a list of patients is given."""
        return len(self.diagnoses) * self.n_patients_per_diagnosis

    def _check_names(self) -> None:
        names = [canonical(name) for name in self.diagnoses]
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                "the diagnoses are no list of different ones",
                seen=", ".join(self.diagnoses) or "none",
                allowed="each diagnosis once, at least one",
            )
        positions = [position_of(name) for name in self.cell_types]
        if len(set(positions)) < len(positions):
            raise ConfigError("a cell type is named twice", seen=", ".join(self.cell_types))

    def _check_scale(self) -> None:
        if not FINEST_UM <= self.um_per_pixel <= COARSEST_UM:
            raise ConfigError(
                "pixels of this size show nothing",
                seen=f"{self.field_um:g} um over {self.size} pixels: {self.um_per_pixel:.3g} um each",
                allowed=f"{FINEST_UM} to {COARSEST_UM} um",
                remedy="change size or field_um",
            )
        low, high = self.jpeg_quality
        if not 1 <= low <= high <= 100:
            raise ConfigError(
                "jpeg_quality is no range",
                seen=self.jpeg_quality,
                allowed="two numbers from 1 to 100, ascending",
            )

    def _check_combinations(self) -> None:
        area_um2 = self.field_um**2
        if self.product == "fields" and self.n_white_cells * 350 > area_um2 / 2:
            raise ConfigError(
                "so many white cells do not fit into a field",
                seen=f"{self.n_white_cells:g} in {self.field_um:g} x {self.field_um:g} um",
                allowed=f"at most {area_um2 / 700:.1f}",
                remedy="set a larger field_um or fewer n_white_cells",
            )
        if self.product == "fields" and self.label == "cell_type":
            raise ConfigError(
                "a field has no single cell type",
                seen="product = fields, label = cell_type",
                allowed="label = diagnosis with fields",
                remedy="the types of its cells are in truth.csv",
            )
        if self.site_confounding > 0 and self.n_sites < 2:
            raise ConfigError(
                "one site cannot be confounded with the diagnosis",
                seen=f"site_confounding = {self.site_confounding:g}, n_sites = 1",
                allowed="n_sites of 2 or more",
            )
        unnamed = set(self.cell_types) & set(UNNAMED)
        if self.label == "cell_type" and unnamed:
            raise ConfigError(
                "a cell type without a name in the taxonomy cannot be a class",
                seen=", ".join(sorted(unnamed)),
                allowed=", ".join(name for name in NAMES if name not in UNNAMED),
            )


def preset_options(name: str | None) -> tuple[str, ...]:
    """Return the options of a preset, as after `--set`; none for None.

    Raises
    ------
    ConfigError
        If there is no preset of this name.

    Examples
    --------
    >>> SmearSettings.load(None, preset_options("aml")).concepts[:2]
    ('dark_granules', 'cup_nucleus')
    """
    if name is not None and name not in PRESETS:
        raise ConfigError(
            f"there is no preset {name!r}",
            allowed=", ".join(PRESETS),
            remedy=nearest_remedy(name, tuple(PRESETS)),
        )
    return () if name is None else PRESETS[name]
