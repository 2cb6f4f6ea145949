"""Train attention pooling on the vectors of patients' images, on some patients or out of fold."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int, Int64
from torch import Tensor, nn

from trilineage.core.errors import CohortError, MatrixError
from trilineage.core.seeding import generator, seed_everything
from trilineage.models.pooling import AttentionPooling, FlatHead, PatientClassifier
from trilineage.training.loop import StepOutput, train
from trilineage.training.place import Place
from trilineage.training.settings import TrainingSettings

ATTENTION_TRAINING = TrainingSettings(
    epochs=60, batch_size=16, learning_rate=1e-3, optimizer="adamw", weight_decay=0.05
)
"""Patients are few and their images are seen already by a backbone: a short training with decay."""


class PatientBatch(NamedTuple):
    """The images of a few patients."""

    features: Tensor
    """One row per image."""
    patients: Tensor
    """Number of each image's patient in this batch."""
    labels: Tensor
    """Class (or node) of each patient."""

    def to(self, device: torch.device | str) -> "PatientBatch":
        """Return the batch on a device."""
        return PatientBatch(*(part.to(device) for part in self))


class PatientBatches:
    """Patients with all their images, for the training loop."""

    def __init__(
        self,
        features: Float32[np.ndarray, "image d"],
        codes: Int[np.ndarray, " image"],
        labels: Int64[np.ndarray, " patient"],
    ):
        self.labels = labels
        self.features = features
        self.images = [np.flatnonzero(codes == patient) for patient in range(len(labels))]

    def __len__(self) -> int:
        return len(self.labels)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " patient"]:
        """Return the patients of an epoch in the order in which they are learned from."""
        return generator(seed, "patients", epoch).permutation(len(self))

    def take(self, positions: Int[np.ndarray, " batch"]) -> PatientBatch:
        """Return the images of these patients."""
        images = [self.images[patient] for patient in positions]
        codes = np.repeat(np.arange(len(positions)), [len(own) for own in images])
        rows = np.concatenate(images) if images else np.zeros(0, np.int64)
        return PatientBatch(
            torch.from_numpy(self.features[rows]),
            torch.from_numpy(codes.astype(np.int64)),
            torch.from_numpy(self.labels[positions]),
        )


@dataclass(frozen=True)
class FittedAttention:
    """A trained classifier of patients, with the scale of the vectors that it learned from."""

    classifier: PatientClassifier
    """Pooling and head, in evaluation mode."""
    mean: Float32[np.ndarray, " d"]
    """Mean of the training images."""
    deviation: Float32[np.ndarray, " d"]
    """Their standard deviation, never 0."""

    def probabilities(
        self, features: Float[np.ndarray, "image d"], codes: Int[np.ndarray, " image"], n_patients: int
    ) -> Float64[np.ndarray, "patient class"]:
        """Return the probabilities of every class (or node) for patients whose images these are.

        Parameters
        ----------
        features
            Vectors of the images.
        codes
            Number of each image's patient, in [0, n_patients).
        """
        device = next(self.classifier.parameters()).device
        scaled = torch.from_numpy(((features - self.mean) / self.deviation).astype(np.float32))
        patients = torch.from_numpy(codes.astype(np.int64))
        with torch.inference_mode():
            log_p = self.classifier(scaled.to(device), patients.to(device), n_patients)
        return log_p.double().exp().cpu().numpy()  # type: ignore[no-any-return]


def attention_step(model: nn.Module, batch: PatientBatch) -> StepOutput:
    """Return the sum of -log p(label) over the patients of a batch."""
    if len(batch.labels) == 0:
        return StepOutput(sum(p.sum() for p in model.parameters()) * 0.0, 0.0)  # type: ignore[arg-type]
    log_p = model(batch.features, batch.patients, len(batch.labels))
    losses = -log_p.gather(1, batch.labels[:, None])
    return StepOutput(losses.sum(), float(len(losses)))


