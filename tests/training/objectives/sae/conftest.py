"""The plain dense autoencoder of `plain.py`, as a fixture."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def plain():
    """Module with small models, tokens, and the plain dense loss and training."""
    spec = importlib.util.spec_from_file_location("plain_sae", Path(__file__).with_name("plain.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
