"""What each diagnosis does to blood: its presentations, their mixtures of cell types and shifts of attributes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.core.errors import ConfigError
from trilineage.core.registry import nearest_remedy
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, NAMES

DIAGNOSES = ("normal", "reactive", "ALL", "AML", "APML", "CLL", "CML")
"""Leaves of the taxonomy `leukemia`, drawn by default."""

SYNONYMS: Mapping[str, str] = {"healthy": "normal", "control": "normal", "APL": "APML"}
"""Other names, such as the simulated expression uses, by which patients of a list may be called."""


class Presentation(NamedTuple):
    """One way in which a diagnosis shows itself in the blood."""

    diagnosis: str
    """Diagnosis it belongs to."""
    name: str
    """What it is called in the truth."""
    weight: float
    """Share of the patients with this diagnosis."""
    mixture: Mapping[str, float]
    """Share of each type among the white cells (and erythroblasts)."""
    shifts: Mapping[str, Mapping[str, float]] = {}
    """Shift of an attribute of a cell type, in standard deviations between cells."""
    red_cells: float = 1.0
    """Factor on the number of red cells."""
    platelets: float = 1.0
    """Factor on the number of platelets."""
    white_cells: float = 1.0
    """Factor on the number of white cells that lie beside the one in the middle."""


_TOXIC = {"basophilia": 2.0, "granule_um": 1.5, "granule_density": 1.5}

PRESENTATIONS = (
    Presentation(
        "normal",
        "normal",
        1.0,
        {
            "segmented_neutrophil": 0.57,
            "band_neutrophil": 0.04,
            "typical_lymphocyte": 0.28,
            "monocyte": 0.07,
            "eosinophil": 0.03,
            "basophil": 0.01,
        },
    ),
    Presentation(
        "reactive",
        "viral",
        0.6,
        {
            "reactive_lymphocyte": 0.36,
            "typical_lymphocyte": 0.24,
            "segmented_neutrophil": 0.26,
            "band_neutrophil": 0.04,
            "monocyte": 0.08,
            "eosinophil": 0.015,
            "basophil": 0.005,
        },
        white_cells=1.5,
    ),
    Presentation(
        "reactive",
        "left shift",
        0.4,
        {
            "segmented_neutrophil": 0.5,
            "band_neutrophil": 0.21,
            "metamyelocyte": 0.06,
            "myelocyte": 0.02,
            "typical_lymphocyte": 0.1,
            "reactive_lymphocyte": 0.03,
            "monocyte": 0.08,
        },
        shifts={
            "segmented_neutrophil": _TOXIC | {"n_vacuoles": 20.0},
            "band_neutrophil": _TOXIC | {"n_vacuoles": 20.0},
        },
        white_cells=2.0,
    ),
    Presentation(
        "ALL",
        "small blasts",
        0.65,
        {
            "lymphoblast": 0.7,
            "typical_lymphocyte": 0.15,
            "segmented_neutrophil": 0.09,
            "monocyte": 0.02,
            "erythroblast": 0.03,
            "smudge_cell": 0.01,
        },
        red_cells=0.7,
        platelets=0.3,
        white_cells=3.0,
    ),
    Presentation(
        "ALL",
        "large blasts",
        0.35,
        {
            "lymphoblast": 0.68,
            "typical_lymphocyte": 0.15,
            "segmented_neutrophil": 0.1,
            "monocyte": 0.03,
            "erythroblast": 0.03,
            "smudge_cell": 0.01,
        },
        shifts={"lymphoblast": {"diameter_um": 1.8, "nc_ratio": -1.5, "n_nucleoli": 2.5, "chromatin": -1.2}},
        red_cells=0.7,
        platelets=0.3,
        white_cells=3.0,
    ),
    Presentation(
        "AML",
        "with maturation",
        0.6,
        {
            "myeloblast": 0.55,
            "promyelocyte": 0.06,
            "myelocyte": 0.03,
            "segmented_neutrophil": 0.12,
            "typical_lymphocyte": 0.13,
            "monocyte": 0.05,
            "erythroblast": 0.04,
            "eosinophil": 0.02,
        },
        shifts={
            "myeloblast": {"n_auer_rods": 2.0, "granule_density": 1.0},
            "segmented_neutrophil": {"granule_density": -2.0, "n_lobes": -1.0},
        },
        red_cells=0.7,
        platelets=0.35,
        white_cells=2.5,
    ),
    Presentation(
        "AML",
        "without maturation",
        0.4,
        {
            "myeloblast": 0.75,
            "typical_lymphocyte": 0.12,
            "segmented_neutrophil": 0.05,
            "monocyte": 0.03,
            "erythroblast": 0.04,
            "smudge_cell": 0.01,
        },
        shifts={
            "myeloblast": {"diameter_um": -1.0, "nc_ratio": 1.0, "n_auer_rods": -1.0, "granule_density": -1.0}
        },
        red_cells=0.65,
        platelets=0.3,
        white_cells=3.0,
    ),
    Presentation(
        "APML",
        "hypergranular",
        0.75,
        {
            "atypical_promyelocyte": 0.62,
            "myeloblast": 0.05,
            "typical_lymphocyte": 0.17,
            "segmented_neutrophil": 0.1,
            "erythroblast": 0.04,
            "monocyte": 0.02,
        },
        red_cells=0.7,
        platelets=0.2,
        white_cells=1.2,
    ),
    Presentation(
        "APML",
        "microgranular",
        0.25,
        {
            "atypical_promyelocyte": 0.74,
            "myeloblast": 0.05,
            "typical_lymphocyte": 0.11,
            "segmented_neutrophil": 0.06,
            "erythroblast": 0.02,
            "monocyte": 0.02,
        },
        shifts={
            "atypical_promyelocyte": {
                "granule_density": -2.2,
                "granule_um": -3.0,
                "n_auer_rods": -2.4,
                "nc_ratio": 1.0,
            }
        },
        red_cells=0.7,
        platelets=0.2,
        white_cells=3.0,
    ),
    Presentation(
        "CLL",
        "typical",
        1.0,
        {
            "neoplastic_lymphocyte": 0.68,
            "typical_lymphocyte": 0.06,
            "smudge_cell": 0.14,
            "segmented_neutrophil": 0.09,
            "monocyte": 0.02,
            "reactive_lymphocyte": 0.01,
        },
        red_cells=0.9,
        platelets=0.8,
        white_cells=3.0,
    ),
    Presentation(
        "CML",
        "chronic phase",
        1.0,
        {
            "segmented_neutrophil": 0.33,
            "band_neutrophil": 0.16,
            "metamyelocyte": 0.1,
            "myelocyte": 0.15,
            "promyelocyte": 0.04,
            "myeloblast": 0.02,
            "basophil": 0.07,
            "eosinophil": 0.05,
            "typical_lymphocyte": 0.05,
            "monocyte": 0.02,
            "erythroblast": 0.01,
        },
        red_cells=0.85,
        platelets=1.6,
        white_cells=4.0,
    ),
    Presentation(
        "MDS",
        "excess blasts",
        1.0,
        {
            "segmented_neutrophil": 0.45,
            "band_neutrophil": 0.06,
            "myelocyte": 0.03,
            "typical_lymphocyte": 0.28,
            "monocyte": 0.08,
            "myeloblast": 0.05,
            "erythroblast": 0.03,
            "eosinophil": 0.01,
            "basophil": 0.01,
        },
        shifts={
            "segmented_neutrophil": {"granule_density": -4.0, "n_lobes": -2.0},
            "band_neutrophil": {"granule_density": -4.0},
        },
        red_cells=0.65,
        platelets=0.5,
        white_cells=0.6,
    ),
    Presentation(
        "MPN",
        "thrombocythaemia",
        1.0,
        {
            "segmented_neutrophil": 0.62,
            "band_neutrophil": 0.05,
            "typical_lymphocyte": 0.2,
            "monocyte": 0.06,
            "eosinophil": 0.03,
            "basophil": 0.03,
            "metamyelocyte": 0.01,
        },
        red_cells=1.1,
        platelets=4.0,
        white_cells=1.5,
    ),
)
"""Differential counts in the range of textbooks; no number was fitted to patients.

