"""Runs as the rna recipe leaves them, filled with made-up predictions: nothing here was trained."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checked_calls import switched_off

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Prediction
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.intervals import score_predictions
from trilineage.evaluation.settings import EvaluationSettings

CLASSES = ("healthy", "AML", "ALL", "CLL")
FAST = EvaluationSettings(n_bootstrap=100, n_permutations=99)


class FewOptions(Settings):
    """Stands for the configuration of a recipe."""

    task: str = "multiclass"
    """Kind of task."""
    seed: int = 7
    """Seed."""


class RunMaker:
    """Writes Runs of any strength of signal.

    Parameters
    ----------
    folder
        Where the Runs go.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @switched_off()
    def __call__(
        self,
        name: str = "aml-against-the-rest",
        *,
        signal: float = 2.0,
        classes: tuple[str, ...] = CLASSES,
        n_patients: int = 12,
        kind: str = "rna",
        extras: bool = True,
        finish: bool = True,
    ) -> Run:
        run = Run.create(
            self.folder / name,
            kind=kind,
            config=FewOptions(),
            seed=7,
            command="trilineage rna fit --data marrow.h5ad --out runs/aml",
            data={"path": "/data/clinic/marrow.h5ad", "sha256": "ab" * 32, "n_obs": 4800, "n_vars": 2000},
        )
        model = made_up(classes, n_patients, signal, seed=1)
        others = {
            "baseline: majority": made_up(classes, n_patients, None, seed=2),
            "baseline: PCA + logistic": made_up(classes, n_patients, 0.75 * signal, seed=3),
            "baseline: composition": made_up(classes, n_patients, 0.3 * signal, seed=4),
        }
        scores, comparisons = [], []
        for unit in ("patient", "sample"):
            scores += score_predictions(model, unit=unit, settings=FAST, seed=7)
            for subject, prediction in others.items():
                scores += score_predictions(prediction, unit=unit, settings=FAST, seed=7, subject=subject)
                pair = ("model", subject)
                comparisons += compare_predictions(model, prediction, names=pair, unit=unit, settings=FAST)
            null = made_up(classes, n_patients, 0.0, seed=5)
            scores += score_predictions(null, unit=unit, settings=FAST, subject="null: permuted patients")
        run.add_scores(scores)
        run.add_comparisons(comparisons)
        run.write_predictions(model)
        write_cohort(run, model)
        if extras:
            write_extras(run, classes, n_patients)
        if finish:
            run.finish()
        return run


def made_up(classes: tuple[str, ...], n_patients: int, signal: float | None, *, seed: int) -> Prediction:
    """Draw probabilities for `n_patients` patients per class, 12 samples each; None always calls the first class."""
    rng = np.random.default_rng(seed)
    n_samples = 12
    labels = np.repeat(np.arange(len(classes)), n_patients * n_samples)
    patients = np.repeat(
        [f"{name[:3]}{code}-{i:02d}" for code, name in enumerate(classes) for i in range(n_patients)],
        n_samples,
    )
    logits = rng.normal(size=(len(labels), len(classes)))
    logits += np.repeat(
        rng.normal(scale=0.6, size=(len(classes) * n_patients, len(classes))), n_samples, axis=0
    )
    logits[np.arange(len(labels)), labels] += signal or 0.0
    if signal is None:
        logits = np.tile(np.linspace(1, 0, len(classes)), (len(labels), 1))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    samples = np.array([f"cell-{i}" for i in range(len(labels))])
    return Prediction(samples, patients, classes, probabilities, labels)


