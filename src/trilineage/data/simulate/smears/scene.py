"""What lies where in one image: white cells, platelets and red cells on the slide."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from trilineage.data.simulate.smears.cell_types import position_of
from trilineage.data.simulate.smears.cells import WhiteCell, draw_white_cell
from trilineage.data.simulate.smears.paint_kernels import place_discs
from trilineage.data.simulate.smears.patients import PatientTraits
from trilineage.data.simulate.smears.settings import SmearSettings

MARGIN_UM = 5.0
"""Cells are placed so far beyond the edge, so that it cuts them as it cuts real ones."""

NO_DISCS = np.empty((0, 3))


class Scene(NamedTuple):
    """Objects of one image; places in micrometres from the upper left corner."""

    red_cells: Float[np.ndarray, "red_cell 13"]
    """Red cells, as `paint_red_cells` takes them."""
    platelets: tuple[tuple[Float[np.ndarray, " 2"], WhiteCell], ...]
    """Places and shapes of platelets."""
    white_cells: tuple[tuple[Float[np.ndarray, " 2"], WhiteCell], ...]
    """Places and shapes of white cells; of an image of one cell, the labelled one is the last."""


def draw_scene(settings: SmearSettings, traits: PatientTraits, random: np.random.Generator) -> Scene:
    """Draw one image's objects: first the white cells, then platelets and red cells where there is room."""
    place = _place_one if settings.product == "cells" else _place_many
    white_cells = place(settings, traits, random)
    taken = np.array([[*centre, _room(cell)] for centre, cell in white_cells])
    platelets = _platelets(settings, traits, taken, random)
    beside = [taken, *[np.array([[*centre, cell.reach_um]]) for centre, cell in platelets]]
    return Scene(_red_cells(settings, traits, np.concatenate(beside), random), platelets, white_cells)


def drawn_type(settings: SmearSettings, traits: PatientTraits, random: np.random.Generator) -> int:
    """Draw the type of a labelled cell."""
    uniform = random.random()
    if settings.cell_types:
        return position_of(settings.cell_types[int(uniform * len(settings.cell_types))])
    return _type_at(traits, uniform)


def _type_at(traits: PatientTraits, uniform: float) -> int:
    """Return the type at which the differential count reaches a number from 0 to 1."""
    reached = int(np.searchsorted(np.cumsum(traits.shares), uniform, side="right"))
    return min(reached, int(np.flatnonzero(traits.shares)[-1]))


def _room(cell: WhiteCell) -> float:
    """Radius that other cells keep out of; cells that hug red cells let them come closer."""
    return 0.80 * float(cell.outline.mean()) if cell.hugs_red_cells else 0.98 * cell.reach_um


def _place_one(
    settings: SmearSettings, traits: PatientTraits, random: np.random.Generator
) -> tuple[tuple[Float[np.ndarray, " 2"], WhiteCell], ...]:
    """Put the labelled cell near the middle, whole, and now and then other white cells beside it."""
    cell = draw_white_cell(traits, drawn_type(settings, traits, random), random)
    slack = max(settings.field_um / 2 - cell.reach_um - 0.5, 0.0)
    off = np.clip(settings.off_centre_um * random.standard_normal(2), -slack, slack)
    centre = settings.field_um / 2 + off
    n_others = int(random.poisson(settings.neighbours * traits.white_cells))
    placed = [(centre, cell)]
    for _ in range(n_others):
        other = draw_white_cell(traits, _type_at(traits, random.random()), random)
        turn = random.uniform(0, 2 * np.pi)
        distance = cell.reach_um + other.reach_um + 0.3 + random.exponential(2.0)
        place = centre + distance * np.array([np.cos(turn), np.sin(turn)])
        apart = [np.hypot(*(place - there)) - other.reach_um - kin.reach_um for there, kin in placed]
        if min(apart) > 0:
            placed.append((place, other))
    return (*placed[1:], placed[0])


