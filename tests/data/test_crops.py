"""Cells cut out of whole fields."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trilineage.core.errors import ColumnError, DataError
from trilineage.data.crops import CropSettings, crop_cells, read_labels
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.regions import mask_files, read_mask


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Two fields of 60 x 40 pixels: one red cell in the first, two in the second; boxes, masks and labels."""
    for folder in ("fields", "drawn"):
        (tmp_path / folder).mkdir()
    boxes = {"one": [(20, 10, 30, 20)], "two": [(0, 0, 8, 8), (50, 30, 60, 40)]}
    lines = ["file,object,x0,y0,x1,y1"]
    for name, found in boxes.items():
        pixels, mask = np.full((40, 60, 3), 255, np.uint8), np.zeros((40, 60), np.uint8)
        for x0, y0, x1, y1 in found:
            pixels[y0:y1, x0:x1] = (200, 0, 0)
            mask[y0:y1, x0:x1] = 255
            lines.append(f"{name}.png,WBC,{x0},{y0},{x1},{y1}")
        lines.append(f"{name}.png,RBC,1,1,5,5")
        Image.fromarray(pixels).save(tmp_path / "fields" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "drawn" / f"{name}.png")
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "labels.csv").write_text("image,kind\none,NEUTROPHIL\ntwo,LYMPHOCYTE\n")
    return tmp_path


def test_every_box_becomes_an_image_with_the_cell_in_the_middle(fields: Path) -> None:
    counts = crop_cells(
        fields / "fields",
        fields / "boxes.csv",
        fields / "out",
        CropSettings(context=2.0),
        labels=read_labels(fields / "labels.csv", "kind"),
        masks=fields / "drawn",
    )
    assert counts == (2, 3, 1)
    table = open_images(ImageDataSettings(path=str(fields / "out"), size=20))
    assert table.labels[table.names == "images/one_0.png"].tolist() == ["NEUTROPHIL"]
    cell = table.read(int(np.flatnonzero(table.names == "images/one_0.png")[0]))
    assert cell.shape == (20, 20, 3)
    is_red = (cell == (200, 0, 0)).all(axis=2)
    np.testing.assert_array_equal(is_red, read_mask(mask_files(fields / "out" / "masks")["one_0"]))
    assert is_red[5:15, 5:15].all()
    assert is_red.sum() == 100


def test_squares_at_the_border_are_moved_inside_and_boxes_move_with_them(fields: Path) -> None:
    crop_cells(fields / "fields", fields / "boxes.csv", fields / "out", CropSettings(side=16))
    lines = (fields / "out" / "manifest.csv").read_text().splitlines()
    rows = {row["path"]: row for row in csv.DictReader(lines)}
    corner = rows["images/two_1.png"]
    assert [corner[key] for key in ("x0", "y0", "x1", "y1")] == ["6", "6", "16", "16"]
    assert {row["label"] for row in rows.values()} == {""}


def test_other_objects_and_columns_are_named(fields: Path) -> None:
    with pytest.raises(DataError, match="no field has a box") as raised:
        crop_cells(fields / "fields", fields / "boxes.csv", fields / "out", CropSettings(objects=("blast",)))
    assert "blast" in str(raised.value)
    with pytest.raises(ColumnError, match="no column 'type'"):
        read_labels(fields / "labels.csv", "type")
