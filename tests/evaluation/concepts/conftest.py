"""The plain summaries of `data/codes/drawing.py`, as fixtures."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "data" / "codes" / "drawing.py"


@pytest.fixture(scope="session")
def drawing():
    """Module that makes codes of images from dense activations."""
    spec = importlib.util.spec_from_file_location("codes_drawing", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def codes_of(drawing):
    """From dense activations (image token latent) to codes."""
    return drawing.codes_of


@pytest.fixture(scope="session")
def from_scores(drawing):
    """From mean activations (image latent) to codes of images with one patch."""
    return drawing.from_scores
