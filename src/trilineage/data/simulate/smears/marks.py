"""Small things in and on a white cell: granules, nucleoli, vacuoles, Auer rods, the pale zone beside the nucleus."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Marks = Float[np.ndarray, "_ 11"]

CYTOPLASM, NUCLEUS, BOTH = 1, 2, 3
"""Where a mark shows."""


class Granules(NamedTuple):
    """Stain of one kind of granules."""

    name: str
    """Name in the truth."""
    erased: float
    """Share of the dye beneath that a granule displaces."""
    eosin: float
    """Amount of eosin."""
    azure: float
    """Amount of azure."""
    purple: float
    """Amount of the purple complex."""
    over_nucleus: bool
    """Whether granules on the nucleus can be seen."""
    clustered: float = 0.0
    """Share of the radius by which granules draw together towards the middle."""


GRANULES: Mapping[str, Granules] = {
    kind.name: kind
    for kind in (
        Granules("none", 0.0, 0.0, 0.0, 0.0, False),
        Granules("neutrophilic", 0.0, 0.08, 0.0, 0.15, False),
        Granules("azurophilic", 0.35, 0.35, 0.0, 0.72, True),
        Granules("dust", 0.0, 0.04, 0.0, 0.22, False),
        Granules("eosinophilic", 0.7, 0.95, 0.0, 0.06, False),
        Granules("basophilic", 0.6, 0.0, 0.15, 1.05, True),
        Granules("dark", 0.85, 0.05, 0.35, 1.25, False),
        Granules("salmon", 0.85, 1.0, 0.0, 0.0, False),
        Granules("platelet", 0.0, 0.12, 0.0, 0.32, False, 0.35),
    )
}
"""Kinds of granules by name."""


def granule_marks(
    kind: str,
    n_granules: int,
    granule_um: float,
    outline: Float[np.ndarray, " direction"],
    random: np.random.Generator,
) -> Marks:
    """Scatter granules over a cell around the origin; those that fall on the nucleus show if their kind does."""
    stain = GRANULES[kind]
    marks = np.zeros((n_granules if kind != "none" else 0, 11))
    directions = random.integers(len(outline), size=len(marks))
    angles = directions * (2 * np.pi / len(outline))
    depth = random.random(len(marks)) ** (0.5 + 0.5 * stain.clustered)
    reach = np.maximum(outline[directions] - 0.6 * granule_um, 0.1) * (1 - stain.clustered)
    marks[:, 0], marks[:, 1] = depth * reach * np.cos(angles), depth * reach * np.sin(angles)
    marks[:, 2:4] = marks[:, :2]
    marks[:, 4] = 0.5 * granule_um * np.exp(0.18 * random.standard_normal(len(marks)))
    marks[:, 5] = 0.12
    strength = np.exp(0.22 * random.standard_normal(len(marks)))
    marks[:, 6] = stain.erased
    marks[:, 7:10] = strength[:, None] * (stain.eosin, stain.azure, stain.purple)
    marks[:, 10] = BOTH if stain.over_nucleus else CYTOPLASM
    return marks


def nucleolus_marks(
    count: int, centre: Float[np.ndarray, " 2"], radius_um: float, random: np.random.Generator
) -> Marks:
    """Place pale blue nucleoli in a nucleus of about this centre and radius, apart from each other."""
    marks = np.zeros((count, 11))
    turns = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / max(count, 1)
    depth = radius_um * random.uniform(0.15 if count == 1 else 0.35, 0.62, size=count)
    marks[:, 0], marks[:, 1] = centre[0] + depth * np.cos(turns), centre[1] + depth * np.sin(turns)
    marks[:, 2:4] = marks[:, :2] + random.uniform(-0.35, 0.35, size=(count, 2))
    marks[:, 4] = random.uniform(0.5, 0.85, size=count)
    marks[:, 5], marks[:, 6] = 0.35, 0.62
    marks[:, 8], marks[:, 10] = 0.22, NUCLEUS
    return marks


def vacuole_marks(count: int, outline: Float[np.ndarray, " direction"], random: np.random.Generator) -> Marks:
    """Scatter clear vacuoles over the outer part of a cell around the origin, a few of them on the nucleus."""
    marks = np.zeros((count, 11))
    directions = random.integers(len(outline), size=count)
    angles = directions * (2 * np.pi / len(outline))
    depth = outline[directions] * random.uniform(0.45, 0.85, size=count)
    marks[:, 0], marks[:, 1] = depth * np.cos(angles), depth * np.sin(angles)
    marks[:, 2:4] = marks[:, :2]
    marks[:, 4] = random.uniform(0.3, 0.65, size=count)
    marks[:, 5], marks[:, 6] = 0.2, 0.88
    marks[:, 10] = np.where(random.random(count) < 0.3, BOTH, CYTOPLASM)
    return marks


def rod_marks(count: int, outline: Float[np.ndarray, " direction"], random: np.random.Generator) -> Marks:
    """Lay Auer rods, thin red-purple needles, into the cytoplasm; many lie together in a bundle (a faggot)."""
    marks = np.zeros((count, 11))
    bundle = random.uniform(0, 2 * np.pi)
    turns = bundle + (0.45 if count > 2 else 1.2) * random.standard_normal(count)
    lengths = random.uniform(2.2, 4.2, size=count)
    middle = 0.80 * float(outline.mean())
    slants = turns + np.pi / 2 + 0.35 * random.standard_normal(count)
    x, y = middle * np.cos(turns), middle * np.sin(turns)
    half = 0.5 * lengths[:, None] * np.stack([np.cos(slants), np.sin(slants)], axis=1)
    marks[:, 0:2] = np.stack([x, y], axis=1) - half
    marks[:, 2:4] = np.stack([x, y], axis=1) + half
    marks[:, 4], marks[:, 5], marks[:, 6] = 0.17, 0.14, 0.6
    marks[:, 7], marks[:, 9], marks[:, 10] = 0.95, 0.75, BOTH
    return marks


def hof_marks(strength: float, centre: Float[np.ndarray, " 2"], radius_um: float) -> Marks:
    """Lighten the cytoplasm where the Golgi lies: between the nucleus and the far side of the cell."""
    if strength < 0.05:
        return np.empty((0, 11))
    off = float(np.hypot(*centre))
    direction = -centre / off if off > 0.05 else np.array([1.0, 0.0])
    x, y = centre + direction * 0.95 * radius_um
    return np.array(
        [[x, y, x, y, 0.36 * radius_um, 0.5 * radius_um, 0.75 * strength, 0.02, 0.0, 0.03, CYTOPLASM]]
    )
