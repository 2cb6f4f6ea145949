"""Plans of nuclei: lobes, bands, kidneys and clefts as capsules, brought to the area that the N:C ratio asks for."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.data.simulate.smears.paint_kernels import nucleus_area

Bones = Float[np.ndarray, "_ 6"]
Plan = Callable[[int, float, np.random.Generator], tuple[Bones, Bones, float]]


class Nucleus(NamedTuple):
    """Shape of one nucleus around the origin, in micrometres."""

    bones: Float[np.ndarray, "bone 6"]
    """Capsules whose union it is: x, y and radius of one end, then of the other."""
    notches: Float[np.ndarray, "notch 6"]
    """Capsules that are cut out."""
    smoothness: float
    """How far apart two capsules may be and still melt together."""
    warp: float
    """Height of the folds of the edge."""
    warp_um: float
    """Width of the folds."""
    key: int
    """Key of the noise that makes folds and chromatin."""

    def reach(self) -> float:
        """Return the radius of a circle around the origin that holds it."""
        ends = np.concatenate([self.bones[:, :3], self.bones[:, 3:]]) if len(self.bones) else np.zeros((1, 3))
        return float((np.hypot(ends[:, 0], ends[:, 1]) + ends[:, 2]).max()) + self.warp

    def scaled(self, factor: float) -> "Nucleus":
        """Return the same shape, larger or smaller."""
        return Nucleus(
            self.bones * factor,
            self.notches * factor,
            self.smoothness * factor,
            self.warp * factor,
            self.warp_um * factor,
            self.key,
        )


NO_NUCLEUS = Nucleus(np.empty((0, 6)), np.empty((0, 6)), 1.0, 0.0, 1.0, 0)
"""What a platelet has."""


def draw_nucleus(
    plan: str, area_um2: float, n_lobes: int, irregularity: float, random: np.random.Generator
) -> Nucleus:
    """Draw a nucleus by its plan, turned at random, of the given area before the cell's edge clips it."""
    key = int(random.integers(2**31))
    if plan == "none":
        return NO_NUCLEUS
    bones, notches, smoothness = PLANS[plan](n_lobes, irregularity, random)
    shape = Nucleus(bones, notches, smoothness, 0.03 + 0.22 * irregularity * _fold(plan), 0.9, key)
    shape = _turned(_centred(shape), random.uniform(0, 2 * np.pi))
    reach = shape.reach()
    area = nucleus_area(tuple(shape), reach, reach / 18)
    return shape.scaled(np.sqrt(area_um2 / max(area, 1e-6)))


# ---- plans, in units of about one radius ----------------------------------------------------------------------------


