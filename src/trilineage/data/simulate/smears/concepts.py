"""Signs of genetic subtypes of AML that are planted into cells, so that it is known which cells show them and where."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.core.seeding import generator
from trilineage.data.simulate.smears.cells import Planted, WhiteCell
from trilineage.data.simulate.smears.marks import BOTH, Marks, granule_marks, hof_marks
from trilineage.data.simulate.smears.paint_kernels import nucleus_distance
from trilineage.data.simulate.smears.patients import PatientTraits
from trilineage.data.simulate.smears.scene import Scene
from trilineage.data.simulate.smears.settings import SmearSettings

Notches = Float[np.ndarray, "_ 6"]

_NO_NOTCH = np.empty((0, 6))
_NO_MARKS = np.empty((0, 11))


class Concept(NamedTuple):
    """One sign that a haematologist would name."""

    title: str
    """What it is, for people."""
    carriers: tuple[str, ...]
    """Cell types in which it is planted."""
    draw: Callable[[WhiteCell, np.random.Generator], tuple[Notches, Marks]]
    """Makes what is cut out of the nucleus and what is laid on the cell."""


def _dark_granules(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    return _NO_NOTCH, _beside_nucleus(cell, "dark", 8 + int(random.poisson(4)), 1.15, random)


def _cup_nucleus(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    """Cut a round pocket out of the edge, more than a third as wide as the nucleus and about as deep."""
    radius, turn = cell.nucleus_um, random.uniform(0, 2 * np.pi)
    width, bottom = radius * random.uniform(0.36, 0.48), radius * random.uniform(0.4, 0.6)
    return _notch(cell, turn, (1.15 * radius, 1.1 * width), (bottom, width)), _NO_MARKS


def _hypergranular(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    count = int(random.poisson(1.6 * cell.area_um2))
    return _NO_NOTCH, granule_marks("azurophilic", count, 0.5, cell.outline, random)


def _rod_bundle(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    return _NO_NOTCH, _rods(cell, int(random.integers(6, 10)), (2.6, 4.4), random)


def _perinuclear_hof(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    """Dent the nucleus where the cytoplasm is widest, and lighten what lies there."""
    radius = cell.nucleus_um
    wide = radius * random.uniform(0.7, 0.9)
    dent = _notch(cell, _widest(cell), (2.0 * radius, wide), (0.68 * radius + wide, wide))
    return dent, hof_marks(1.05, cell.nucleus_centre, 1.05 * radius)


def _salmon_granules(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    return _NO_NOTCH, _beside_nucleus(cell, "salmon", 16 + int(random.poisson(6)), 0.8, random)


def _single_rod(cell: WhiteCell, random: np.random.Generator) -> tuple[Notches, Marks]:
    return _NO_NOTCH, _rods(cell, 1, (4.5, 6.5), random)


_BLAST, _PROMYELOCYTES = ("myeloblast",), ("promyelocyte", "atypical_promyelocyte")

CONCEPTS: Mapping[str, Concept] = {
    "dark_granules": Concept("large dark violet granules in an eosinophil", ("eosinophil",), _dark_granules),
    "cup_nucleus": Concept("cup-like invagination of the nucleus", _BLAST, _cup_nucleus),
    "hypergranular": Concept("cytoplasm crowded with azurophilic granules", _PROMYELOCYTES, _hypergranular),
    "rod_bundle": Concept("bundle of Auer rods (faggot cell)", _PROMYELOCYTES, _rod_bundle),
    "perinuclear_hof": Concept("pale zone beside the nucleus of a blast", _BLAST, _perinuclear_hof),
    "salmon_granules": Concept("salmon-coloured granules in a blast", _BLAST, _salmon_granules),
    "single_rod": Concept("single long Auer rod", _BLAST, _single_rod),
}
"""Concepts by name, in the order in which they are painted and listed."""


def column_of(concept: str) -> str:
    """Return the column of the truth that says whether a cell has a concept."""
    return f"has_{concept}"


def with_concepts(scene: Scene, settings: SmearSettings, traits: PatientTraits, number: int) -> Scene:
    """Plant the patient's concepts into the labelled cells of image `number`; all else stays as it was.

    Whether a cell gets a concept, and what it looks like there, comes from a stream of its own.
    """
    if not traits.concepts:
        return scene
    first = 0 if settings.product == "fields" else len(scene.white_cells) - 1
    cells = list(scene.white_cells)
    for position in range(first, len(cells)):
        centre, cell = cells[position]
        words = ("smears", "concept", traits.name, number, position - first)
        cells[position] = centre, _planted(cell, traits.concepts, settings.seed, words)
    return scene._replace(white_cells=tuple(cells))


def _planted(
    cell: WhiteCell, shares: Mapping[str, float], seed: int, words: tuple[str | int, ...]
) -> WhiteCell:
    """Return the cell with the concepts that fall to it."""
    found = []
    for name, concept in CONCEPTS.items():
        if name in shares and cell.name in concept.carriers:
            random = generator(seed, *words, name)
            if random.random() < shares[name]:
                found.append(Planted(name, *concept.draw(cell, random)))
    return cell._replace(planted=tuple(found))


def _widest(cell: WhiteCell) -> float:
    """Return the direction in which the cytoplasm is widest: away from the nucleus."""
    x, y = cell.nucleus_centre
    return float(np.arctan2(-y, -x))


def _notch(cell: WhiteCell, turn: float, outer: tuple[float, float], inner: tuple[float, float]) -> Notches:
    """Return a capsule that comes from a direction; its ends are (distance from the nucleus's middle, radius)."""
    direction = np.array([np.cos(turn), np.sin(turn)])
    ends = [[*(cell.nucleus_centre + distance * direction), radius] for distance, radius in (outer, inner)]
    return np.array([[*ends[0], *ends[1]]])


def _beside_nucleus(
    cell: WhiteCell, kind: str, count: int, granule_um: float, random: np.random.Generator
) -> Marks:
    """Scatter granules over the cytoplasm: of many all over the cell, the first that lie beside the nucleus."""
    marks = granule_marks(kind, 12 * count, granule_um, cell.outline, random)
    lies_beside = [nucleus_distance(x, y, tuple(cell.nucleus)) > 0.2 for x, y in marks[:, :2]]
    return marks[lies_beside][:count]


def _rods(cell: WhiteCell, count: int, lengths_um: tuple[float, float], random: np.random.Generator) -> Marks:
    """Lay Auer rods along the edge of the nucleus where the cytoplasm is widest; several cross each other."""
    is_bundle = count > 1
    turns = _widest(cell) + (0.25 if is_bundle else 0.5) * random.standard_normal(count)
    directions = (turns / (2 * np.pi) * len(cell.outline)).round().astype(int) % len(cell.outline)
    normals = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    inner = cell.nucleus_centre @ normals.T + cell.nucleus_um
    middle = np.maximum(0.5 * (inner + cell.outline[directions]), 0.78 * cell.outline[directions])
    slants = turns + np.pi / 2 + (0.35 if is_bundle else 0.12) * random.standard_normal(count)
    along = np.stack([np.cos(slants), np.sin(slants)], axis=1)
    half = 0.5 * random.uniform(*lengths_um, size=(count, 1)) * along
    marks = np.zeros((count, 11))
    marks[:, 0:2], marks[:, 2:4] = middle[:, None] * normals - half, middle[:, None] * normals + half
    marks[:, 4:] = 0.22, 0.14, 0.85, 1.25, 0.0, 0.55, BOTH
    return marks
