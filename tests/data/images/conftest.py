"""Small sets of images: drawn cells in two classes, written in any layout."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings


def drawn_cell(number: int, size: int = 32) -> np.ndarray:
    """Return a smear in little: background, pink red cells, a purple cell whose place and size depend on the number."""
    y, x = np.mgrid[:size, :size]
    pixels = np.full((size, size, 3), (250, 228, 205), np.uint8)
    pixels[(x % 16 - 8) ** 2 + (y % 16 - 8) ** 2 < 25] = (205, 150, 150)
    middle, radius = size // 2 + number % 5 - 2, size // 5 + number % 3
    pixels[(x - middle) ** 2 + (y - middle) ** 2 < radius**2] = (95, 50, 130)
    pixels[0, 0] = number % 256
    return pixels


def write_image(path, pixels: np.ndarray, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Return a folder of ten images in two classes."""
    for number in range(10):
        label = "blast" if number % 2 else "lymphocyte"
        write_image(tmp_path / "cells" / label / f"{number}.png", drawn_cell(number))
    return tmp_path / "cells"


@pytest.fixture
def manifest(folder):
    """Return a manifest of the ten images: five patients, two sites, a split and a finer label."""
    rows = [
        {
            "file": f"{'blast' if n % 2 else 'lymphocyte'}/{n}.png",
            "class": "blast" if n % 2 else "lymphocyte",
            "subclass": f"kind {n % 4}",
            "patient_id": f"P{n // 2}",
            "hospital": "Bonn" if n < 6 else "Jena",
            "split": ["train", "val", "test", "", "training"][n // 2],
        }
        for n in range(10)
    ]
    path = folder / "metadata.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def table(folder):
    """Return the ten images opened at 24 pixels."""
    return open_images(ImageDataSettings(path=str(folder), size=24, workers=1))


@pytest.fixture(scope="session")
def cell():
    """Return the function that draws a cell."""
    return drawn_cell


@pytest.fixture(scope="session")
def write():
    """Return the function that writes an image, making its folder."""
    return write_image