def _place_many(
    settings: SmearSettings, traits: PatientTraits, random: np.random.Generator
) -> tuple[tuple[Float[np.ndarray, " 2"], WhiteCell], ...]:
    """Scatter white cells over a field, at least one of them wholly inside."""
    n_wanted = 1 + int(random.poisson(max(settings.n_white_cells - 1, 0.0) * min(traits.white_cells, 3.0)))
    n_wanted = min(n_wanted, int(settings.field_um**2 / 500))
    cells = [draw_white_cell(traits, drawn_type(settings, traits, random), random) for _ in range(n_wanted)]
    first = random.uniform(cells[0].reach_um, settings.field_um - cells[0].reach_um, size=2)
    placed = [(first, cells[0])]
    for cell in cells[1:]:
        for _ in range(20):
            centre = random.uniform(-2.0, settings.field_um + 2.0, size=2)
            apart = [np.hypot(*(centre - there)) - cell.reach_um - kin.reach_um for there, kin in placed]
            if min(apart) > 0.3:
                placed.append((centre, cell))
                break
    return tuple(placed)


def _platelets(
    settings: SmearSettings,
    traits: PatientTraits,
    taken: Float[np.ndarray, "disc 3"],
    random: np.random.Generator,
) -> tuple[tuple[Float[np.ndarray, " 2"], WhiteCell], ...]:
    side = settings.field_um + 2 * 2.0
    count = int(random.poisson(traits.platelets * side**2 / 1000))
    code = position_of("platelet")
    cells = [draw_white_cell(traits, code, random) for _ in range(count)]
    centres = random.uniform(-2.0, settings.field_um + 2.0, size=(count, 2))
    discs = np.column_stack([centres, [cell.reach_um for cell in cells]]) if cells else NO_DISCS
    chosen = place_discs(discs, taken, count, np.zeros(count, dtype=bool), 0.2)
    return tuple((centres[number], cells[number]) for number in np.flatnonzero(chosen))


def _red_cells(
    settings: SmearSettings,
    traits: PatientTraits,
    taken: Float[np.ndarray, "disc 3"],
    random: np.random.Generator,
) -> Float[np.ndarray, "red_cell 13"]:
    """Draw red cells and keep those that find room; one in six may lie on another."""
    side = settings.field_um + 2 * MARGIN_UM
    n_wanted = int(random.poisson(traits.red_cells * side**2 / 1000))
    n_tried = 3 * n_wanted
    cells = _red_cell_shapes(traits, n_tried, random)
    cells[:, :2] = random.uniform(-MARGIN_UM, settings.field_um + MARGIN_UM, size=(n_tried, 2))
    may_touch: Bool[np.ndarray, " candidate"] = random.random(n_tried) < 0.17
    discs = cells[:, :3] * (1.0, 1.0, 1.02)
    return cells[place_discs(discs, taken, n_wanted, may_touch, -0.1)]


def _red_cell_shapes(
    traits: PatientTraits, count: int, random: np.random.Generator
) -> Float[np.ndarray, "red_cell 13"]:
    pallor, spread, odd_share, crenated_share = traits.red_cell_habit
    normals = random.standard_normal((4, count))
    is_odd, is_crenated = random.random((2, count)) < np.array([[odd_share], [crenated_share]])
    has_tail = is_odd & (random.random(count) < 0.4)
    cells = np.zeros((count, 13))
    cells[:, 2] = traits.red_cell_um / 2 * np.exp(spread * normals[0])
    cells[:, 3] = np.exp(0.05 * np.abs(normals[1]) + np.where(is_odd & ~has_tail, 0.22, 0.0))
    cells[:, 4] = random.uniform(0, 2 * np.pi, size=count)
    cells[:, 5] = np.clip(pallor * np.exp(0.25 * normals[2]), 0.0, 0.9) * (random.random(count) > 0.07)
    cells[:, 6] = random.uniform(0.32, 0.5, size=count)
    cells[:, 7] = np.where(has_tail, random.uniform(0.3, 0.55, size=count), 0.0)
    cells[:, 8] = np.where(is_crenated, 0.05, 0.0)
    cells[:, 9] = random.uniform(0, 2 * np.pi, size=count)
    cells[:, 10] = 0.9 * np.exp(0.09 * normals[3])
    cells[:, 11] = np.where(random.random(count) < 0.04, random.uniform(0.3, 0.9, size=count), 0.0)
    cells[:, 12] = random.integers(2**31, size=count)
    return cells
