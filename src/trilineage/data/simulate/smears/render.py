"""One image from first to last: scene, dyes on the canvas, light through it, pixels, masks and truth."""

import io
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8
from PIL import Image

from trilineage.core.seeding import generator
from trilineage.data.simulate.smears.camera_kernels import blur_and_bin, transmit, vote
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, CELL_TYPES
from trilineage.data.simulate.smears.cells import WhiteCell
from trilineage.data.simulate.smears.concepts import column_of, with_concepts
from trilineage.data.simulate.smears.paint_kernels import paint_marks, paint_red_cells, paint_white_cell
from trilineage.data.simulate.smears.patients import PatientTraits
from trilineage.data.simulate.smears.scene import NO_DISCS, Scene, draw_scene
from trilineage.data.simulate.smears.settings import SmearSettings
from trilineage.data.simulate.smears.stains import Site

CODES = (
    "background",
    "red_cell",
    "platelet",
    "cytoplasm",
    "nucleus",
    "neighbour_cytoplasm",
    "neighbour_nucleus",
)
"""What the numbers in a mask mean. Of an image of one cell, `cytoplasm` and `nucleus` are the labelled cell's."""

BACKGROUND, RED_CELL, PLATELET, CYTOPLASM, NUCLEUS, NEIGHBOUR_CYTOPLASM, NEIGHBOUR_NUCLEUS = range(len(CODES))

_NOTHING = 15

_SEEN = 0.05
"""Amount of a dye by which a mark changes what is beneath it, to count as being there."""


class SmearImage(NamedTuple):
    """One image with its truth."""

    pixels: UInt8[np.ndarray, "size size 3"]
    """Colours as the camera gives them, before compression."""
    codes: UInt8[np.ndarray, "size size"]
    """Position in `CODES` of what each pixel shows."""
    owners: Int32[np.ndarray, "size size"]
    """Number of the object of each pixel; 0 is background."""
    planted: Bool[np.ndarray, "concept size size"]
    """Where each concept of the settings changed a labelled cell."""
    objects: list[dict[str, object]]
    """Truth of each labelled object: type, box, and, of white cells, areas and attributes."""


def render_image(settings: SmearSettings, traits: PatientTraits, number: int) -> SmearImage:
    """Draw image `number` of a patient; it depends on seed, patient and number, and on no other image."""
    random = generator(settings.seed, "smears", "image", traits.name, number)
    scene = with_concepts(draw_scene(settings, traits, random), settings, traits, number)
    canvas = _Canvas(settings)
    canvas.paint(scene, settings)
    pixels = photograph(canvas.stains, settings, traits, random)
    codes, owners = vote(canvas.codes, canvas.owners, settings.canvas_factor)
    is_cell = (codes == CYTOPLASM) | (codes == NUCLEUS)
    planted = _binned(canvas.planted, settings.canvas_factor) & is_cell
    return SmearImage(pixels, codes, owners, planted, canvas.truth(scene, owners, settings))


def encode(pixels: UInt8[np.ndarray, "size size 3"], settings: SmearSettings, site: Site) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    if settings.image_format == "png":
        Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    else:
        Image.fromarray(pixels).save(stream, format="JPEG", quality=site.quality)
    return stream.getvalue()


