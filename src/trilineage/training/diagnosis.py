"""Fit a diagnoser inside one training part: first the representation, then the classifier on its latent."""

import logging
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, Shaped
from pydantic import Field
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.core.seeding import seed_everything
from trilineage.data.components import fit_components
from trilineage.data.expression.open import Expression
from trilineage.models.autoencoder import AutoencoderSettings, ExpressionAutoencoder
from trilineage.models.classifiers import Classifier, ClassifierSettings, build_classifier
from trilineage.models.diagnoser import PrincipalComponents, StandardizedGenes, two_columns
from trilineage.models.sparse import SparseBatch
from trilineage.training.loop import History, StepOutput, Validate, train
from trilineage.training.objectives.classification import (
    Weighting,
    classification_batches,
    classification_step,
    sample_weights,
)
from trilineage.training.objectives.reconstruction import reconstruction_loss
from trilineage.training.place import Place
from trilineage.training.settings import TrainingSettings

ENCODE_ROWS = 4096
"""Samples encoded at a time: 4,096 x 29,150 dense values would be 478 MB, sparse rows at 7 % take 70."""

logger = logging.getLogger(__name__)


class ComponentSettings(Settings):
    """Size of the representation by principal components."""

    n_genes: int = Field(default=2000, ge=1)
    """Genes of highest variance in the training part that are used."""
    n_components: int = Field(default=50, ge=1)
    """Components kept at most."""


class DiagnoserSettings(Settings):
    """How a diagnoser is built and trained."""

    representation: Literal["autoencoder", "components", "genes"] = "autoencoder"
    """`autoencoder`: classify its latent; `components`: principal components, and `genes`: standardised genes, both for
    bulk and microarray tables, which have too few samples to train an autoencoder on."""
    components: ComponentSettings = ComponentSettings()
    """Size of the principal components."""
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    """Shape and loss of the autoencoder."""
    autoencoder_training: TrainingSettings = TrainingSettings(epochs=60, batch_size=128, patience=8)
    """Training of the autoencoder. Small batches, for thousands of cells; from about 50,000 cells on, batch_size=2048
    is several times faster per cell and still makes enough updates."""
    classifier: ClassifierSettings = ClassifierSettings()
    """Kind and shape of the classifier."""
    classifier_training: TrainingSettings = TrainingSettings(epochs=100, batch_size=256, patience=15)
    """Training of the classifier."""
    weighting: Weighting = "class_donor"
    """Sample weights of the classifier: equal, equal classes, equal donors, or equal donors inside equal classes."""


class Labelled(NamedTuple):
    """Latents of samples with the answer."""

    latent: Float32[np.ndarray, "sample latent"]
    """One row per sample."""
    labels: Int[np.ndarray, " sample"]
    """Class index."""
    patients: Shaped[np.ndarray, " sample"]
    """Patient (str)."""


class ExpressionBatches:
    """Minibatches of an expression file in a shuffled order, for the training loop."""

    def __init__(self, expression: Expression, rows: Int[np.ndarray, " sample"], device: torch.device):
        self.expression, self.rows, self.device = expression, rows, device

    def __len__(self) -> int:
        return len(self.rows)

    def order(self, *, seed: int, epoch: int) -> Int[np.ndarray, " sample"]:
        """Return positions in the file, shuffled as its storage allows."""
        return self.expression.order(self.rows, seed=seed, epoch=epoch)

    def take(self, positions: Int[np.ndarray, " cell"]) -> SparseBatch:
        """Return one minibatch on the device."""
        return SparseBatch.from_rows(self.expression.take(positions), self.device)