def _round(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    half = random.uniform(0.0, 0.12) + 0.2 * irregularity * random.random()
    bones = np.array([[-half, 0, 1, half, 0, 1 - 0.3 * irregularity * random.random()]])
    return bones, _EMPTY, 0.3


def _oval(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    half = random.uniform(0.2, 0.45)
    bones = np.array([[-half, 0, 0.9, half, 0, random.uniform(0.75, 0.95)]])
    return bones, _EMPTY, 0.3


def _cleft(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    bones, _, smoothness = _round(n_lobes, irregularity, random)
    if random.random() > 0.25 + irregularity:
        return bones, _EMPTY, smoothness
    depth, side = random.uniform(0.3, 0.75), random.uniform(-0.4, 0.4)
    notch = np.array([[side, 1.25, random.uniform(0.03, 0.10), side * 0.5, 1 - depth, 0.01]])
    return bones, notch, smoothness


def _indented(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    half = random.uniform(0.1, 0.4)
    bones = np.array([[-half, 0, 0.95, half, random.uniform(-0.2, 0.2), 0.85]])
    if random.random() > 0.35 + irregularity:
        return bones, _EMPTY, 0.3
    place = random.uniform(-0.3, 0.3)
    return bones, np.array([[place, 1.5, 0.55, place, 1.15, 0.35]]), 0.3


def _kidney(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    span = np.deg2rad(random.uniform(95, 145))
    return _arc(span, 0.75, np.array([0.62, 0.56, 0.52, 0.56, 0.62]), random), _EMPTY, 0.35


def _band(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    span = np.deg2rad(random.uniform(150, 270))
    middle = random.uniform(0.24, 0.32)
    widths = np.interp(np.linspace(-1, 1, 8), [-1, -0.3, 0.3, 1], [0.36, middle, middle, 0.36])
    bones = _arc(span, 0.95, widths, random)
    if random.random() < 0.25:  # S instead of C: the second half bends the other way
        bones = _bent_back(bones)
    return bones, _EMPTY, 0.2


def _folded(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    span = np.deg2rad(random.uniform(110, 230))
    widths = random.uniform(0.52, 0.72, size=4)
    bones = _arc(span, random.uniform(0.5, 0.75), widths, random)
    turn, side = random.uniform(0, 2 * np.pi), random.uniform(0.75, 1.05)
    fold = np.array(
        [1.6 * np.cos(turn), 1.6 * np.sin(turn), 0.3, side * np.cos(turn), side * np.sin(turn), 0.02]
    )
    return bones, fold[None], 0.3


def _segmented(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    if n_lobes == 1:
        return _kidney(1, irregularity, random)
    span = np.deg2rad({2: 130, 3: 190, 4: 235, 5: 270}[n_lobes] * random.uniform(0.85, 1.15))
    ring = {2: 0.85, 3: 1.0, 4: 1.1, 5: 1.2}[n_lobes]
    return _lobes(n_lobes, span, ring, 0.09, random), _EMPTY, 0.14


def _lobulated(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    count = max(n_lobes, 2)
    return _lobes(count, np.deg2rad(70 + 45 * count), 0.75, 0.3, random), _EMPTY, 0.25


def _bilobed(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    if n_lobes == 1:
        return _indented(1, irregularity, random)
    half, tilt = random.uniform(0.62, 0.85), random.uniform(0.1, 0.35)
    left, right = random.uniform(0.55, 0.72, size=2)
    lobes = [
        [-half, tilt, left, -half * 0.8, -tilt, left * 0.9],
        [half, tilt, right, half * 0.8, -tilt, right * 0.9],
    ]
    bridge = [-half, 0.1, 0.3, half, 0.1, 0.3]
    return np.array([*lobes, bridge]), _EMPTY, 0.2


def _smeared(n_lobes: int, irregularity: float, random: np.random.Generator) -> tuple[Bones, Bones, float]:
    turns = np.sort(random.uniform(0, 2 * np.pi, size=int(random.integers(3, 7))))
    lengths = random.uniform(0.5, 1.4, size=len(turns))
    rays = [
        [0, 0, 0.75, length * np.cos(turn), length * np.sin(turn), random.uniform(0.12, 0.5)]
        for turn, length in zip(turns, lengths, strict=True)
    ]
    return np.array(rays), _EMPTY, 0.5


PLANS: Mapping[str, Plan] = {
    "round": _round,
    "oval": _oval,
    "cleft": _cleft,
    "indented": _indented,
    "kidney": _kidney,
    "band": _band,
    "folded": _folded,
    "segmented": _segmented,
    "lobulated": _lobulated,
    "bilobed": _bilobed,
    "smeared": _smeared,
}
"""Function of each plan: number of lobes, irregularity and generator to bones, notches and smoothness."""

_EMPTY = np.empty((0, 6))


def _arc(span: float, ring: float, widths: Float[np.ndarray, " end"], random: np.random.Generator) -> Bones:
    """Lay capsules along an arc of a circle; `widths` are the radii at their ends."""
    angles = np.linspace(-span / 2, span / 2, len(widths))
    rings = ring * (1 + 0.06 * random.standard_normal(len(widths)))
    points = np.stack([rings * np.cos(angles), rings * np.sin(angles), widths], axis=1)
    return np.concatenate([points[:-1], points[1:]], axis=1)


def _lobes(n_lobes: int, span: float, ring: float, bridge: float, random: np.random.Generator) -> Bones:
    """Lay lobes along an arc, each a short capsule along it or across, joined by bridges of a radius."""
    angles = np.linspace(-span / 2, span / 2, n_lobes) + 0.12 * random.standard_normal(n_lobes)
    rings = ring * (1 + 0.14 * random.standard_normal(n_lobes))
    middles = np.stack([rings * np.cos(angles), rings * np.sin(angles)], axis=1)
    directions = angles + np.pi / 2 + 0.5 * random.standard_normal(n_lobes)
    halves = random.uniform(0.08, 0.28, size=(n_lobes, 1)) * np.stack(
        [np.cos(directions), np.sin(directions)], axis=1
    )
    radii = random.uniform(0.40, 0.54, size=(n_lobes, 1))
    lobes = np.concatenate(
        [middles - halves, radii, middles + halves, radii * random.uniform(0.8, 1.0, size=(n_lobes, 1))],
        axis=1,
    )
    width = np.full((n_lobes - 1, 1), bridge)
    return np.concatenate([lobes, np.concatenate([middles[:-1], width, middles[1:], width], axis=1)])


def _bent_back(bones: Bones) -> Bones:
    """Mirror the second half of an arc at the tangent of its middle, which makes an S of a C."""
    middle = len(bones) // 2
    pivot = bones[middle, 0]
    result = bones.copy()
    for column in (0, 3):
        rows = slice(middle, None) if column == 0 else slice(max(middle - 1, 0), None)
        result[rows, column] = 2 * pivot - bones[rows, column]
    return result


def middle_of(bones: Bones) -> Float[np.ndarray, " 2"]:
    """Return the middle of capsules, the wide ends counting more."""
    weights = np.concatenate([bones[:, 2], bones[:, 5]]) ** 2
    middle: Float[np.ndarray, " 2"] = weights @ np.concatenate([bones[:, :2], bones[:, 3:5]]) / weights.sum()
    return middle


def _centred(shape: Nucleus) -> Nucleus:
    """Move the middle of the capsules to the origin."""
    shift = np.tile([*middle_of(shape.bones), 0.0], 2)
    return shape._replace(bones=shape.bones - shift, notches=shape.notches - shift)


def _turned(shape: Nucleus, angle: float) -> Nucleus:
    """Turn the capsules about the origin."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def rotate(capsules: Float[np.ndarray, "capsule 6"]) -> Float[np.ndarray, "capsule 6"]:
        return np.concatenate(
            [capsules[:, :2] @ turn, capsules[:, 2:3], capsules[:, 3:5] @ turn, capsules[:, 5:]], axis=1
        )

    return shape._replace(bones=rotate(shape.bones), notches=rotate(shape.notches))


def _fold(plan: str) -> float:
    """Return how strongly irregularity folds the edge of a plan."""
    return {"folded": 0.7, "smeared": 1.0, "segmented": 0.3, "band": 0.3}.get(plan, 0.5)
