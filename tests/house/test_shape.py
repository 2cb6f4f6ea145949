"""The shape of the house: short files, short functions, first lines that say the one idea, empty package files."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "trilineage"
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 500
MAX_BODY_LINES = 50
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "common", "part2", "stuff"}
WAIVER = re.compile(r"# long: \w+")
"""Beside a `def`, with the reason: rule 60 stands above the others."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def body_lines(function: ast.FunctionDef) -> int:
    """Count the lines of a function after its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "tools"])
def test_files_stay_under_500_lines(folder):
    sizes = {named(path): path.read_text().count("\n") for path in (ROOT / folder).rglob("*.py")}
    assert {name: size for name, size in sizes.items() if size >= MAX_LINES} == {}


def test_function_bodies_stay_within_50_lines():
    too_long = []
    for path in MODULES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            is_long = isinstance(node, ast.FunctionDef) and body_lines(node) > MAX_BODY_LINES
            if is_long and not WAIVER.search(lines[node.lineno - 1]):
                too_long.append(f"{named(path)}:{node.lineno} {node.name}")
    assert too_long == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_the_first_line_of_a_file_says_its_one_idea(path):
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert text.startswith('"""'), "a file begins with its docstring"
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem == "__init__"], ids=named)
def test_package_files_hold_a_docstring_only(path):
    if path.parent != SOURCE:  # the top one names the recipes, lazily
        assert len(ast.parse(path.read_text()).body) == 1


def test_no_file_has_a_name_that_says_nothing():
    assert [named(path) for path in MODULES if path.stem in VAGUE_NAMES] == []


def test_compiled_functions_live_in_files_named_kernels():
    compiled = re.compile(r"^@(numba\.)?(n?jit|vectorize|guvectorize)\b", re.MULTILINE)
    found = [named(path) for path in MODULES if compiled.search(path.read_text())]
    assert [name for name in found if not name.endswith("kernels.py")] == []
