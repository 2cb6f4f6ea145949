"""Every training of this package on data of seconds, with checkpoints at every step: what is killed again and again."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))

QUICK = {"evaluation.n_bootstrap": 100, "evaluation.n_permutations": 99}


def write_data(folder: Path) -> None:
    """Write expression of 8 donors and cells of 8 patients."""
    from smears import write_smears

    from trilineage.data.simulate.expression import simulate_expression
    from trilineage.data.simulate.settings import SimulationSettings

    world = SimulationSettings(n_classes=2, n_donors_per_class=4, n_cells_per_donor=12, n_genes=60, seed=3)
    simulate_expression(world).to_anndata().write_h5ad(folder / "blood.h5ad")
    write_smears(folder / "smears", n_patients=4, n_images=3)


def fit_rna(folder: Path, out: Path, **changes: Any) -> None:
    """Fit autoencoder and classifier."""
    from trilineage.pipelines import rna

    options = {
        "data.path": str(folder / "blood.h5ad"),
        "autoencoder.hidden": (8,),
        "autoencoder.n_latent": 8,
        "autoencoder_training.epochs": 3,
        "autoencoder_training.batch_size": 32,
        "autoencoder_training.checkpoint_every_s": 0.0,
        "classifier_training.epochs": 3,
        "classifier_training.batch_size": 32,
        "classifier_training.checkpoint_every_s": 0.0,
        "split.valid_fraction": 0.5,
        "evaluation.n_nulls": 0,
        **QUICK,
        **changes,
    }
    rna.fit(rna.Config.load(None, options), out, device="cpu")


def fit_transformer(folder: Path, out: Path) -> None:
    """Fit the transformer on the latent."""
    fit_rna(folder, out, **{"classifier.kind": "transformer"})


def fit_graph(folder: Path, out: Path) -> None:
    """Fit the graph convolution on the latent."""
    fit_rna(folder, out, **{"classifier.kind": "gcn"})


def fit_images(folder: Path, out: Path) -> None:
    """Fit a small network and its hierarchical head."""
    from trilineage.pipelines import images

    options = {
        "data.path": str(folder / "smears" / "manifest.csv"),
        "data.size": 16,
        "backbone.name": "small_cnn",
        "split.valid_fraction": 0.4,
        "training.epochs": 4,
        "training.batch_size": 8,
        "training.checkpoint_every_s": 0.0,
        **QUICK,
    }
    images.fit(images.Config.load(None, options), out, device="cpu")


def pretrain(folder: Path, out: Path) -> None:
    """Pretrain an encoder on hidden patches and labels."""
    from trilineage.pipelines import images

    options = {
        "data.path": str(folder / "smears" / "manifest.csv"),
        "data.size": 16,
        "backbone.name": "small_vit",
        "training.epochs": 3,
        "training.batch_size": 16,
        "training.warmup_steps": 2,
        "training.checkpoint_every_s": 0.0,
    }
    images.pretrain(images.PretrainConfig.load(None, options), out, device="cpu")


def fit_concepts(folder: Path, out: Path) -> None:
    """Train two sparse autoencoders on the tokens of an untrained transformer."""
    from trilineage.pipelines import concepts

    options = {
        "data.path": str(folder / "smears" / "manifest.csv"),
        "data.size": 16,
        "data.workers": 1,
        "encoder.backbone.name": "small_vit",
        "tokens.images_per_shard": 12,
        "sae.latents": 64,
        "sae.k": 4,
        "training.epochs": 4,
        "training.batch_size": 32,
        "training.learning_rate": 3e-3,
        "training.checkpoint_every_s": 0.0,
        "concepts.controls": (),
        "barcode.classify": False,
        **QUICK,
    }
    concepts.fit(concepts.Config.load(None, options), out, device="cpu")


TRAINERS: dict[str, Callable[[Path, Path], None]] = {
    "rna feed-forward": fit_rna,
    "rna transformer": fit_transformer,
    "rna graph": fit_graph,
    "images": fit_images,
    "images pretrain": pretrain,
    "concepts": fit_concepts,
}
