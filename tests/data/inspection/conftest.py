"""Small pictures of cells, each a different one, as arrays and as folders of files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trilineage.data.inspection.findings import Inspection
from trilineage.data.inspection.inspect import inspect_images
from trilineage.data.inspection.settings import InspectionSettings


def draw(number: int, *, side: int = 96, background=(253, 227, 201)) -> np.ndarray:
    """Draw one cell of its own: a nucleus of lobes and some red cells on a coloured ground."""
    generator = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side] / side
    picture = np.tile(np.array(background, dtype=np.float64), (side, side, 1))
    for _ in range(5):
        paint(picture, (y, x), generator.uniform(0, 1, 2), generator.uniform(0.06, 0.12), (220, 170, 160))
    for _ in range(4):
        paint(picture, (y, x), generator.uniform(0.3, 0.7, 2), generator.uniform(0.06, 0.16), (90, 50, 140))
    return (picture + generator.normal(0, 1.5, picture.shape)).clip(0, 255).astype(np.uint8)


def paint(picture, grid, centre, radius, colour) -> None:
    inside = (grid[0] - centre[0]) ** 2 + (grid[1] - centre[1]) ** 2 < radius**2
    picture[inside] = colour


@pytest.fixture
def laid(tmp_path: Path) -> Callable[[dict[str, np.ndarray]], Path]:
    """Return a function that writes pictures by their paths below a folder, and returns the folder."""

    def write(pictures: dict[str, np.ndarray]) -> Path:
        for name, picture in pictures.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / name)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def cell() -> Callable[..., np.ndarray]:
    """Return the function that draws the cell of a number."""
    return draw


@pytest.fixture(scope="session")
def inspected() -> Callable[..., Inspection]:
    """Return a function that inspects a path, with options by dotted key."""

    def inspect(path: Path, **options: object) -> Inspection:
        return inspect_images(
            InspectionSettings.load(None, {"data.path": str(path), "data.workers": 1, **options})
        )

    return inspect
