"""One white cell (or platelet) before it is painted: attributes of its patient, then outline, nucleus and marks."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, CELL_TYPES, COUNTED, HIGHEST, LOWEST
from trilineage.data.simulate.smears.marks import (
    Marks,
    granule_marks,
    hof_marks,
    nucleolus_marks,
    rod_marks,
    vacuole_marks,
)
from trilineage.data.simulate.smears.nuclei import Nucleus, draw_nucleus, middle_of
from trilineage.data.simulate.smears.patients import PatientTraits

N_DIRECTIONS = 96
"""Directions in which the radius of a cell is tabulated."""

_SPREADS = np.stack([cell_type.spreads() for cell_type in CELL_TYPES])
_PLACE = {name: place for place, name in enumerate(ATTRIBUTES)}
_HUGS_RED_CELLS = ("reactive_lymphocyte",)
_DARK_EDGE = {
    "reactive_lymphocyte": 0.75,
    "myeloblast": 0.3,
    "lymphoblast": 0.25,
    "promyelocyte": 0.2,
    "monoblast": 0.15,
}


class Planted(NamedTuple):
    """A concept that was planted into a cell."""

    concept: str
    """Its name."""
    notches: Float[np.ndarray, "notch 6"]
    """Capsules cut out of the nucleus."""
    marks: Float[np.ndarray, "mark 11"]
    """Marks laid over those of the cell."""


class WhiteCell(NamedTuple):
    """Everything the painter needs to know about one cell."""

    type_code: int
    """Position of its type in `CELL_TYPES`."""
    attributes: Float[np.ndarray, " attribute"]
    """Attributes as drawn; counts are whole numbers."""
    outline: Float[np.ndarray, " direction"]
    """Radius in micrometres by direction."""
    nucleus: Nucleus
    """Nucleus around the middle of the cell."""
    look: Float[np.ndarray, " look"]
    """Amounts of dye and textures, as `paint_white_cell` takes them."""
    marks: Float[np.ndarray, "mark 11"]
    """Granules and the like around the middle of the cell, as `paint_marks` takes them."""
    hugs_red_cells: bool
    """Whether red cells dent it."""
    planted: tuple[Planted, ...] = ()
    """Concepts, in the order in which they are painted; all else is as it is without them."""

    @property
    def reach_um(self) -> float:
        """Largest radius."""
        return float(self.outline.max())

    @property
    def area_um2(self) -> float:
        """Area of the cell."""
        return float(np.pi * np.mean(self.outline**2))

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of the planted concepts."""
        return tuple(one.concept for one in self.planted)

    @property
    def carved_nucleus(self) -> Nucleus:
        """Nucleus less what planted concepts cut out of it."""
        notches = [self.nucleus.notches, *(one.notches for one in self.planted)]
        return self.nucleus._replace(notches=np.concatenate(notches))

    @property
    def nucleus_um(self) -> float:
        """Radius of a disc of the nucleus's area."""
        return float(np.sqrt(self.attributes[_PLACE["nc_ratio"]] * self.area_um2 / np.pi))

    @property
    def nucleus_centre(self) -> Float[np.ndarray, " 2"]:
        """Middle of the nucleus, from the middle of the cell."""
        return middle_of(self.nucleus.bones)

    @property
    def name(self) -> str:
        """Cell type."""
        return CELL_TYPES[self.type_code].name


def draw_white_cell(traits: PatientTraits, type_code: int, random: np.random.Generator) -> WhiteCell:
    """Draw one cell of a type as this patient makes them."""
    cell_type = CELL_TYPES[type_code]
    attributes = draw_attributes(traits, type_code, random)
    value = dict(zip(ATTRIBUTES, attributes.tolist(), strict=True))
    radius = value["diameter_um"] / 2
    outline = draw_outline(radius, value["irregularity"], random)
    area = value["nc_ratio"] * np.pi * radius**2
    shape = draw_nucleus(
        cell_type.nucleus, area, round(value["n_lobes"]), value["nucleus_irregularity"], random
    )
    turn, off = random.uniform(0, 2 * np.pi), value["eccentricity"] * max(radius - np.sqrt(area / np.pi), 0.0)
    centre = 0.85 * off * np.array([np.cos(turn), np.sin(turn)])
    nucleus = shape._replace(
        bones=shape.bones + np.tile([*centre, 0.0], 2), notches=shape.notches + np.tile([*centre, 0.0], 2)
    )
    return WhiteCell(
        type_code=type_code,
        attributes=attributes,
        outline=outline,
        nucleus=nucleus,
        look=look_of(cell_type.name, value),
        marks=_marks(cell_type.granules, value, outline, centre, random),
        hugs_red_cells=cell_type.name in _HUGS_RED_CELLS,
    )


