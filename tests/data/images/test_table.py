"""The table of images: subsets keep every column together, and a fingerprint names what is in it."""

import numpy as np
from PIL import Image

from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings


def test_pixels_are_those_of_the_file(table, folder):
    assert np.array_equal(table.read(0), np.asarray(Image.open(folder / table.names[0])))
    assert table.read_sized(0).shape == (24, 24, 3)


def test_a_subset_keeps_every_column_together(manifest):
    table = open_images(ImageDataSettings(path=str(manifest), size=24, workers=1))
    part = table.subset(np.array([7, 2]))
    assert part.names.tolist() == [table.names[7], table.names[2]]
    assert part.patients.tolist() == ["P3", "P1"]
    assert part.columns["subclass"].tolist() == ["kind 3", "kind 2"]
    assert np.array_equal(part.subset(np.array([1])).read_sized(0), table.read_sized(2))


def test_parts_and_labelled_images_are_found(manifest):
    table = open_images(ImageDataSettings(path=str(manifest), size=24, workers=1))
    assert table.in_part("test").tolist() == [4, 5]
    assert len(table.labelled()) == 10


def test_a_table_without_a_split_has_nothing_in_any_part(table):
    assert len(table.in_part("train")) == 0


def test_a_fingerprint_changes_with_a_pixel_and_with_a_row(folder, table, cell, write):
    again = open_images(ImageDataSettings(path=str(folder), size=48, workers=1))
    assert again.fingerprint == table.fingerprint
    assert table.subset(np.arange(9)).fingerprint != table.fingerprint
    write(folder / "blast" / "1.png", cell(77))
    assert open_images(again.settings).fingerprint != table.fingerprint


def test_content_numbers_are_the_heads_of_the_digests(table):
    assert f"{int(table.content_numbers[4]):016x}" == table.content[4][:16]
