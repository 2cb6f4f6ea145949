"""Compiled painting on a canvas of dye amounts: red cells, white cells and small marks, with soft edges."""

import numpy as np
from numba import njit

AZURE, HAEMOGLOBIN = 1, 3

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@njit(inline="always")
def _slope(column, row, key, dx, dy):
    """Height at (dx, dy) from a lattice point of the plane that a hash (SplitMix64, Steele et al. 2014) puts there."""
    state = (np.uint64(column) * _SECOND) ^ (np.uint64(row) * _FIRST) ^ (np.uint64(key) * _GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    state = state ^ (state >> np.uint64(31))
    first = np.float64(np.int64(state & np.uint64(0xFFFF))) * (2.0 / 65535.0) - 1.0
    second = np.float64(np.int64((state >> np.uint64(16)) & np.uint64(0xFFFF))) * (2.0 / 65535.0) - 1.0
    return first * dx + second * dy


@njit(cache=True)
def noise(x, y, key):
    """Smooth noise about in [-1, 1] with features one unit wide (gradient noise, Perlin 1985)."""
    column, row = int(np.floor(x)), int(np.floor(y))
    dx, dy = x - column, y - row
    u, v = dx * dx * (3 - 2 * dx), dy * dy * (3 - 2 * dy)
    upper = (1 - u) * _slope(column, row, key, dx, dy) + u * _slope(column + 1, row, key, dx - 1, dy)
    lower = (1 - u) * _slope(column, row + 1, key, dx, dy - 1) + u * _slope(
        column + 1, row + 1, key, dx - 1, dy - 1
    )
    return 1.8 * ((1 - v) * upper + v * lower)


@njit(cache=True)
def texture(x, y, size, key):
    """Two octaves of noise, turned against each other so that no lattice shows."""
    x, y = x / size, y / size
    return 0.65 * noise(0.87 * x - 0.5 * y, 0.5 * x + 0.87 * y, key) + 0.45 * noise(
        1.5 * x + 1.2 * y + 5.2, 1.5 * y - 1.2 * x, key
    )


@njit(inline="always")
def _capsule(x, y, bone):
    """Signed distance to a capsule whose radius goes from one end's to the other's."""
    dx, dy = bone[3] - bone[0], bone[4] - bone[1]
    length = dx * dx + dy * dy
    t = 0.0
    if length > 1e-9:
        t = min(max(((x - bone[0]) * dx + (y - bone[1]) * dy) / length, 0.0), 1.0)
    ex, ey = x - bone[0] - t * dx, y - bone[1] - t * dy
    return np.sqrt(ex * ex + ey * ey) - (bone[2] + t * (bone[5] - bone[2]))


@njit(cache=True)
def nucleus_distance(x, y, nucleus):
    """Signed distance to (bones, notches, smoothness, warp, warp_um, key).

    It is the smooth union of capsules, less the notches, with an uneven edge.
    """
    bones, notches, smoothness, warp, warp_um, key = nucleus
    distance = 1e9
    for bone in bones:
        other = _capsule(x, y, bone)
        h = max(smoothness - abs(distance - other), 0.0)
        distance = min(distance, other) - h * h / (4 * smoothness)
    if warp > 0:
        distance += warp * noise(x / warp_um + 7.3, y / warp_um - 2.1, key)
    for notch in notches:
        distance = max(distance, -_capsule(x, y, notch))
    return distance


@njit(cache=True)
def nucleus_area(nucleus, reach, step):
    """Area of a nucleus on a lattice that reaches so far from the origin, in the units of the bones."""
    area = 0.0
    n = int(2 * reach / step)
    for row in range(n):
        y = -reach + (row + 0.5) * step
        for column in range(n):
            distance = nucleus_distance(-reach + (column + 0.5) * step, y, nucleus)
            area += min(max(0.5 - distance / step, 0.0), 1.0)
    return area * step * step


@njit(inline="always")
def _radius(outline, x, y):
    """Radius of an outline in the direction of a point, between its tabulated directions."""
    place = (np.arctan2(y, x) / (2 * np.pi) % 1.0) * len(outline)
    lower = int(place) % len(outline)
    share = place - int(place)
    return outline[lower] * (1 - share) + outline[(lower + 1) % len(outline)] * share


@njit(inline="always")
def _span(centre, reach, step, n):
    """First pixel and the one after the last that can lie within reach of a centre."""
    return max(int((centre - reach) / step), 0), min(int((centre + reach) / step) + 2, n)


@njit(cache=True)
def paint_red_cells(canvas, red_cells, step, code, first_owner):
    """Lay red cells on the canvas; where two overlap, their dyes add up.

    Columns of `red_cells`: x, y, radius, stretch, angle, pallor, width of the pallor, tail, crenation, phase, amount of
    haemoglobin, polychromasia, key.
    """
    stains, codes, owners = canvas
    height, width = codes.shape
    for number in range(len(red_cells)):
        cell = red_cells[number]
        radius, stretch, tail, crenation = cell[2], cell[3], cell[7], cell[8]
        cosine, sine = np.cos(cell[4]), np.sin(cell[4])
        reach = radius * (stretch + 0.15 + tail + crenation)
        first_row, last_row = _span(cell[1], reach, step, height)
        first_column, last_column = _span(cell[0], reach, step, width)
        key = int(cell[12])
        for row in range(first_row, last_row):
            dy = (row + 0.5) * step - cell[1]
            for column in range(first_column, last_column):
                dx = (column + 0.5) * step - cell[0]
                x = (cosine * dx + sine * dy) / stretch
                y = (cosine * dy - sine * dx) * stretch
                distance = np.sqrt(x * x + y * y)
                edge = radius * (1 + 0.05 * noise(dx / 2.6 + 31.3, dy / 2.6 + 17.4, key))
                if tail > 0 or crenation > 0:
                    angle = np.arctan2(y, x)
                    edge *= 1 + tail * max(np.cos(angle), 0.0) ** 8 + crenation * np.cos(11 * angle + cell[9])
                cover = min(max(0.5 + (edge - distance) / (1.5 * step), 0.0), 1.0)
                if cover <= 0:
                    continue
                place = distance / edge
                inner = 1.0 / (1.0 + np.exp((place - cell[6]) / 0.075))
                rim = 1.0 - 0.30 * max(place - 0.72, 0.0) / 0.28
                amount = cover * cell[10] * rim * (1 - cell[5] * inner * (1 - 0.35 * place / cell[6]))
                stains[HAEMOGLOBIN, row, column] += amount
                stains[AZURE, row, column] += 0.35 * cell[11] * amount
                if cover >= 0.5:
                    codes[row, column] = code
                    owners[row, column] = first_owner + number


@njit(inline="always")
def _dented(x, y, carvers, distance):
    """Signed distance to a cell that discs dent."""
    for carver in carvers:
        dx, dy = x - carver[0], y - carver[1]
        distance = max(distance, carver[2] - np.sqrt(dx * dx + dy * dy))
    return distance


@njit(cache=True)
def _dyes(x, y, distance, inside, depth, look, key):
    """Eosin, azure and purple at a point of a white cell.

    `distance` is that to the cell's edge (negative inside), `inside` how much of the point is nucleus, `depth` the
    distance to the nucleus's edge.
    """
    body = 1 + look[4] * texture(x, y, look[5], key + 101)
    outside = 1 - inside
    eosin, purple = outside * look[0] * body, outside * look[2] * body
    azure = outside * look[1] * body * (1 + look[3] * np.exp(min(distance, 0.0) / 0.9))
    if inside > 0:
        grain = np.tanh(2.2 * texture(x, y, look[9], key))
        chromatin = max(1 + look[8] * grain + look[10] * np.exp(min(depth, 0.0) / 0.35), 0.05)
        azure += inside * look[7] * chromatin
        purple += inside * look[6] * chromatin
    return eosin, azure, purple


@njit(cache=True)
def paint_white_cell(canvas, centre, cell, carvers, step, marks_as):
    """Lay one white cell over what is there; return its area and that of its nucleus.

    `canvas` is (stains, codes, owners); `cell` is (outline, nucleus, look). `carvers` are discs (x, y, radius) that
    dent the cell. `look` has, by position: 0 eosin, 1 azure and 2 purple of the cytoplasm, 3 darker edge, 4 contrast
    and 5 size of its texture, 6 purple and 7 azure of the nucleus, 8 contrast and 9 size of the chromatin, 10 rim of
    the nucleus, 11 softness of the nucleus's edge, 12 softness of the cell's edge. `marks_as` has the codes of
    cytoplasm and nucleus and the owner.
    """
    stains, codes, owners = canvas
    outline, nucleus, look = cell
    height, width = codes.shape
    reach = outline.max() + 1.0
    first_row, last_row = _span(centre[1], reach, step, height)
    first_column, last_column = _span(centre[0], reach, step, width)
    cell_soft, nucleus_soft = max(look[12], step), max(look[11], step)
    n_cell, n_nucleus = 0, 0
    for row in range(first_row, last_row):
        y = (row + 0.5) * step - centre[1]
        for column in range(first_column, last_column):
            x = (column + 0.5) * step - centre[0]
            from_centre = np.sqrt(x * x + y * y)
            if from_centre > reach:
                continue
            distance = from_centre - _radius(outline, x, y)
            distance = _dented(x + centre[0], y + centre[1], carvers, distance)
            cover = min(max(0.5 - distance / cell_soft, 0.0), 1.0)
            if cover <= 0:
                continue
            inside, depth = 0.0, 1e9
            if len(nucleus[0]) > 0:
                depth = max(nucleus_distance(x, y, nucleus), distance + 0.22)
                inside = min(max(0.5 - depth / nucleus_soft, 0.0), 1.0)
            dyes = _dyes(x, y, distance, inside, depth, look, nucleus[5])
            for channel in range(3):
                stains[channel, row, column] = (1 - cover) * stains[channel, row, column] + cover * dyes[
                    channel
                ]
            stains[HAEMOGLOBIN, row, column] *= 1 - cover
            if cover >= 0.5:
                codes[row, column] = marks_as[1] if inside >= 0.5 else marks_as[0]
                owners[row, column] = marks_as[2]
                n_cell += 1
                n_nucleus += inside >= 0.5
    return n_cell * step * step, n_nucleus * step * step


@njit(cache=True)
def paint_marks(canvas, marks, step, marks_as):
    """Lay small capsules (granules, nucleoli, vacuoles, rods, the hof) on one white cell.

    Columns of `marks`: x0, y0, x1, y1, radius, softness, share of what is there that goes away, eosin, azure and purple
    that come, where (1 cytoplasm, 2 nucleus, 3 both).
    """
    stains, codes, owners = canvas
    height, width = codes.shape
    for mark in marks:
        soft = max(mark[5], step)
        reach = mark[4] + soft
        first_row, last_row = _span(min(mark[1], mark[3]), reach, step, height)
        _, last_row = _span(max(mark[1], mark[3]), reach, step, height)
        first_column, _ = _span(min(mark[0], mark[2]), reach, step, width)
        _, last_column = _span(max(mark[0], mark[2]), reach, step, width)
        bone = np.array([mark[0], mark[1], mark[4], mark[2], mark[3], mark[4]])
        where = int(mark[10])
        for row in range(first_row, last_row):
            for column in range(first_column, last_column):
                if owners[row, column] != marks_as[2]:
                    continue
                is_nucleus = codes[row, column] == marks_as[1]
                if not (where & 2 if is_nucleus else where & 1):
                    continue
                distance = _capsule((column + 0.5) * step, (row + 0.5) * step, bone)
                cover = min(max(0.5 - distance / soft, 0.0), 1.0)
                if cover <= 0:
                    continue
                for channel in range(3):
                    old = stains[channel, row, column] * (1 - cover * mark[6])
                    stains[channel, row, column] = old + cover * mark[7 + channel]


@njit(cache=True)
def place_discs(candidates, fixed, n_wanted, may_touch, gap):
    """Choose, in order, candidate discs (x, y, radius) that keep a gap to the fixed discs and to one another.

    Where `may_touch` is true a disc may overlap chosen discs by half of its radius, but no fixed one.
    """
    chosen = np.zeros(len(candidates), dtype=np.bool_)
    n = 0
    for i in range(len(candidates)):
        if n >= n_wanted:
            break
        x, y, radius = candidates[i]
        is_free = True
        for disc in fixed:
            is_free &= (x - disc[0]) ** 2 + (y - disc[1]) ** 2 > (radius + disc[2] + gap) ** 2
        if not is_free:
            continue
        for j in range(i):
            if chosen[j]:
                dx, dy = x - candidates[j, 0], y - candidates[j, 1]
                allowed = radius + candidates[j, 2] + gap - (0.6 * radius if may_touch[i] else 0.0)
                is_free &= dx * dx + dy * dy > allowed * allowed
        if is_free:
            chosen[i] = True
            n += 1
    return chosen
