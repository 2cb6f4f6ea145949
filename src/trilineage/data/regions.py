"""Where things lie in an image: masks in a folder, boxes in a CSV or in VOC XML, brought to the working size."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from trilineage.core.errors import ColumnError, FormatError, ImageError
from trilineage.data.images.decoding import decode, fitted
from trilineage.data.images.settings import Fit

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
"""Formats that keep a mask as it was drawn; JPEG does not."""

BOX_COLUMNS = ("file", "object", "x0", "y0", "x1", "y1")
"""Columns of a CSV with boxes."""

MAX_XML_BYTES = 5_000_000
"""Far above the boxes of any image."""


class Box(NamedTuple):
    """One object in an image; pixels from the upper left corner, the right and lower edges not included."""

    object: str
    """What it is."""
    x0: float
    """Left edge."""
    y0: float
    """Upper edge."""
    x1: float
    """Right edge."""
    y1: float
    """Lower edge."""


# ---- masks ----------------------------------------------------------------------------------------------------------


def mask_files(folder: Path | str) -> dict[str, Path]:
    """Return the masks of a folder by their stem, which is that of the image they belong to.

    Raises
    ------
    FormatError
        If there is none, or two masks have one stem.
    """
    paths = [path for path in sorted(Path(folder).glob("*")) if path.suffix.lower() in MASK_SUFFIXES]
    files = {path.stem: path for path in paths}
    if not files or len(files) < len(paths):
        raise FormatError(
            f"the folder of masks {folder} cannot be used",
            seen="no mask" if not files else f"{len(paths)} files with {len(files)} stems",
            allowed=f"one file per image with the image's stem, {', '.join(MASK_SUFFIXES)}",
            remedy="check the path, or keep one mask per image",
        )
    return files


def read_mask(path: Path | str) -> Bool[np.ndarray, "height width"]:
    """Read a mask: true where any channel is above the middle of its range.

    Raises
    ------
    FormatError
        If it cannot be read as an image.
    """
    try:
        return decode(Path(path).read_bytes()).max(axis=2) > 127
    except (OSError, ImageError) as error:
        raise FormatError(
            f"{path} is no mask", seen=error, allowed="an image, black outside", remedy="mend the file"
        ) from None


def box_mask(
    boxes: Iterable[Box], image_size: tuple[int, int], objects: Iterable[str] | None = None
) -> Bool[np.ndarray, "height width"]:
    """Return the pixels whose centre lies in one of the boxes.

    Parameters
    ----------
    boxes
        Boxes of one image.
    image_size
        Height and width of the image the boxes were drawn on.
    objects
        Objects that count, whatever their case; None: all.
    """
    wanted = None if objects is None else {name.casefold() for name in objects}
    mask = np.zeros(image_size, dtype=bool)
    for box in boxes:
        if wanted is None or box.object.casefold() in wanted:
            left, top, right, bottom = (max(math.ceil(edge - 0.5), 0) for edge in box[1:])
            mask[top:bottom, left:right] = True
    return mask


def fit_mask(
    mask: Bool[np.ndarray, "height width"], shape: tuple[int, int], fit: Fit
) -> Bool[np.ndarray, "rows columns"]:
    """Bring a mask to the working size as its image is brought there; what is padded lies outside.

    A pixel belongs to the mask if at least half of what it shows does.

    Parameters
    ----------
    mask
        At the size of the original image.
    shape
        Working height and width.
    fit
        As in `ImageDataSettings.fit`.
    """
    image = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    if fit != "pad":
        return fitted(image, shape, fit)[..., 0] > 127
    scale = min(most / side for most, side in zip(shape, mask.shape, strict=True))
    height, width = (
        min(max(round(side * scale), 1), most) for side, most in zip(mask.shape, shape, strict=True)
    )
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    padded = np.zeros(shape, dtype=bool)
    padded[top : top + height, left : left + width] = fitted(image, (height, width), "squash")[..., 0] > 127
    return padded


def estimated_nucleus(
    image: UInt8[np.ndarray, "height width 3"], cell: Bool[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """Return the part of a cell that absorbs much green, as stained nuclei do; for images whose nuclei nobody drew.

    The threshold is Otsu's (1979) on the green channel inside the cell. Dark granules are taken for nucleus.
    """
    green = image[..., 1]
    counts = np.bincount(green[cell], minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * np.arange(256))
    apart = sums[-1] * below - sums * below[-1]
    between = np.divide(apart**2, below * above, out=np.zeros(256), where=below * above > 0)
    return cell & (green <= int(np.argmax(between))) & (between.max() > 0)


# ---- boxes ----------------------------------------------------------------------------------------------------------


def read_boxes(path: Path | str) -> dict[str, tuple[Box, ...]]:
    """Read a CSV with the columns file, object, x0, y0, x1, y1 (others are passed over): boxes by file name.

    Raises
    ------
    ColumnError
        If a column is absent.
    FormatError
        If it cannot be read, or a box is no box.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            _require_columns(path, reader.fieldnames or ())
            found: dict[str, list[Box]] = {}
            for row in reader:
                box = _box(f"{path}, line {reader.line_num}", row["object"], row)
                found.setdefault(row["file"] or "", []).append(box)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            f"{path} is no table of boxes", seen=error, allowed="a CSV in UTF-8", remedy="check the path"
        ) from None
    return {name: tuple(boxes) for name, boxes in found.items()}