def draw_attributes(
    traits: PatientTraits, type_code: int, random: np.random.Generator
) -> Float[np.ndarray, " attribute"]:
    """Draw the attributes of one cell around the patient's means; counts are Poisson."""
    values = traits.means[type_code] + _SPREADS[type_code] * random.standard_normal(len(ATTRIBUTES))
    values = np.clip(values, LOWEST, HIGHEST)
    values[_PLACE["n_lobes"]] = round(values[_PLACE["n_lobes"]])
    for name in COUNTED:
        place = _PLACE[name]
        values[place] = min(random.poisson(values[place]), HIGHEST[place])
    if values[_PLACE["nc_ratio"]] == 0:
        values[_PLACE["n_lobes"]] = 0
    return values


def draw_outline(
    radius: float, irregularity: float, random: np.random.Generator
) -> Float[np.ndarray, " direction"]:
    """Draw the radius by direction, of the area of a disc of this radius."""
    angles = 2 * np.pi * np.arange(N_DIRECTIONS) / N_DIRECTIONS
    outline = np.ones(N_DIRECTIONS)
    for wave in range(2, 8):
        height = irregularity * 0.16 / wave**0.8 * random.standard_normal()
        outline += height * np.cos(wave * angles + random.uniform(0, 2 * np.pi))
    outline = np.clip(outline, 0.6, 1.35)
    return outline * radius / np.sqrt(np.mean(outline**2))


def look_of(name: str, value: dict[str, float]) -> Float[np.ndarray, " look"]:
    """Translate attributes to amounts of dye and textures."""
    chromatin = value["chromatin"]
    look = np.array(
        [
            0.03 + 0.42 * value["eosinophilia"],
            0.04 + 0.95 * value["basophilia"],
            0.03 + 0.04 * value["basophilia"],
            _DARK_EDGE.get(name, 0.08),
            0.14,
            0.8,
            0.62 + 0.48 * chromatin,
            0.14,
            0.17 + 0.38 * chromatin,
            0.50 + 0.80 * chromatin,
            0.12,
            0.3,
            0.35,
        ]
    )
    if name == "monocyte":
        look[4:6] = 0.24, 0.6
    if name == "erythroblast":
        look[6:10] = 1.25, 0.30, 0.25, 1.1
    if name == "smudge_cell":
        look[6:13] = 0.62, 0.06, 0.65, 1.5, 0.0, 1.6, 1.0
    if name == "platelet":
        look[2], look[4:6], look[12] = 0.12, (0.4, 0.6), 0.4
    return look


def _marks(
    granules: str,
    value: dict[str, float],
    outline: Float[np.ndarray, " direction"],
    centre: Float[np.ndarray, " 2"],
    random: np.random.Generator,
) -> Marks:
    """Draw everything small, in the order in which it is painted."""
    area = float(np.pi * np.mean(outline**2))
    nucleus_um = float(np.sqrt(value["nc_ratio"] * area / np.pi))
    n_granules = int(random.poisson(value["granule_density"] * area))
    return np.concatenate(
        [
            hof_marks(value["hof"], centre, nucleus_um),
            nucleolus_marks(round(value["n_nucleoli"]), centre, nucleus_um, random),
            granule_marks(granules, n_granules, value["granule_um"], outline, random),
            vacuole_marks(round(value["n_vacuoles"]), outline, random),
            rod_marks(round(value["n_auer_rods"]), outline, random),
        ]
    )
