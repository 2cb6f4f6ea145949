"""A small simulated blood bank and drawn cells on disk, and recipes that fit them in seconds."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


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


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn cells of three diagnoses: 24 patients at two sites, 144 images with masks."""
    from small_concepts import write_cohort

    return write_cohort(tmp_path_factory.mktemp("drawn") / "set")


@pytest.fixture(scope="session")
def newcomers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six more patients."""
    from small_concepts import N_PATIENTS, write_cohort

    folder = tmp_path_factory.mktemp("newcomers") / "set"
    return write_cohort(folder, first_patient=N_PATIENTS, n_patients=2)


@pytest.fixture(scope="session")
def seeing(drawn: Path, tmp_path_factory: pytest.TempPathFactory):
    """A finished images Run of a small transformer that tells the diagnoses apart."""
    from small_concepts import encoder_config

    from trilineage.pipelines import images

    return images.fit(encoder_config(drawn), tmp_path_factory.mktemp("runs") / "seeing", device="cpu")


@pytest.fixture(scope="session")
def quick_concepts(drawn: Path, seeing):
    """The concepts recipe with a small autoencoder and few epochs."""
    from small_concepts import concepts_config

    return concepts_config(drawn, seeing.path)


@pytest.fixture(scope="session")
def fitted_concepts(quick_concepts, tmp_path_factory: pytest.TempPathFactory):
    """A finished Run of the quick concepts recipe; tests leave it as it is."""
    from trilineage.pipelines import concepts

    return concepts.fit(quick_concepts, tmp_path_factory.mktemp("runs") / "concepts", device="cpu")


@pytest.fixture(scope="session")
def require_same():
    """Return the function that compares what two Runs found on the same tokens, whatever else was asked of them."""
    from small_concepts import require_same

    return require_same


@pytest.fixture(scope="session")
def shuffled(fitted_concepts, tmp_path_factory: pytest.TempPathFactory):
    """The autoencoder of that Run with its latents in another order, as a file; and the order."""
    from small_concepts import write_shuffled

    return write_shuffled(fitted_concepts, tmp_path_factory.mktemp("weights") / "shuffled.safetensors")


@pytest.fixture(scope="session")
def brought(quick_concepts, shuffled, tmp_path_factory: pytest.TempPathFactory):
    """A Run of the shuffled autoencoder, which trains nothing."""
    from trilineage.pipelines import concepts

    plain = {"weights": str(shuffled[0]), "concepts.controls": (), "barcode.classify": False}
    return concepts.fit(
        quick_concepts.replace(**plain), tmp_path_factory.mktemp("runs") / "brought", device="cpu"
    )
