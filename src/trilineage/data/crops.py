"""Cells cut out of whole fields by their boxes: an image each, a manifest, and masks cut in the same way."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from trilineage.core.errors import ColumnError, DataError, FormatError
from trilineage.core.files import atomic_path
from trilineage.core.progress import progress
from trilineage.data.images.decoding import decode
from trilineage.data.regions import Box, mask_files, read_boxes, read_mask, read_voc

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
MANIFEST = "manifest.csv"
IMAGES, MASKS = "images", "masks"
_BOX = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class CropSettings:
    """How cells are cut out."""

    objects: tuple[str, ...] = ("WBC",)
    """Objects of the boxes that are cut out, whatever their case."""
    context: float = 1.8
    """Side of the square over the longest side of the box: 1.8 leaves neighbours in view, as images of one cell do."""
    side: int = 0
    """Side of every square in pixels of the field, so that sizes can be compared; 0: by `context`."""


class CropCounts(NamedTuple):
    """What was cut."""

    n_fields: int
    """Fields with a box."""
    n_cells: int
    """Cells cut out."""
    n_labelled: int
    """Of them with a label."""


def crop_cells(
    fields: Path | str,
    boxes: Path | str,
    out: Path | str,
    settings: CropSettings = CropSettings(),
    *,
    labels: Mapping[str, str] | None = None,
    masks: Path | str | None = None,
) -> CropCounts:
    """Cut a square around every box and write it as PNG, with a manifest that `images` and `concepts` can read.

    Squares at the border are moved inside. The field of each cell stands in the column `field`: cells of one field can
    be kept together with `data.patient_column=field`.

    Parameters
    ----------
    fields
        Folder of whole fields.
    boxes
        CSV of boxes (file, object, x0, y0, x1, y1), or folder of PASCAL VOC files named as the fields.
    out
        Folder to write `images/`, `manifest.csv` and, if given, `masks/` to.
    settings
        Which objects, how much around them.
    labels
        Label by the stem of a field; it is that of the cell where the field has one box only.
    masks
        Folder of masks of whole fields, to be cut in the same way.

    Raises
    ------
    FormatError
        Boxes or a field cannot be read.
    DataError
        No field has a box of these objects.
    """
    found = list(_fields_with_boxes(Path(fields), Path(boxes), settings))
    if not found:
        raise DataError(
            "no field has a box to cut out",
            seen=f"{fields} with {boxes}",
            allowed=f"boxes of {', '.join(settings.objects)}",
            remedy="name the objects as the boxes do, or check that boxes and fields are named alike",
        )
    drawn = {} if masks is None else mask_files(masks)
    rows: list[dict[str, str]] = []
    with progress("cells cut out", len(found), "fields") as meter:
        for path, cells in found:
            rows += _cut(path, cells, Path(out), settings, labels or {}, drawn.get(path.stem))
            meter.advance()
    _write_manifest(Path(out) / MANIFEST, rows)
    return CropCounts(len(found), len(rows), sum(row["label"] != "" for row in rows))


def read_labels(path: Path | str, column: str) -> dict[str, str]:
    """Read the label of each field from a CSV whose first column names the fields, with or without suffix.

    Raises
    ------
    ColumnError
        If there is no such column.
    FormatError
        If it cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            names = list(reader.fieldnames or ())
            if column not in names:
                raise ColumnError(
                    f"{path} has no column {column!r}",
                    allowed=", ".join(names) or "a header",
                    remedy="name one of these",
                )
            return {Path(row[names[0]]).stem: (row[column] or "").strip() for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            f"{path} is no table of labels", seen=error, allowed="a CSV in UTF-8", remedy="check the path"
        ) from None


def _fields_with_boxes(fields: Path, boxes: Path, settings: CropSettings) -> Iterator[tuple[Path, list[Box]]]:
    wanted = {name.casefold() for name in settings.objects}
    by_stem = {} if boxes.is_dir() else {Path(name).stem: found for name, found in read_boxes(boxes).items()}
    for path in sorted(fields.glob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        written = boxes / f"{path.stem}.xml"
        given = read_voc(written) if boxes.is_dir() and written.is_file() else by_stem.get(path.stem, ())
        cells = [box for box in given if box.object.casefold() in wanted]
        if cells:
            yield path, cells


def _cut(
    path: Path,
    cells: list[Box],
    out: Path,
    settings: CropSettings,
    labels: Mapping[str, str],
    mask: Path | None,
) -> list[dict[str, str]]:
    """Write the cells of one field and return their rows of the manifest."""
    pixels = decode(path.read_bytes())
    drawn = None if mask is None else read_mask(mask)
    rows = []
    for number, box in enumerate(cells):
        left, top, side = _square(box, pixels.shape[:2], settings)
        name = f"{path.stem}_{number}.png"
        _write(out / IMAGES / name, pixels[top : top + side, left : left + side])
        if drawn is not None:
            _write(out / MASKS / name, drawn[top : top + side, left : left + side].astype(np.uint8) * 255)
        label = labels.get(path.stem, "") if len(cells) == 1 else ""
        moved = (box.x0 - left, box.y0 - top, box.x1 - left, box.y1 - top)
        corners = {key: f"{value:g}" for key, value in zip(_BOX, moved, strict=True)}
        rows.append(
            {
                "path": f"{IMAGES}/{name}",
                "label": label,
                "field": path.stem,
                "object": box.object,
                **corners,
            }
        )
    return rows


def _square(box: Box, size: tuple[int, ...], settings: CropSettings) -> tuple[int, int, int]:
    """Return left and upper edge and side of the square around a box, moved inside the field."""
    height, width = size
    side = settings.side or round(settings.context * max(box.x1 - box.x0, box.y1 - box.y0))
    side = max(min(side, height, width), 1)
    left = round((box.x0 + box.x1 - side) / 2)
    top = round((box.y0 + box.y1 - side) / 2)
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side


def _write(path: Path, pixels: Shaped[np.ndarray, "height width *channel"]) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _write_manifest(path: Path, rows: list[dict[str, str]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