MDS and MPN are no leaves of the taxonomy of leukemia; they are here so that the patients of a simulated expression
study can have smears too."""

KNOWN = tuple(dict.fromkeys(presentation.diagnosis for presentation in PRESENTATIONS))
"""Diagnoses that can be drawn."""


def canonical(diagnosis: str) -> str:
    """Return the name used here for a diagnosis.

    Raises
    ------
    ConfigError
        If it cannot be drawn; the message has the nearest.

    Examples
    --------
    >>> canonical("healthy")
    'normal'
    """
    name = SYNONYMS.get(diagnosis, diagnosis)
    if name not in KNOWN:
        raise ConfigError(
            f"there is no diagnosis {diagnosis!r} to draw",
            allowed=", ".join((*KNOWN, *SYNONYMS)),
            remedy=nearest_remedy(diagnosis, (*KNOWN, *SYNONYMS)),
        )
    return name


def presentation_of(diagnosis: str, uniform: float) -> Presentation:
    """Return the presentation of a diagnosis that a number from 0 to 1 chooses, by their weights."""
    choices = [presentation for presentation in PRESENTATIONS if presentation.diagnosis == diagnosis]
    ends = np.cumsum([presentation.weight for presentation in choices])
    position = np.searchsorted(ends, uniform * ends[-1], side="right")
    return choices[min(int(position), len(choices) - 1)]


def mixture_of(presentation: Presentation) -> Float[np.ndarray, " cell_type"]:
    """Return the shares of all cell types, which sum to 1."""
    shares = np.array([presentation.mixture.get(name, 0.0) for name in NAMES])
    return shares / shares.sum()


def shifts_of(presentation: Presentation) -> Float[np.ndarray, "cell_type attribute"]:
    """Return the shifts of all attributes of all cell types, in standard deviations between cells."""
    empty: Mapping[str, float] = {}
    rows = [presentation.shifts.get(name, empty) for name in NAMES]
    return np.array([[row.get(attribute, 0.0) for attribute in ATTRIBUTES] for row in rows])
