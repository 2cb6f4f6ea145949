"""Words are completed in bash, zsh and fish, quickly: completing loads nothing heavy."""

import os
import subprocess
import sys

import pytest

PROGRAM = "import sys; from trilineage.cli.main import app; app(prog_name='trilineage')"
HEAVY = "print(sorted({'torch', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)), file=sys.stderr)"


def said(**variables: str) -> subprocess.CompletedProcess[str]:
    """Return what the command says to a shell."""
    code = f"{PROGRAM.replace('; app', '; import atexit; atexit.register(lambda: {heavy}); app')}"
    words = [sys.executable, "-c", code.replace("{heavy}", HEAVY)]
    return subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell):
    script = said(_TRILINEAGE_COMPLETE=f"source_{shell}").stdout
    assert f"_TRILINEAGE_COMPLETE=complete_{shell}" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_bash_completes_a_command_without_loading_anything_heavy():
    found = said(_TRILINEAGE_COMPLETE="complete_bash", COMP_WORDS="trilineage rna f", COMP_CWORD="2")
    assert (found.stdout.split(), found.stderr.strip()) == (["fit"], "[]")


def test_zsh_completes_an_option_with_its_meaning():
    found = said(_TRILINEAGE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="trilineage rna fit --js")
    assert '"--json":"Print one JSON object' in found.stdout


def test_fish_completes_the_values_of_an_option():
    words = "trilineage concepts export x --format "
    variables = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": words}
    found = said(_TRILINEAGE_COMPLETE="complete_fish", **variables)
    assert found.stdout.split() == ["safetensors", "saelens"]
