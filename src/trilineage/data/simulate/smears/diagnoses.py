"""What each diagnosis does to blood: its presentations, their mixtures of cell types and shifts of attributes."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.core.errors import ConfigError
from trilineage.core.registry import nearest_remedy
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, NAMES

DIAGNOSES = ("normal", "reactive", "ALL", "AML", "APML", "CLL", "CML")
"""Leaves of the taxonomy `leukemia`, drawn by default."""

AML_SUBTYPES = ("CBFB::MYH11", "NPM1", "PML::RARA", "RUNX1::RUNX1T1", "control")
"""Genetic subtypes of AML with a sign of their own, and healthy donors."""

SYNONYMS: Mapping[str, str] = {
    "healthy": "normal",
    "control": "normal",
    "APL": "APML",
    "CBFB_MYH11": "CBFB::MYH11",
    "PML_RARA": "PML::RARA",
    "RUNX1_RUNX1T1": "RUNX1::RUNX1T1",
}
"""Other names, such as the simulated expression uses, by which patients of a list may be called."""


class Presentation(NamedTuple):
    """One way in which a diagnosis shows itself in the blood."""

    diagnosis: str
    """Diagnosis it belongs to."""
    name: str
    """What it is called in the truth."""
    mixture: Mapping[str, float]
    """Share of each type among the white cells (and erythroblasts)."""
    weight: float = 1.0
    """Share of the patients with this diagnosis."""
    shifts: Mapping[str, Mapping[str, float]] = {}
    """Shift of an attribute of a cell type, in standard deviations between cells."""
    red_cells: float = 1.0
    """Factor on the number of red cells."""
    platelets: float = 1.0
    """Factor on the number of platelets."""
    white_cells: float = 1.0
    """Factor on the number of white cells that lie beside the one in the middle."""
    concepts: Mapping[str, float] = {}
    """Share of the cells that can carry a planted concept which do, by the name of the concept."""


def _read_presentations() -> tuple[tuple[Presentation, ...], Presentation]:
    table = files("trilineage.data.simulate.smears") / "presentations.toml"
    values = tomllib.loads(table.read_text("utf-8"))
    return tuple(Presentation(**row) for row in values["presentation"]), Presentation(**values["shared"])


PRESENTATIONS, SHARED_BLOOD = _read_presentations()
"""Differential counts and shifts of `presentations.toml`, and the blood of everybody where it is shared."""

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


def concepts_of(diagnoses: Iterable[str]) -> tuple[str, ...]:
    """Return the concepts that can be planted in the blood of any of these diagnoses, in the order of the table.

    Examples
    --------
    >>> concepts_of(["control", "NPM1"])
    ('cup_nucleus',)
    """
    names = {canonical(name) for name in diagnoses}
    found = [presentation.concepts for presentation in PRESENTATIONS if presentation.diagnosis in names]
    return tuple(dict.fromkeys(concept for concepts in found for concept in concepts))


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
