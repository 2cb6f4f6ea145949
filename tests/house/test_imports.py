"""What is imported when: the package and its help are light, and every floor can be read alone."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "anndata", "pandas", "matplotlib", "sklearn", "scipy", "numba", "h5py", "zarr"}


def modules_after(code: str) -> set[str]:
    """Return the top-level names of the modules a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted({{n.split('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy_and_says_nothing():
    assert modules_after("import trilineage") & (HEAVY | {"numpy", "pydantic", "typer"}) == set()


@pytest.mark.parametrize("arguments", [[], ["rna"], ["rna", "fit"], ["report"], ["data", "simulate"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "from trilineage.cli.main import app\n"
        f"try:\n    app({[*arguments, '--help']!r})\nexcept SystemExit as leaving:\n    assert not leaving.code"
    )
    assert modules_after(code) & HEAVY == set()


def test_core_loads_no_other_floor_and_nothing_heavy():
    code = "\n".join(
        f"import trilineage.core.{name}"
        for name in ("artifacts", "config", "progress", "registry", "seeding")
    )
    assert modules_after(code) & (HEAVY | {"typer"}) == set()


@pytest.mark.parametrize("floor", ["report.page", "evaluation.intervals"])
def test_reading_a_run_and_scoring_need_no_torch(floor):
    assert "torch" not in modules_after(f"import trilineage.{floor}")


def test_an_unknown_recipe_is_answered_with_those_there_are():
    import trilineage

    with pytest.raises(AttributeError, match="there are: rna, images, concepts, cases"):
        _ = trilineage.proteins
    assert set(trilineage.RECIPES) <= set(dir(trilineage))
