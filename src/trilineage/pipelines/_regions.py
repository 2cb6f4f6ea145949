"""Where the cells are in images, as a command is told it: folders of masks, or boxes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from trilineage.data.images.table import ImageTable
from trilineage.data.regions import box_mask, fit_mask, mask_files, read_boxes, read_mask, read_voc


@dataclass(frozen=True)
class Regions:
    """Where the cell is: folders of masks by file stem, or boxes."""

    cells: Path | None = None
    """Folder of masks of the whole white cell."""
    nuclei: Path | None = None
    """Folder of masks of the nucleus."""
    boxes: Path | None = None
    """CSV of boxes (file, object, x0, y0, x1, y1), or folder of PASCAL VOC files."""
    objects: tuple[str, ...] = ("WBC",)
    """Objects of the boxes that are the cell."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is given."""
        return self.cells is None and self.nuclei is None and self.boxes is None


def known_stems(regions: Regions) -> frozenset[str]:
    """Return the stems of the images for which all that is given is there."""
    stems: set[str] | None = None
    for folder in (regions.cells, regions.nuclei):
        if folder is not None:
            found = set(mask_files(folder))
            stems = found if stems is None else stems & found
    if regions.boxes is not None:
        if regions.boxes.is_dir():
            found = {path.stem for path in regions.boxes.glob("*.xml")}
        else:
            found = {Path(name).stem for name in read_boxes(regions.boxes)}
        stems = found if stems is None else stems & found
    return frozenset(stems or ())


def region_masks(table: ImageTable, regions: Regions) -> list[dict[str, Bool[np.ndarray, "height width"]]]:
    """Return cell and nucleus of each image at the working size."""
    cells = mask_files(regions.cells) if regions.cells is not None else {}
    nuclei = mask_files(regions.nuclei) if regions.nuclei is not None else {}
    boxes = _boxes(regions)
    found = []
    for name, (width, height) in zip(table.names, table.sizes, strict=True):
        stem, masks = Path(str(name)).stem, {}
        if cells:
            masks["cell"] = read_mask(cells[stem])
        elif boxes:
            masks["cell"] = box_mask(boxes[stem], (int(height), int(width)), regions.objects)
        if nuclei:
            masks["nucleus"] = read_mask(nuclei[stem])
            masks.setdefault("cell", masks["nucleus"])
        found.append({key: fit_mask(mask, table.shape, table.settings.fit) for key, mask in masks.items()})
    return found


def _boxes(regions: Regions) -> dict[str, Any]:
    if regions.boxes is None:
        return {}
    if regions.boxes.is_dir():
        return {path.stem: read_voc(path) for path in sorted(regions.boxes.glob("*.xml"))}
    return {Path(name).stem: boxes for name, boxes in read_boxes(regions.boxes).items()}
