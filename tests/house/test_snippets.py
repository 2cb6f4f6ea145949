"""Python on the pages of the documentation runs, on a small simulated cohort under the names the pages use."""

import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from trilineage.pipelines import rna

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
)
SMALL = {
    "representation": "components",
    "components.n_genes": 100,
    "components.n_components": 8,
    "population.train": ("all",),
    "classifier_training.epochs": 3,
    "evaluation.n_bootstrap": 100,
    "evaluation.n_permutations": 99,
    "evaluation.n_nulls": 0,
}
"""Laid over every configuration: what a page says runs as it stands, on little data and briefly."""
FILES = ("blood.h5ad", "FILE.h5ad", "new.h5ad", "nosignal.h5ad", "runs/tutorial/blood.h5ad")
RUNS = ("runs/x", "runs/marrow")
ELSEWHERE = {"fuse-lineages.md": "tests/pipelines/test_cases.py"}
"""Pages whose Python needs Runs of several lineages, with the tests that run the same."""


def snippets(page: Path) -> list[tuple[str, str]]:
    """Return the Python blocks of a page, each with why it is not run, or nothing."""
    found = re.findall(
        r"(?:<!-- not run: ([^>]*?) -->\n\n)?^```python\n(.*?)^```", page.read_text(), re.M | re.S
    )
    return [(code, reason) for reason, code in found]


def pages_with_snippets() -> list[Path]:
    return [page for page in PAGES if snippets(page)]


def small(config: rna.Config) -> rna.Config:
    return config.replace(**SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with small data, the configurations that ship and a finished Run, named as on the pages."""
    from trilineage.data.simulate.expression import simulate_expression
    from trilineage.data.simulate.settings import SimulationSettings

    folder = tmp_path_factory.mktemp("reader")
    settings = SimulationSettings(
        n_classes=3, n_donors_per_class=6, n_cells_per_donor=12, n_genes=150, seed=3
    )
    simulate_expression(settings).to_anndata().write_h5ad(folder / "small.h5ad")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "small.h5ad", folder / name)
    shutil.copytree(ROOT / "configs", folder / "configs")
    rna.fit(
        small(rna.Config.load(None, {"data.path": str(folder / "small.h5ad")})),
        folder / RUNS[0],
        device="cpu",
    )
    for name in RUNS[1:]:
        shutil.copytree(folder / RUNS[0], folder / name)
    rna.predict(folder / RUNS[0], folder / "new.h5ad", out=folder / "diagnosed.h5ad", device="cpu")
    return folder


@pytest.mark.parametrize("page", pages_with_snippets(), ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, folder, monkeypatch):
    load = rna.Config.load
    monkeypatch.setattr(rna.Config, "load", classmethod(lambda cls, *given: small(load(*given))))
    monkeypatch.setattr(rna, "fit_adata", partial(rna.fit_adata, config=small(rna.Config())))
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for code, reason in snippets(page):
        program = compile(code, page.name, "exec")
        if not reason and page.name not in ELSEWHERE:
            exec(program, names)


def test_python_that_runs_elsewhere_has_its_tests_there():
    assert all((ROOT / tests).is_file() for tests in ELSEWHERE.values())


def test_a_snippet_that_is_not_run_says_why(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: hours -->\n\n```python\na\n```\n\n```python\nb\n```\n")
    assert snippets(page) == [("a\n", "hours"), ("b\n", "")]
