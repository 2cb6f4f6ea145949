"""The command itself: quick, complete in its help, honest about its use."""

import ast
import inspect
import subprocess
import sys

import pytest
import typer

from trilineage import __version__
from trilineage.cli import cases, concepts, data, demo, doctor, images, main, report, review, rna

HEAVY = ("torch", "anndata", "pandas", "matplotlib", "numba", "sklearn", "scipy")


def commands(group=None, name: str = "trilineage"):
    group = group or typer.main.get_command(main.app)
    for child_name, child in group.commands.items():
        if hasattr(child, "commands"):
            yield from commands(child, f"{name} {child_name}")
        else:
            yield f"{name} {child_name}", child


def test_help_says_what_it_is_for_and_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from trilineage.cli.main import app\n"
        "print(CliRunner().invoke(app, ['--help'], env={'COLUMNS': '200'}).output)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Research use only; not a medical device." in found.stdout
    assert found.stdout.rstrip().endswith("[]")


def test_the_module_can_be_run_as_torchrun_does():
    words = [sys.executable, "-m", "trilineage.cli.main", "--version"]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == (f"trilineage {__version__}\n", "")


def test_the_commands_are_those_of_the_manual():
    assert [name for name, _ in commands()] == [
        "trilineage report",
        "trilineage demo",
        "trilineage doctor",
        "trilineage rna fit",
        "trilineage rna predict",
        "trilineage rna transfer",
        "trilineage rna explain",
        "trilineage rna study",
        "trilineage images fit",
        "trilineage images predict",
        "trilineage images explain",
        "trilineage images compare",
        "trilineage images agree",
        "trilineage images pretrain",
        "trilineage images probe",
        "trilineage concepts fit",
        "trilineage concepts predict",
        "trilineage concepts explain",
        "trilineage concepts compare",
        "trilineage concepts subtype",
        "trilineage concepts tokens",
        "trilineage concepts import",
        "trilineage concepts export",
        "trilineage concepts review export",
        "trilineage concepts review read",
        "trilineage cases fit",
        "trilineage cases predict",
        "trilineage cases explain",
        "trilineage data list",
        "trilineage data get",
        "trilineage data check",
        "trilineage data crop",
        "trilineage data simulate",
        "trilineage data simulate-smears",
        "trilineage data simulate-cohort",
    ]


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_every_option_is_explained(name, command):
    assert command.help
    assert all(parameter.help for parameter in command.params if parameter.name != "help")


@pytest.mark.parametrize("module", [rna, images, concepts, review, cases, data, report, demo, doctor])
def test_a_command_builds_calls_and_shows_in_fewer_than_fifteen_lines(module):
    tree = ast.parse(inspect.getsource(module))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    lengths = {node.name: node.end_lineno - node.body[0].end_lineno for node in functions}
    assert lengths
    assert {name: n for name, n in lengths.items() if n >= 15} == {}


def test_an_unknown_command_is_a_usage_error(trilineage):
    result = trilineage("rna", "fitt")
    assert result.exit_code == 2
    assert "fitt" in result.stderr