def decode(data: bytes) -> UInt8[np.ndarray, "size size 3"]:
    """Return the pixels of an image file of ours."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def photograph(
    stains: Float32[np.ndarray, "dye height width"],
    settings: SmearSettings,
    traits: PatientTraits,
    random: np.random.Generator,
) -> UInt8[np.ndarray, "size size 3"]:
    """Send light through the canvas and take its picture: blur, shading, response, noise, 256 steps."""
    site, size = traits.site, settings.size
    light = transmit(stains, (site.absorbances * traits.dyes[:, None]).astype(np.float32))
    blur_um = site.blur_um * np.exp(0.2 * random.standard_normal())
    taps = _taps(blur_um * settings.canvas_factor / settings.um_per_pixel)
    image = blur_and_bin(light, taps, settings.canvas_factor)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = (site.shading * random.standard_normal(2)).astype(np.float32)
    exposure = np.float32(np.exp(0.015 * random.standard_normal()))
    image *= (exposure * (1 + slope[0] * ramp[:, None] + slope[1] * ramp))[:, :, None]
    image = (site.background.astype(np.float32) * image) ** np.float32(site.gamma)
    grain = random.standard_normal(image.shape, dtype=np.float32)
    image += np.float32(site.noise) * np.sqrt(0.3 + 0.7 * np.clip(image, 0, 1)) * grain
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


class _Canvas:
    """Dyes, codes and owners at the resolution of painting."""

    def __init__(self, settings: SmearSettings):
        side = settings.size * settings.canvas_factor
        self.step = settings.um_per_pixel / settings.canvas_factor
        self.stains = np.zeros((4, side, side), dtype=np.float32)
        self.codes = np.zeros((side, side), dtype=np.uint8)
        self.owners = np.zeros((side, side), dtype=np.int32)
        self.concepts = settings.concepts
        self.planted = np.zeros((len(self.concepts), side, side), dtype=bool)
        self.areas: dict[int, tuple[float, float]] = {}

    def paint(self, scene: Scene, settings: SmearSettings) -> None:
        """Paint everything, the labelled cell last; owners count red cells, platelets, white cells, from 1."""
        paint_red_cells(self._layers(), scene.red_cells, self.step, RED_CELL, 1)
        owner = 1 + len(scene.red_cells)
        for centre, cell in scene.platelets:
            self._paint_cell(centre, cell, NO_DISCS, (PLATELET, _NOTHING, owner))
            owner += 1
        for number, (centre, cell) in enumerate(scene.white_cells):
            is_labelled = settings.product == "fields" or number == len(scene.white_cells) - 1
            codes = (CYTOPLASM, NUCLEUS) if is_labelled else (NEIGHBOUR_CYTOPLASM, NEIGHBOUR_NUCLEUS)
            carvers = scene.red_cells[:, :3] + (0.0, 0.0, 0.1) if cell.hugs_red_cells else NO_DISCS
            self._paint_cell(centre, cell, carvers, (*codes, owner))
            owner += 1

    def truth(
        self, scene: Scene, owners: Int32[np.ndarray, "size size"], settings: SmearSettings
    ) -> list[dict[str, object]]:
        """List the labelled objects: the cell in the middle, or everything in a field."""
        n_red, n_platelets = len(scene.red_cells), len(scene.platelets)
        first_white = 1 + n_red + n_platelets
        boxes = scipy.ndimage.find_objects(owners, max_label=first_white + len(scene.white_cells) - 1)
        rows = []
        if settings.product == "fields":
            rows += [_row("red_cell", boxes, owner) for owner in range(1, 1 + n_red)]
            rows += [_row("platelet", boxes, owner) for owner in range(1 + n_red, first_white)]
        for number, (centre, cell) in enumerate(scene.white_cells):
            if settings.product == "fields" or number == len(scene.white_cells) - 1:
                owner = first_white + number
                row = _row(cell.name, boxes, owner) | self._attributes(cell, owner)
                rows.append(row | {"is_whole": _is_whole(centre, cell, settings)})
        return [row for row in rows if row["x1"] is not None]

    def _paint_cell(
        self,
        centre: Float[np.ndarray, " 2"],
        cell: WhiteCell,
        carvers: Float[np.ndarray, "disc 3"],
        marks_as: tuple[int, int, int],
    ) -> None:
        as_array, carvers = np.array(marks_as, dtype=np.int64), np.ascontiguousarray(carvers)
        shape = (cell.outline, tuple(cell.carved_nucleus), cell.look)
        areas = paint_white_cell(self._layers(), centre, shape, carvers, self.step, as_array)
        self.areas[marks_as[2]] = areas
        shift = np.array([*centre, *centre, *[0.0] * 7])
        paint_marks(self._layers(), cell.marks + shift, self.step, as_array)
        for one in cell.planted:
            before, place = self.stains.copy(), self.concepts.index(one.concept)
            paint_marks(self._layers(), one.marks + shift, self.step, as_array)
            self.planted[place] |= np.abs(self.stains - before).max(axis=0) > _SEEN
            if len(one.notches):
                whole = (cell.outline, tuple(cell.nucleus), cell.look)
                is_uncut = self._nucleus_if(centre, whole, carvers, as_array)
                self.planted[place] |= is_uncut & (self.codes != marks_as[1])

    def _nucleus_if(
        self,
        centre: Float[np.ndarray, " 2"],
        shape: tuple[np.ndarray, tuple[object, ...], np.ndarray],
        carvers: Float[np.ndarray, "disc 3"],
        marks_as: Int64[np.ndarray, " 3"],
    ) -> Bool[np.ndarray, "height width"]:
        """Return where the nucleus of a cell would be, without painting it."""
        layers = (self.stains.copy(), self.codes.copy(), self.owners.copy())
        paint_white_cell(layers, centre, shape, carvers, self.step, marks_as)
        return (layers[1] == marks_as[1]) & (layers[2] == marks_as[2])

    def _layers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.stains, self.codes, self.owners

    def _attributes(self, cell: WhiteCell, owner: int) -> dict[str, object]:
        """Return the attributes, area and N:C ratio as they were painted."""
        area, nucleus = self.areas[owner]
        values: dict[str, object] = dict(zip(ATTRIBUTES, cell.attributes.tolist(), strict=True))
        values["diameter_um"] = 2 * np.sqrt(area / np.pi)
        values["nc_ratio"] = nucleus / max(area, 1e-9)
        kind = CELL_TYPES[cell.type_code]
        return values | {
            "cell_um2": area,
            "nucleus_um2": nucleus,
            "nucleus": kind.nucleus,
            "granules": kind.granules,
            **{column_of(name): name in cell.concepts for name in self.concepts},
        }


def _row(name: str, boxes: list[tuple[slice, slice] | None], owner: int) -> dict[str, object]:
    """Start an object's truth: type and box of what can be seen of it; hidden objects have no box."""
    found = boxes[owner - 1]
    if found is None:
        return {"cell_type": name, "x0": None, "y0": None, "x1": None, "y1": None}
    rows, columns = found
    return {"cell_type": name, "x0": columns.start, "y0": rows.start, "x1": columns.stop, "y1": rows.stop}


def _binned(
    planted: Bool[np.ndarray, "concept height width"], factor: int
) -> Bool[np.ndarray, "concept size size"]:
    """Return the pixels of the image that hold a planted pixel of the canvas."""
    count, side = planted.shape[0], planted.shape[1] // factor
    return np.any(planted.reshape(count, side, factor, side, factor), axis=(2, 4))


def _is_whole(centre: Float[np.ndarray, " 2"], cell: WhiteCell, settings: SmearSettings) -> bool:
    return bool(min(*centre, *(settings.field_um - centre)) >= cell.reach_um)


def _taps(sigma: float) -> Float32[np.ndarray, " tap"]:
    """Return one half of a normalised Gauss kernel, the middle first."""
    half = np.exp(-0.5 * (np.arange(int(np.ceil(2.6 * sigma)) + 1) / max(sigma, 1e-6)) ** 2)
    return (half / (2 * half.sum() - half[0])).astype(np.float32)
