"""What cells of each kind look like: the typical value and the spread of every attribute a haematologist would name."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.core.errors import ConfigError
from trilineage.core.registry import nearest_remedy

ATTRIBUTES = (
    "diameter_um",
    "nc_ratio",
    "n_lobes",
    "chromatin",
    "n_nucleoli",
    "basophilia",
    "eosinophilia",
    "granule_density",
    "granule_um",
    "n_vacuoles",
    "n_auer_rods",
    "irregularity",
    "nucleus_irregularity",
    "eccentricity",
    "hof",
)
"""Attributes with a mean and a spread, in the order of every array of them; `ATTRIBUTE_WORDS` says what each is."""

ATTRIBUTE_WORDS: Mapping[str, str] = {
    "diameter_um": "diameter of a disc of the cell's area, in micrometres",
    "nc_ratio": "area of the nucleus over the area of the cell, from 0 to 1",
    "n_lobes": "lobes of the nucleus",
    "chromatin": "from 0 (fine, as in blasts) to 1 (dense clumps)",
    "n_nucleoli": "nucleoli that can be seen",
    "basophilia": "blue of the cytoplasm, from 0 to 1",
    "eosinophilia": "pink of the cytoplasm, from 0 to 1",
    "granule_density": "granules per square micrometre of the cell",
    "granule_um": "diameter of a granule, in micrometres",
    "n_vacuoles": "vacuoles",
    "n_auer_rods": "Auer rods",
    "irregularity": "unevenness of the cell's outline, from 0 to 1",
    "nucleus_irregularity": "folds and dents of the nucleus, from 0 to 1",
    "eccentricity": "how far the nucleus lies off the middle, from 0 to 1",
    "hof": "pale zone beside the nucleus, from 0 to 1",
}
"""What each attribute is, with its unit and range."""

COUNTED = ("n_nucleoli", "n_vacuoles", "n_auer_rods")
"""Attributes whose value is the mean of a Poisson number."""

_LEAST = {"diameter_um": 2.0, "n_lobes": 1.0, "granule_um": 0.12}
_MOST = {
    "diameter_um": 21.0,
    "nc_ratio": 0.93,
    "n_lobes": 5.0,
    "n_nucleoli": 5.0,
    "granule_density": 5.0,
    "granule_um": 1.2,
    "n_vacuoles": 9.0,
    "n_auer_rods": 9.0,
}

LOWEST: Float[np.ndarray, " attribute"] = np.array([_LEAST.get(name, 0.0) for name in ATTRIBUTES])
"""Least value of each attribute."""
HIGHEST: Float[np.ndarray, " attribute"] = np.array([_MOST.get(name, 1.0) for name in ATTRIBUTES])
"""Greatest value of each attribute."""


class CellType(NamedTuple):
    """One kind of cell."""

    name: str
    """Name, as in the taxonomy `white_cells`."""
    nucleus: str
    """Plan of the nucleus, one of those in `nuclei.PLANS`."""
    granules: str
    """Stain of the granules, one of those in `granules.GRANULES`."""
    typical: Mapping[str, tuple[float, float]]
    """Mean and standard deviation between cells, by attribute; what is not named is 0."""

    def means(self) -> Float[np.ndarray, " attribute"]:
        """Return the mean of every attribute."""
        return np.array([self.typical.get(name, (0.0, 0.0))[0] for name in ATTRIBUTES])

    def spreads(self) -> Float[np.ndarray, " attribute"]:
        """Return the standard deviation of every attribute between cells."""
        return np.array([self.typical.get(name, (0.0, 0.0))[1] for name in ATTRIBUTES])


def _cell_type(name: str, nucleus: str, granules: str, **typical: tuple[float, float]) -> CellType:
    return CellType(name, nucleus, granules, {"n_lobes": (1.0, 0.0), "granule_um": (0.3, 0.0)} | typical)


CELL_TYPES = (
    _cell_type(
        "segmented_neutrophil",
        "segmented",
        "neutrophilic",
        diameter_um=(13.0, 0.8),
        nc_ratio=(0.33, 0.03),
        n_lobes=(3.4, 0.7),
        chromatin=(0.85, 0.07),
        basophilia=(0.04, 0.02),
        eosinophilia=(0.3, 0.08),
        granule_density=(2.2, 0.4),
        granule_um=(0.28, 0.03),
        n_vacuoles=(0.05, 0.02),
        irregularity=(0.12, 0.05),
        eccentricity=(0.15, 0.1),
    ),
    _cell_type(
        "band_neutrophil",
        "band",
        "neutrophilic",
        diameter_um=(13.3, 0.8),
        nc_ratio=(0.37, 0.03),
        chromatin=(0.75, 0.07),
        basophilia=(0.06, 0.03),
        eosinophilia=(0.28, 0.08),
        granule_density=(2.2, 0.4),
        granule_um=(0.28, 0.03),
        n_vacuoles=(0.05, 0.02),
        irregularity=(0.12, 0.05),
        nucleus_irregularity=(0.2, 0.1),
        eccentricity=(0.1, 0.08),
    ),
    _cell_type(
        "metamyelocyte",
        "kidney",
        "neutrophilic",
        diameter_um=(14.3, 0.8),
        nc_ratio=(0.45, 0.04),
        chromatin=(0.62, 0.08),
        basophilia=(0.12, 0.04),
        eosinophilia=(0.25, 0.07),
        granule_density=(2.0, 0.4),
        granule_um=(0.29, 0.03),
        irregularity=(0.12, 0.05),
        nucleus_irregularity=(0.2, 0.1),
        eccentricity=(0.4, 0.15),
    ),
    _cell_type(
        "myelocyte",
        "oval",
        "neutrophilic",
        diameter_um=(15.2, 0.9),
        nc_ratio=(0.52, 0.04),
        chromatin=(0.5, 0.08),
        n_nucleoli=(0.1, 0.05),
        basophilia=(0.26, 0.07),
        eosinophilia=(0.2, 0.06),
        granule_density=(1.7, 0.4),
        granule_um=(0.32, 0.04),
        irregularity=(0.12, 0.05),
        nucleus_irregularity=(0.15, 0.08),
        eccentricity=(0.55, 0.15),
        hof=(0.3, 0.15),
    ),
    _cell_type(
        "promyelocyte",
        "oval",
        "azurophilic",
        diameter_um=(17.0, 1.0),
        nc_ratio=(0.58, 0.05),
        chromatin=(0.28, 0.07),
        n_nucleoli=(1.5, 0.5),
        basophilia=(0.55, 0.1),
        eosinophilia=(0.08, 0.04),
        granule_density=(0.8, 0.25),
        granule_um=(0.46, 0.06),
        irregularity=(0.13, 0.05),
        nucleus_irregularity=(0.15, 0.08),
        eccentricity=(0.55, 0.15),
        hof=(0.7, 0.15),
    ),
    _cell_type(
        "atypical_promyelocyte",
        "bilobed",
        "azurophilic",
        diameter_um=(16.6, 1.2),
        nc_ratio=(0.54, 0.06),
        n_lobes=(1.9, 0.4),
        chromatin=(0.26, 0.07),
        n_nucleoli=(0.8, 0.4),
        basophilia=(0.38, 0.1),
        eosinophilia=(0.2, 0.08),
        granule_density=(2.2, 0.6),
        granule_um=(0.44, 0.06),
        n_auer_rods=(2.6, 0.8),
        irregularity=(0.25, 0.08),
        nucleus_irregularity=(0.4, 0.15),
        eccentricity=(0.2, 0.15),
    ),
    _cell_type(
        "eosinophil",
        "segmented",
        "eosinophilic",
        diameter_um=(13.8, 0.8),
        nc_ratio=(0.30, 0.03),
        n_lobes=(2.1, 0.35),
        chromatin=(0.8, 0.07),
        basophilia=(0.12, 0.05),
        eosinophilia=(0.3, 0.08),
        granule_density=(2.3, 0.3),
        granule_um=(0.75, 0.06),
        irregularity=(0.12, 0.05),
        eccentricity=(0.35, 0.15),
    ),
    _cell_type(
        "basophil",
        "lobulated",
        "basophilic",
        diameter_um=(12.3, 0.8),
        nc_ratio=(0.44, 0.05),
        n_lobes=(2.4, 0.6),
        chromatin=(0.6, 0.1),
        basophilia=(0.15, 0.06),
        eosinophilia=(0.12, 0.05),
        granule_density=(0.85, 0.2),
        granule_um=(0.85, 0.1),
        irregularity=(0.12, 0.05),
        eccentricity=(0.15, 0.1),
    ),
    _cell_type(
        "monocyte",
        "folded",
        "dust",
        diameter_um=(16.6, 1.2),
        nc_ratio=(0.50, 0.05),
        chromatin=(0.42, 0.08),
        n_nucleoli=(0.05, 0.02),
        basophilia=(0.34, 0.07),
        eosinophilia=(0.1, 0.05),
        granule_density=(1.6, 0.5),
        granule_um=(0.2, 0.02),
        n_vacuoles=(1.8, 0.7),
        irregularity=(0.52, 0.14),
        nucleus_irregularity=(0.5, 0.15),
        eccentricity=(0.25, 0.15),
    ),
    _cell_type(
        "typical_lymphocyte",
        "round",
        "azurophilic",
        diameter_um=(9.8, 0.9),
        nc_ratio=(0.76, 0.06),
        chromatin=(0.72, 0.08),
        n_nucleoli=(0.04, 0.02),
        basophilia=(0.42, 0.1),
        eosinophilia=(0.04, 0.02),
        granule_density=(0.03, 0.03),
        granule_um=(0.42, 0.05),
        irregularity=(0.15, 0.07),
        nucleus_irregularity=(0.12, 0.08),
        eccentricity=(0.35, 0.2),
    ),
    _cell_type(
        "reactive_lymphocyte",
        "indented",
        "azurophilic",
        diameter_um=(16.2, 1.7),
        nc_ratio=(0.46, 0.07),
        chromatin=(0.5, 0.1),
        n_nucleoli=(0.5, 0.3),
        basophilia=(0.55, 0.13),
        eosinophilia=(0.03, 0.02),
        granule_density=(0.05, 0.04),
        granule_um=(0.42, 0.05),
        n_vacuoles=(0.4, 0.2),
        irregularity=(0.62, 0.15),
        nucleus_irregularity=(0.4, 0.15),
        eccentricity=(0.4, 0.2),
        hof=(0.35, 0.15),
    ),
    _cell_type(
        "neoplastic_lymphocyte",
        "round",
        "none",
        diameter_um=(9.6, 0.7),
        nc_ratio=(0.84, 0.04),
        chromatin=(0.97, 0.05),
        n_nucleoli=(0.03, 0.02),
        basophilia=(0.3, 0.08),
        eosinophilia=(0.03, 0.02),
        irregularity=(0.1, 0.05),
        nucleus_irregularity=(0.1, 0.06),
        eccentricity=(0.25, 0.15),
    ),
    _cell_type(
        "myeloblast",
        "round",
        "azurophilic",
        diameter_um=(15.6, 1.4),
        nc_ratio=(0.73, 0.05),
        chromatin=(0.12, 0.06),
        n_nucleoli=(2.6, 0.7),
        basophilia=(0.52, 0.1),
        eosinophilia=(0.04, 0.02),
        granule_density=(0.06, 0.05),
        granule_um=(0.42, 0.05),
        n_auer_rods=(0.3, 0.12),
        irregularity=(0.15, 0.06),
        nucleus_irregularity=(0.2, 0.1),
        eccentricity=(0.4, 0.2),
    ),
    _cell_type(
        "lymphoblast",
        "cleft",
        "none",
        diameter_um=(12.4, 1.2),
        nc_ratio=(0.85, 0.04),
        chromatin=(0.3, 0.08),
        n_nucleoli=(0.7, 0.4),
        basophilia=(0.5, 0.1),
        eosinophilia=(0.03, 0.02),
        n_vacuoles=(0.15, 0.1),
        irregularity=(0.13, 0.06),
        nucleus_irregularity=(0.35, 0.15),
        eccentricity=(0.25, 0.15),
    ),
    _cell_type(
        "erythroblast",
        "round",
        "none",
        diameter_um=(10.2, 1.0),
        nc_ratio=(0.42, 0.07),
        chromatin=(0.97, 0.05),
        basophilia=(0.34, 0.14),
        eosinophilia=(0.42, 0.15),
        irregularity=(0.15, 0.07),
        nucleus_irregularity=(0.05, 0.03),
        eccentricity=(0.35, 0.2),
        hof=(0.1, 0.1),
    ),
    _cell_type(
        "smudge_cell",
        "smeared",
        "none",
        diameter_um=(14.0, 1.8),
        nc_ratio=(0.93, 0.0),
        chromatin=(0.3, 0.1),
        n_nucleoli=(0.2, 0.1),
        irregularity=(0.9, 0.1),
        nucleus_irregularity=(0.9, 0.1),
    ),
    _cell_type(
        "platelet",
        "none",
        "platelet",
        diameter_um=(2.9, 0.5),
        basophilia=(0.1, 0.04),
        eosinophilia=(0.15, 0.05),
        granule_density=(3.2, 0.6),
        granule_um=(0.32, 0.03),
        irregularity=(0.5, 0.2),
    ),
    _cell_type(
        "monoblast",
        "indented",
        "dust",
        diameter_um=(17.2, 1.3),
        nc_ratio=(0.62, 0.05),
        chromatin=(0.16, 0.06),
        n_nucleoli=(1.6, 0.5),
        basophilia=(0.44, 0.08),
        eosinophilia=(0.06, 0.03),
        granule_density=(0.7, 0.3),
        granule_um=(0.22, 0.02),
        n_vacuoles=(0.8, 0.4),
        irregularity=(0.35, 0.1),
        nucleus_irregularity=(0.35, 0.12),
        eccentricity=(0.3, 0.15),
    ),
)
"""Kinds of cells that can be drawn in the middle of an image; new ones go last, where they change no stream."""

NAMES = tuple(cell_type.name for cell_type in CELL_TYPES)
"""Their names, in the order of every array of shares."""

BLASTS = ("myeloblast", "lymphoblast", "atypical_promyelocyte", "monoblast")
"""Types that count as blasts or their equivalents in a patient's blast share."""

UNNAMED = ("smudge_cell",)
"""Types for which taxonomies of cells have no node: as a label they are written as an empty text."""

_POSITIONS = {name: position for position, name in enumerate(NAMES)}


def position_of(name: str) -> int:
    """Return the position of a cell type.

    Raises
    ------
    ConfigError
        If there is none of this name; the message has the nearest.
    """
    if name not in _POSITIONS:
        raise ConfigError(
            f"there is no cell type {name!r} to draw",
            allowed=", ".join(NAMES),
            remedy=nearest_remedy(name, NAMES),
        )
    return _POSITIONS[name]
