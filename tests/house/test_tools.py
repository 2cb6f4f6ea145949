"""The tools that print the house print all of it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_tree_shows_every_module_once():
    lines = printed("tools/tree.py").splitlines()
    n_modules = len(list((ROOT / "src" / "trilineage").rglob("*.py")))
    assert len(lines) == n_modules
    assert not any("(says nothing)" in line for line in lines)


def test_where_prints_the_modules_of_a_recipe_from_data_to_run():
    files = [line.split()[0] for line in printed("tools/where.py", "rna").splitlines()]
    assert files.index("data/cohort.py") < files.index("training/loop.py") < files.index("core/artifacts.py")
    private = {f"pipelines/{path.name}" for path in (ROOT / "src/trilineage/pipelines").glob("_rna*.py")}
    assert private <= set(files)


def test_where_prints_the_concepts_recipe_from_tokens_to_barcodes():
    files = [line.split()[0] for line in printed("tools/where.py", "concepts").splitlines()]
    steps = ("models/encoder.py", "training/loop.py", "pipelines/_concepts/coding.py")
    last = ("pipelines/_concepts/patients.py", "core/artifacts.py")
    assert sorted((*steps, *last), key=files.index) == [*steps, *last]


def test_an_unknown_recipe_is_answered_with_those_there_are():
    done = subprocess.run(
        [sys.executable, "tools/where.py", "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there are: cases, concepts, images, rna" in done.stderr
