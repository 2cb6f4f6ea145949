"""A small simulated blood bank on disk, and a recipe that fits it in seconds."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def blood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, 18 donors, 1,080 cells, 300 genes."""
    from trilineage.data.simulate.expression import simulate_expression
    from trilineage.data.simulate.settings import SimulationSettings

    path = tmp_path_factory.mktemp("blood") / "blood.h5ad"
    settings = SimulationSettings(
        n_classes=3, n_donors_per_class=6, n_cells_per_donor=60, n_genes=300, disease_effect=1.5, seed=3
    )
    simulate_expression(settings).to_anndata().write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def quick(blood: Path):
    """The default recipe with small widths and few epochs."""
    from trilineage.pipelines.rna import Config

    overrides = {
        "data.path": str(blood),
        "autoencoder.hidden": (32,),
        "autoencoder.n_latent": 16,
        "autoencoder_training.epochs": 6,
        "autoencoder_training.batch_size": 64,
        "classifier_training.epochs": 30,
        "classifier_training.batch_size": 64,
        "evaluation.n_bootstrap": 100,
        "evaluation.n_permutations": 99,
        "evaluation.n_nulls": 2,
    }
    return Config.load(None, overrides)


@pytest.fixture(scope="session")
def fitted(quick, tmp_path_factory: pytest.TempPathFactory):
    """A finished Run of the quick recipe."""
    from trilineage.pipelines import rna

    return rna.fit(quick, tmp_path_factory.mktemp("runs") / "fitted", device="cpu")


@pytest.fixture(scope="session")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four diagnoses, 24 patients at two sites, 96 cell images with masks."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent))
    from smears import write_smears

    return write_smears(tmp_path_factory.mktemp("smears") / "set", n_patients=6)


@pytest.fixture(scope="session")
def quick_images(smears: Path):
    """The images recipe with a small network and few epochs."""
    from trilineage.pipelines.images import Config

    overrides = {
        "data.path": str(smears / "manifest.csv"),
        "data.size": 16,
        "backbone.name": "small_cnn",
        "split.valid_fraction": 0.4,
        "training.epochs": 12,
        "training.batch_size": 16,
        "training.learning_rate": 0.004,
        "evaluation.n_bootstrap": 100,
        "evaluation.n_permutations": 99,
    }
    return Config.load(None, overrides)


@pytest.fixture(scope="session")
def fitted_images(quick_images, tmp_path_factory: pytest.TempPathFactory):
    """A finished Run of the quick images recipe."""
    from trilineage.pipelines import images

    return images.fit(quick_images, tmp_path_factory.mktemp("runs") / "images", device="cpu")
