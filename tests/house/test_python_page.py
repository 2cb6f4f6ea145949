"""The page of Python names says what the source says."""

import doctest
import importlib.util
from pathlib import Path

import pytest

import trilineage

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    """Return tools/python_names.py, which writes the page."""
    path = ROOT / "tools" / "python_names.py"
    spec = importlib.util.spec_from_file_location("trilineage_python_names", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_source_says(tool):
    assert (ROOT / "docs" / "reference" / "python.md").read_text() == tool.page(), (
        "write it again with: make docs"
    )


def test_every_recipe_is_on_the_page_with_fit_and_the_names_it_exports(tool):
    assert tool.recipes() == trilineage.RECIPES
    for recipe in tool.recipes():
        names = {node.name for node in tool.exported(f"pipelines.{recipe}")}
        assert {"Config", "fit"} <= names == set(tool._all(tool.module_tree(f"pipelines.{recipe}")))


def test_every_name_of_the_parts_has_a_sentence(tool):
    rows = [row for modules in tool.PARTS.values() for row in tool.rows(modules)]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []


def test_a_signature_has_no_types(tool):
    node = tool.ast.parse("def f(a: int, *b: str, c: float = 1.5, **d: int) -> None: ...").body[0]
    assert tool.shown(node) == "f(a, *b, c=1.5, **d)"


def test_the_examples_of_the_tool_are_true(tool):
    result = doctest.testmod(tool)
    assert (result.failed, result.attempted) == (0, 1)
