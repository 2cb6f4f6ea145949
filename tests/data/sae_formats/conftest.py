"""The small files of `files.py`, as a fixture."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def files():
    """Module that writes small files in the layouts of other packages."""
    spec = importlib.util.spec_from_file_location("sae_files", Path(__file__).with_name("files.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