def new_pooling(d_in: int) -> AttentionPooling:
    """Return an untrained pooling of a size that suits few patients."""
    return AttentionPooling(d_in, hidden=min(128, max(8, d_in // 2)), dropout=0.1)


def fit_attention(
    classifier: PatientClassifier,
    features: Float[np.ndarray, "image d"],
    codes: Int[np.ndarray, " image"],
    labels: Int64[np.ndarray, " patient"],
    *,
    place: Place,
    settings: TrainingSettings = ATTENTION_TRAINING,
) -> FittedAttention:
    """Train a classifier in place on the patients given.

    Parameters
    ----------
    classifier
        Untrained.
    features
        Vectors of the images of the training patients.
    codes
        Number of each image's patient, in [0, patient).
    labels
        Class (or node) of each patient.
    place
        Device, seed and checkpoints.
    settings
        How long and how fast.

    Raises
    ------
    CohortError
        If a patient has no image.
    MatrixError
        If vectors are no numbers.
    DivergenceError, Interrupted, StorageError
        As `training.loop.train`.
    """
    _require_sound(features, codes, len(labels))
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    train(
        classifier,
        attention_step,
        PatientBatches(((features - mean) / deviation).astype(np.float32), codes, labels),
        settings,
        seed=place.seed,
        device=place.device,
        checkpoints_dir=None if place.checkpoints_dir is None else place.checkpoints_dir / "attention",
        fingerprint=place.fingerprint,
        name="attention",
    )
    return FittedAttention(classifier, mean.astype(np.float32), deviation.astype(np.float32))


def attention_out_of_fold(
    features: Float[np.ndarray, "image d"],
    codes: Int[np.ndarray, " image"],
    labels: Int[np.ndarray, " patient"],
    folds: Int[np.ndarray, "repeat patient"],
    *,
    n_classes: int,
    place: Place,
    settings: TrainingSettings = ATTENTION_TRAINING,
) -> Float64[np.ndarray, "repeat patient class"]:
    """Predict every patient by attention over its images, learned on the patients of the other folds.

    Parameters
    ----------
    features
        Vectors of the images of all patients (their CLS tokens).
    codes
        Row of each image's patient in `labels`.
    labels
        Class index of each patient.
    folds
        Fold in which each patient is tested, in each repeat.
    n_classes
        Number of classes.
    place, settings
        As in `fit_attention`; each training has a stage of its own.

    Raises
    ------
    CohortError, MatrixError
        As `fit_attention`.
    """
    _require_sound(features, codes, len(labels))
    probabilities = np.zeros((*folds.shape, n_classes))
    for repeat, own in enumerate(folds):
        for fold in np.unique(own):
            stage = place.stage(f"attention{repeat}.{fold}")
            seed_everything(stage.seed)
            d_in = features.shape[1]
            classifier = PatientClassifier(new_pooling(d_in), FlatHead(d_in, n_classes))
            learned, tested = (_images_of(codes, is_chosen) for is_chosen in (own != fold, own == fold))
            fitted = fit_attention(
                classifier,
                features[learned.images],
                learned.codes,
                labels[own != fold].astype(np.int64),
                place=stage,
                settings=settings,
            )
            n_tested = int((own == fold).sum())
            found = fitted.probabilities(features[tested.images], tested.codes, n_tested)
            probabilities[repeat, own == fold] = found / found.sum(axis=1, keepdims=True)
    return probabilities


class _Chosen(NamedTuple):
    images: Int[np.ndarray, " chosen"]
    codes: Int64[np.ndarray, " chosen"]


def _images_of(codes: Int[np.ndarray, " image"], is_chosen: np.ndarray) -> _Chosen:
    """Return the images of some patients, and these numbered anew."""
    images = np.flatnonzero(is_chosen[codes])
    return _Chosen(images, (np.cumsum(is_chosen) - 1)[codes[images]].astype(np.int64))


def _require_sound(
    features: Float[np.ndarray, "image d"], codes: Int[np.ndarray, " image"], n_patients: int
) -> None:
    empty = np.flatnonzero(np.bincount(codes, minlength=n_patients) == 0)
    if len(empty) or len(codes) != len(features):
        raise CohortError(
            "patients without an image cannot be learned from",
            seen=f"{len(empty)} of {n_patients} patients, the first in row {empty[:1]}; {len(features)} images",
            allowed="at least 1 image per patient",
            remedy="leave these patients out",
        )
    is_bad = ~np.isfinite(features).all(axis=1)
    if is_bad.any():
        raise MatrixError(
            f"{int(is_bad.sum())} of {len(features)} images have vectors that are no numbers",
            seen=f"NaN or infinity in row {int(np.flatnonzero(is_bad)[0])}",
            allowed="finite numbers",
            remedy="extract the tokens of that image again in float32, or leave it out",
        )
