"""The small classifiers and images of `pictures.py`, as fixtures."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pictures():
    """Module with classifiers, images and targets, all of milliseconds."""
    spec = importlib.util.spec_from_file_location("pictures", Path(__file__).with_name("pictures.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tree(pictures):
    """blood -> normal, leukemia -> ALL, AML."""
    return pictures.small_tree()


@pytest.fixture
def plain(pictures):
    """Two classes without a network between: the first is red, the second blue."""
    return pictures.plain_classifier()
