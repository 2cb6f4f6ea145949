"""What the rna recipe writes to its Run, and how a fitted diagnoser comes back from it."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.core.records import Prediction
from trilineage.data.expression.genes import GeneTable
from trilineage.data.splits import split_table
from trilineage.models.autoencoder import ExpressionAutoencoder
from trilineage.models.classifiers import build_classifier
from trilineage.models.diagnoser import Diagnoser, PrincipalComponents, StandardizedGenes
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.fold import Fold
from trilineage.pipelines._rna.material import Material, describe_material
from trilineage.pipelines._rna.scores import Results, units
from trilineage.pipelines._rna.unlike_training import write_unlike_training
from trilineage.pipelines._runs import begin_run, patient_table, write_validation
from trilineage.training.place import Place

KIND = "rna"


class Stored(NamedTuple):
    """A diagnoser read from a Run, with what it was fitted with."""

    diagnoser: Diagnoser
    """Encoder, classifier and temperature."""
    config: Config
    """Its configuration, after any choice of options."""
    genes: GeneTable
    """The genes it reads."""
    gene_share: np.ndarray
    """Share of the training counts that each gene held; sums to 1."""
    classes: tuple[str, ...]
    """Class names in the order of the probabilities."""


def open_run(config: Config, material: Material, out: Path, *, place: Place, overwrite: bool = False) -> Run:
    """Make the Run, or go on with the one that is there; other processes of the same job wait for the first."""
    expression = material.expression
    data: dict[str, Any] = {"path": str(config.data.path), "sha256": expression.fingerprint}
    data |= {"n_obs": expression.n_obs, "n_vars": expression.n_vars}
    command = f"trilineage rna fit --data {config.data.path} --out {out}"
    return begin_run(
        out,
        kind=KIND,
        config=config,
        seed=config.seed,
        command=command,
        data=data,
        place=place,
        overwrite=overwrite,
    )


def write_fold(run: Run, fold: Fold, config: Config, material: Material, name: str) -> None:
    """Write the weights of one fit with all that is needed to use them."""
    tensors = {key: value.detach().cpu().numpy() for key, value in fold.diagnoser.state_dict().items()}
    genes = material.expression.genes
    metadata = {
        "config": config.to_toml(),
        "classes": json.dumps(list(material.cohort.classes)),
        "n_latent": str(fold.latent.shape[1]),
        "split": fold.split.name,
    }
    run.write_weights(name, tensors, metadata)
    if not run.has("genes.csv"):
        learned = material.rows[fold.split.positions("train")]
        share = material.expression.gene_share(learned)
        run.write_table(
            "genes.csv", {"id": genes.ids.tolist(), "symbol": genes.symbols.tolist(), "share": share.tolist()}
        )


def read_diagnoser(run: Run, name: str, *, device: torch.device) -> Stored:
    """Rebuild a diagnoser from the weights of a Run.

    Raises
    ------
    ArtifactError
        The Run has no such weights, or they do not fit the configuration stored with them.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    tensors = run.read_weights(name)
    metadata = run.read_weights_metadata(name)
    config = _config_of(metadata["config"])
    classes = tuple(json.loads(metadata["classes"]))
    table = run.read_table("genes.csv")
    genes = GeneTable(np.array(table["id"], dtype=np.str_), np.array(table["symbol"], dtype=np.str_))
    state = {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
    diagnoser = _empty_diagnoser(config, state, len(genes), len(classes))
    try:
        diagnoser.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights {name!r} of {run.path} do not fit their configuration",
            seen=str(error).splitlines()[-1].strip(),
            remedy="make the Run again",
        ) from None
    share = np.array([float(value) for value in table["share"]])
    return Stored(diagnoser.to(device).eval(), config, genes, share, classes)


def write_results(
    run: Run, material: Material, folds: Sequence[Fold], predictions: dict[str, Prediction], results: Results
) -> None:
    """Write cohort, split, predictions, scores, comparisons, training curves and the table of patients."""
    model = predictions["model"]
    run.write_json("cohort.json", describe_material(material))
    run.write_table("split.csv", split_table(material.cohort, tuple(fold.split for fold in folds)))
    for subject, prediction in predictions.items():
        run.write_predictions(
            prediction, "predictions" if subject == "model" else f"baselines/{_slug(subject)}"
        )
    write_validation(run, {fold.split.name: fold.valid for fold in folds})
    write_unlike_training(run, material, folds)
    run.add_scores(results.scores)
    run.add_comparisons(results.comparisons)
    run.write_json("history.json", {fold.split.name: fold.history for fold in folds})
    if "patient" in units(material):
        run.write_table("patients.csv", patient_table(model))


def _config_of(text: str) -> Config:
    return Config.load(None, tomllib.loads(text))


def _empty_diagnoser(
    config: Config, state: dict[str, torch.Tensor], n_genes: int, n_classes: int
) -> Diagnoser:
    """Build the modules whose weights are about to be loaded."""
    if config.representation == "genes":
        encoder: torch.nn.Module = StandardizedGenes(torch.zeros(n_genes), torch.ones(n_genes))
        n_latent = n_genes
    elif config.representation == "components":
        axes = torch.zeros_like(state["encoder.axes"])
        encoder, n_latent = PrincipalComponents(torch.zeros(n_genes), axes), axes.shape[1]
    else:
        encoder = ExpressionAutoencoder(n_genes, config.autoencoder)
        n_latent = config.autoencoder.n_latent
    classifier = build_classifier(config.classifier, n_latent, n_classes, is_binary=config.task == "binary")
    return Diagnoser(encoder, classifier)


def _slug(subject: str) -> str:
    words = subject.split(":", 1)[-1].replace("+", "").split()
    return "_".join(words).lower()