def fit_encoder(
    expression: Expression,
    train_rows: Int[np.ndarray, " sample"],
    valid_rows: Int[np.ndarray, " other"],
    *,
    settings: DiagnoserSettings,
    place: Place,
    start: Mapping[str, Tensor] | None = None,
) -> tuple[nn.Module, History | None]:
    """Fit the representation on training samples only.

    Parameters
    ----------
    expression, train_rows, valid_rows
        The file and the positions of the samples; validation samples stop the training early and teach nothing.
    start
        Weights to start from instead of random ones (fine-tuning on another population).
    """
    if settings.representation == "genes":
        return _standardized_genes(expression, train_rows).to(place.device), None
    if settings.representation == "components":
        return _principal_components(expression, train_rows, settings.components).to(place.device), None
    place = place.stage("autoencoder")
    seed_everything(place.seed)
    model = ExpressionAutoencoder(expression.n_vars, settings.autoencoder)
    if start is not None:
        model.load_state_dict(start)
    mean = expression.mean(train_rows).astype(np.float32)
    model.set_gene_mean(torch.from_numpy(mean))
    model.to(place.device)
    history = train(
        model,
        _reconstruction_step,
        ExpressionBatches(expression, train_rows, place.device),
        _monitored(settings.autoencoder_training, len(valid_rows)),
        seed=place.seed,
        device=place.device,
        checkpoints_dir=place.checkpoints_dir,
        fingerprint=place.fingerprint,
        validate=(lambda: _reconstruction_score(model, expression, valid_rows)) if len(valid_rows) else None,
        name="autoencoder",
    )
    return model.eval(), history


def encode(
    encoder: nn.Module,
    expression: Expression,
    rows: Int[np.ndarray, " sample"],
    *,
    missing: Bool[np.ndarray, " gene"] | None = None,
) -> Float32[np.ndarray, "sample latent"]:
    """Return the latent of samples, in their order; rows of the file are read in ascending blocks."""
    device = next(iter(encoder.state_dict().values())).device
    mask = None if missing is None or not missing.any() else torch.from_numpy(missing).to(device)
    order = np.argsort(rows, kind="stable")
    latent: np.ndarray | None = None
    encoder.eval()
    for start in range(0, len(rows), ENCODE_ROWS):
        chosen = order[start : start + ENCODE_ROWS]
        batch = SparseBatch.from_rows(expression.take(rows[chosen]), device)
        with torch.no_grad():
            part: np.ndarray = encoder.encode(batch, mask).float().cpu().numpy()  # type: ignore[operator]
        if latent is None:
            latent = np.empty((len(rows), part.shape[1]), dtype=np.float32)
        latent[chosen] = part
    return np.empty((0, 0), dtype=np.float32) if latent is None else latent


def fit_classifier(
    learn: Labelled,
    valid: Labelled,
    n_classes: int,
    *,
    settings: DiagnoserSettings,
    place: Place,
    is_binary: bool = False,
) -> tuple[Classifier, History]:
    """Fit the classifier on the latents of the training samples; the encoder is left as it is.

    Parameters
    ----------
    learn, valid
        Training and validation samples; an empty validation part means no early stopping.
    n_classes
        Number of classes; `is_binary` makes one sigmoid of two.
    """
    place = place.stage("classifier")
    seed_everything(place.seed)
    classifier = build_classifier(settings.classifier, learn.latent.shape[1], n_classes, is_binary=is_binary)
    classifier.to(place.device)
    codes = np.unique(learn.patients, return_inverse=True)[1]
    latent = torch.from_numpy(learn.latent).to(place.device)
    inputs = classifier.fit_inputs(latent, patients=codes, seed=place.seed)
    weights = sample_weights(learn.labels, codes, weighting=settings.weighting)
    batches = classification_batches(inputs, learn.labels, weights=weights)
    history = train(
        classifier.head,
        classification_step,
        batches,
        _monitored(settings.classifier_training, len(valid.labels)),
        seed=place.seed,
        device=place.device,
        checkpoints_dir=place.checkpoints_dir,
        fingerprint=place.fingerprint,
        validate=_classifier_validation(classifier, valid) if len(valid.labels) else None,
        name="classifier",
    )
    return classifier.eval(), history


