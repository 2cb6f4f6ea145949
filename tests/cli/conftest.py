"""A recipe that only writes down what it was asked, and a way to type commands."""

import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.progress import set_quiet
from trilineage.core.records import Prediction, Score


class DataOptions(Settings):
    """Stands for the options of a file."""

    path: str | None = None
    """File."""


class Options(Settings):
    """Stands for the configuration of a recipe."""

    data: DataOptions = DataOptions()
    """File."""
    n_latent: int = 8
    """Width."""
    hidden: tuple[int, ...] = (16,)
    """Widths."""
    population: tuple[str, ...] = ("progenitors",)
    """Populations."""


class FakeRecipe(types.ModuleType):
    """Takes the place of `trilineage.pipelines.rna`; `calls` holds what each function was given."""

    Config = Options

    def __init__(self, folder: Path):
        super().__init__("trilineage.pipelines.rna")
        self.folder = folder
        self.calls: dict[str, tuple[tuple, dict]] = {}
        self.error: BaseException | None = None

    def _note(self, name: str, *given, **options) -> Run:
        self.calls[name] = (given, options)
        if self.error is not None:
            raise self.error
        run = Run.create(self.folder / "made", kind="rna", config=Options(), seed=0)
        for file in ("scores.json", "transfer/scores.json"):
            run.add_scores([Score("balanced_accuracy", 0.9, 0.8, 1.0, n_samples=30, n_patients=5)], file)
        run.write_table("explain/genes.csv", {"class": ["AML"], "gene": ["GATA2"], "attribution": [0.5]})
        return run

    def fit(self, *given, **options):
        return self._note("fit", *given, **options)

    def transfer(self, *given, **options):
        return self._note("transfer", *given, **options)

    def explain(self, *given, **options):
        return self._note("explain", *given, **options)

    def study(self, *given, **options):
        return self._note("study", *given, **options)

    def predict(self, *given, **options):
        self._note("predict", *given, **options)
        samples = np.array(["c1", "c2"])
        prediction = Prediction(
            samples, np.array(["p1", "p1"]), ("A", "B"), np.array([[0.7, 0.3], [0.9, 0.1]])
        )
        patients = {
            "patient": ["p1"],
            "n_samples": [2],
            "predicted": ["A"],
            "probability: A": [0.8],
            "probability: B": [0.2],
        }
        return types.SimpleNamespace(prediction=prediction, patients=patients)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRecipe:
    """Put the recipe that takes notes in the place of the real one."""
    import trilineage.pipelines

    fake = FakeRecipe(tmp_path)
    monkeypatch.setitem(sys.modules, "trilineage.pipelines.rna", fake)
    monkeypatch.setattr(trilineage.pipelines, "rna", fake, raising=False)
    return fake


@pytest.fixture
def trilineage() -> Iterator[Callable[..., Result]]:
    """Type a command: `trilineage("rna", "fit", ...)`."""
    from trilineage.cli.main import app

    yield lambda *words: CliRunner().invoke(app, [str(word) for word in words])
    logger = logging.getLogger("trilineage")
    logger.handlers = [handler for handler in logger.handlers if handler.name != "terminal"]
    logger.setLevel(logging.NOTSET)
    set_quiet(False)
