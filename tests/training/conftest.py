"""The small training of `small.py`, as a fixture."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small():
    """Module with a model, data, a step and `fit`, all of milliseconds."""
    spec = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