def classify(
    classifier: nn.Module, latent: Float32[np.ndarray, "sample latent"]
) -> Float32[np.ndarray, "sample class"]:
    """Return uncalibrated logits with one column per class."""
    device = next(iter(classifier.state_dict().values())).device
    parts = [np.empty((0, 0), dtype=np.float32)]
    classifier.eval()
    for start in range(0, len(latent), 65_536):
        part = torch.from_numpy(latent[start : start + 65_536]).to(device)
        with torch.no_grad():
            parts.append(two_columns(classifier(part)).float().cpu().numpy())
    return np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]


def _reconstruction_step(model: nn.Module, batch: SparseBatch) -> StepOutput:
    loss, n_cells = reconstruction_loss(model, batch)
    return StepOutput(loss, float(n_cells * batch.n_genes))


def _reconstruction_score(
    model: ExpressionAutoencoder, expression: Expression, rows: Int[np.ndarray, " sample"]
) -> dict[str, float]:
    """Return the mean loss per sample and gene in evaluation mode."""
    total = 0.0
    was_training = model.training
    model.eval()
    for start in range(0, len(rows), ENCODE_ROWS):
        batch = SparseBatch.from_rows(
            expression.take(rows[start : start + ENCODE_ROWS]), model.gene_mean.device
        )
        with torch.no_grad():
            total += float(reconstruction_loss(model, batch)[0])
    model.train(was_training)
    return {"valid_loss": total / (len(rows) * expression.n_vars)}


def _classifier_validation(classifier: Classifier, valid: Labelled) -> Validate:
    """Return a function that scores the head on validation samples, each patient weighing the same."""
    device = classifier.scale.mean.device
    with torch.no_grad():
        inputs = classifier.inputs(torch.from_numpy(valid.latent).to(device))
    labels = torch.from_numpy(valid.labels).to(device)
    _, codes, counts = np.unique(valid.patients, return_inverse=True, return_counts=True)
    weight = torch.from_numpy((1.0 / counts[codes]).astype(np.float32)).to(device)

    def validate() -> dict[str, float]:
        classifier.head.eval()
        with torch.no_grad():
            logits = two_columns(classifier.head(inputs)).float()
            losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        classifier.head.train()
        return {
            "valid_loss": float((losses * weight).sum() / weight.sum()),
            "valid_accuracy": float(((logits.argmax(1) == labels) * weight).sum() / weight.sum()),
        }

    return validate


def _standardized_genes(expression: Expression, rows: Int[np.ndarray, " sample"]) -> StandardizedGenes:
    """Take mean and standard deviation per gene over the training samples, in blocks."""
    total = np.zeros(expression.n_vars)
    squares = np.zeros(expression.n_vars)
    for start in range(0, len(rows), ENCODE_ROWS):
        block = expression.take(np.sort(rows)[start : start + ENCODE_ROWS]).to_csr().astype(np.float64)
        total += np.asarray(block.sum(axis=0)).ravel()
        squares += np.asarray(block.multiply(block).sum(axis=0)).ravel()
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0.0))
    return StandardizedGenes(
        torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(deviation.astype(np.float32))
    )


def _principal_components(
    expression: Expression, rows: Int[np.ndarray, " sample"], settings: ComponentSettings
) -> PrincipalComponents:
    """Find the components of the training samples and write them over all genes."""
    found = fit_components(
        expression.to_csr, rows, n_genes=settings.n_genes, n_components=settings.n_components
    )
    mean = np.zeros(expression.n_vars, dtype=np.float32)
    axes = np.zeros((expression.n_vars, found.axes.shape[1]), dtype=np.float32)
    mean[found.genes], axes[found.genes] = found.mean, found.axes
    return PrincipalComponents(torch.from_numpy(mean), torch.from_numpy(axes))


def _monitored(settings: TrainingSettings, n_valid: int) -> TrainingSettings:
    """Without validation samples nothing can be monitored: train for all epochs."""
    return settings if n_valid else settings.replace(patience=0)