def write_cohort(run: Run, prediction: Prediction) -> None:
    """Write who was studied and how they were divided: everyone was tested, and as many more were learned from."""
    classes, labels = prediction.classes, prediction.labels
    assert labels is not None
    names = [classes[code] for code in labels]
    table = [
        {
            "label": name,
            "n_patients": 2 * len(set(prediction.patients[labels == i])),
            "n_samples": 2 * names.count(name),
        }
        for i, name in enumerate(classes)
    ]
    run.write_json(
        "cohort.json",
        {
            "n_samples": 2 * len(labels),
            "n_patients": sum(row["n_patients"] for row in table),
            "n_genes": 2000,
            "classes": table,
            "populations": [{"name": "HSC/MPP", "n_samples": 700}, {"name": "GMP", "n_samples": len(labels)}],
            "sites": [
                {"name": "site-1", "n_samples": len(labels)},
                {"name": "site-2", "n_samples": len(labels)},
            ],
            "keys": {"label": "disease", "patient": "donor_id", "cell_type": "cell_type", "site": None},
            "matrix_state": {
                "kind": "counts",
                "evidence": ["all values are whole numbers", "largest value 812"],
            },
            "notes": ["31 samples without a disease were left out"],
        },
    )
    patients = prediction.patients.tolist()
    columns = {
        "sample": [*prediction.samples.tolist(), *(f"train-{s}" for s in prediction.samples)],
        "patient": [*patients, *(f"train-{p}" for p in patients)],
        "label": [*names, *names],
        "fold": ["0"] * (2 * len(names)),
        "part": ["test"] * len(names)
        + ["train" if i % 3 else "valid" for i in np.repeat(np.arange(len(names) // 12), 12)],
    }
    run.write_table("split.csv", columns)


def write_extras(run: Run, classes: tuple[str, ...], n_patients: int) -> None:
    """Write what later commands add: training curves, transfer, genes."""
    rng = np.random.default_rng(9)
    falling = [
        {"epoch": e, "loss": 0.2 + 0.8 / (e + 1), "valid_loss": 0.3 + 0.8 / (e + 1)} for e in range(1, 31)
    ]
    rising = [{"epoch": e, "loss": 1.3 / e, "balanced_accuracy": 1 - 0.8 / (e + 1)} for e in range(1, 21)]
    stages = {"autoencoder": {"epochs": falling}, "classifier": {"epochs": rising}, "temperature": 1.4}
    run.write_json("history.json", {"holdout": stages})
    scores = []
    for population, signal in (("Monocyte", 1.2), ("Lymphocyte", 0.6)):
        subjects = {
            "model": signal,
            "trained on this population": signal + 0.3,
            "null: permuted patients": 0.0,
        }
        subjects["model on training patients (leaky)"] = signal + 0.5
        for subject, strength in subjects.items():
            for unit in ("patient", "sample"):
                prediction = made_up(classes, n_patients, strength, seed=11)
                about = {"unit": unit, "subject": subject, "population": population}
                scores += score_predictions(prediction, settings=FAST, **about)
    run.add_scores(scores, "transfer/scores.json")
    genes = [f"GENE{i}" for i in range(30)]
    columns: dict[str, list] = {"class": [], "gene": [], "attribution": [], "low": [], "high": []}
    for name in classes:
        values = rng.normal(size=30) * np.linspace(1, 0.1, 30)
        columns["class"] += [name] * 30
        columns["gene"] += rng.permutation(genes).tolist()
        columns["attribution"] += values.tolist()
        columns["low"] += (values - 0.1).tolist()
        columns["high"] += (values + 0.1).tolist()
    run.write_table("explain/genes.csv", columns)
    run.write_json("explain/stability.json", {"n_seeds": 5, "mean_rank_correlation": 0.87})
    recovery = {name: {"precision_at_50": 0.8, "auroc": 0.93} for name in classes}
    run.write_json("explain/recovery.json", {"classes": recovery})


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Write Runs into a temporary folder."""
    return RunMaker(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def bare_run(tmp_path: Path) -> Run:
    """A Run that holds nothing yet."""
    return Run.create(tmp_path / "bare", kind="rna", config=FewOptions(), seed=7)


def _beside(name: str):
    """Load a module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def image_runs():
    """Module that writes image Runs."""
    return _beside("image_runs")


@pytest.fixture(scope="session")
def case_runs():
    """Module that writes Runs of cases."""
    return _beside("case_runs")


@pytest.fixture(scope="session")
def fusion_runs():
    """Module that writes Runs of cases that were fused."""
    return _beside("fusion_runs")


@pytest.fixture(scope="session")
def make_image_run(image_runs, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Write image Runs into a temporary folder."""
    return image_runs.ImageRunMaker(tmp_path_factory.mktemp("image-runs"))


@pytest.fixture(scope="session")
def image_run(make_image_run) -> Run:
    """A Run on seven diagnoses, 42 patients, two sites, explained."""
    return make_image_run("seven-leaves")


@pytest.fixture(scope="session")
def patientless_run(make_image_run) -> Run:
    """The same images, the patients unknown."""
    return make_image_run("unknown-patients", has_patients=False)


@pytest.fixture(scope="session")
def costless_run(make_image_run) -> Run:
    """A Run on a tree without clinical costs, the patients unknown."""
    cells = ("neutrophil", "monocyte", "lymphocyte")
    return make_image_run("no-costs", taxonomy="white_cells", leaves=cells, has_patients=False)


@pytest.fixture
def bare_image_run(image_runs, tmp_path: Path) -> Run:
    """An image Run that holds nothing yet."""
    return image_runs.begun(tmp_path / "bare", "images")


@pytest.fixture(scope="session")
def concept_runs():
    """Module that writes Runs of concepts."""
    return _beside("concept_runs")


@pytest.fixture(scope="session")
def concept_run(concept_runs, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Run of concepts on 60 patients, explained, its patients classified."""
    return concept_runs.concept_run(tmp_path_factory.mktemp("concept-runs") / "three-classes")


@pytest.fixture
def bare_concept_run(concept_runs, tmp_path: Path) -> Run:
    """A Run of concepts that holds nothing yet."""
    return concept_runs.begun(tmp_path / "bare")