def read_voc(path: Path | str) -> tuple[Box, ...]:
    """Read the boxes of one image from PASCAL VOC XML; document types and entities are refused, not expanded.

    VOC counts pixels from 1 and includes the last one: its box from 1 to 3 covers the first three pixels.

    Raises
    ------
    FormatError
        If it is no such XML, or a box is no box.
    """
    boxes = []
    for place, element in enumerate(_xml_root(Path(path)).iter("object")):
        corners = element.find("bndbox")
        texts = {} if corners is None else {corner.tag.strip(): corner.text for corner in corners}
        row = {
            "x0": texts.get("xmin"),
            "y0": texts.get("ymin"),
            "x1": texts.get("xmax"),
            "y1": texts.get("ymax"),
        }
        box = _box(f"{path}, object {place + 1}", element.findtext("name"), row, first=1.0)
        boxes.append(box)
    return tuple(boxes)


def _require_columns(path: Path | str, columns: Iterable[str]) -> None:
    """Raise if a column of a box table is absent."""
    absent = [name for name in BOX_COLUMNS if name not in columns]
    if absent:
        raise ColumnError(
            f"{path} lacks columns for boxes",
            seen=", ".join(columns) or "no header",
            allowed=", ".join(BOX_COLUMNS),
            remedy=f"add {', '.join(absent)}",
        )


def _box(where: str, name: str | None, row: Mapping[str, str | None], *, first: float = 0.0) -> Box:
    """Make a box of texts, whose first pixel is number `first`."""
    texts = [row[key] for key in BOX_COLUMNS[2:]]
    try:
        x0, y0, x1, y1 = (float(text or "") for text in texts)
    except ValueError:
        x0, y0, x1, y1 = (math.nan,) * 4
    box = Box((name or "").strip(), x0 - first, y0 - first, x1, y1)
    if not (box.x0 < box.x1 < math.inf and box.y0 < box.y1 < math.inf and min(x0, y0) > -math.inf):
        raise FormatError(
            f"{where}: this is no box",
            seen=", ".join(str(text) for text in texts),
            allowed="x0 < x1 and y0 < y1, finite numbers",
            remedy="mend the line",
        )
    return box


class _NoDoctype(TreeBuilder):
    """Builds a tree and refuses a document type, the only place where an entity can be declared, when it begins."""

    def doctype(self, _name: str, _pubid: str | None, _system: str | None) -> None:
        """Refuse."""
        raise ParseError("it has a document type")


def _xml_root(path: Path) -> Element:
    """Read XML of plain elements.

    Raises
    ------
    FormatError
        If it is none, is too large, or declares a document type.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_XML_BYTES + 1)
        if len(data) > MAX_XML_BYTES:
            raise ParseError("it is too large")
        parser = XMLParser(target=_NoDoctype())  # noqa: S314  (without a document type there are no entities)
        parser.feed(data)
        root: Element = parser.close()
    except (OSError, ParseError, ValueError, LookupError) as error:
        raise FormatError(
            f"{path} holds no VOC boxes",
            seen=error,
            allowed=f"XML without a document type, at most {MAX_XML_BYTES:,} bytes",
            remedy="check the path, or write the boxes as CSV",
        ) from None
    return root
