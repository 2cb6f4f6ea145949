"""Pillow's own memory as an array: the same pixels, kept alive, read-only, whole even if Pillow holds it in pieces."""

import gc

import numpy as np
import pytest
from PIL import Image

from trilineage.data.images.pixel_memory import pixels_of


def test_pixels_are_those_of_the_image(cell):
    for shape in ((32, 32), (20, 31), (1, 1)):
        image = Image.fromarray(cell(3)[: shape[0], : shape[1]])
        assert np.array_equal(pixels_of(image)[..., :3], np.asarray(image))


def test_they_outlive_the_image_and_cannot_be_written(cell):
    pixels = pixels_of(Image.fromarray(cell(4)))
    gc.collect()
    _ = [Image.fromarray(cell(number)) for number in range(50)]  # would take the memory were it free
    assert np.array_equal(pixels[..., :3], cell(4))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 0


def test_an_image_in_several_pieces_comes_whole():
    noise = np.random.default_rng(0).integers(0, 256, (2100, 2100, 3), dtype=np.uint8)
    assert np.array_equal(pixels_of(Image.fromarray(noise))[..., :3], noise)
