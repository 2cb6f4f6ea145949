"""One split of the rna recipe: encoder, classifier and temperature fitted inside it, test patients predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int, Shaped

from trilineage.core.records import Prediction
from trilineage.data.splits import Part, Split, training_only
from trilineage.evaluation.calibration import apply_temperature, fit_temperature
from trilineage.models.diagnoser import Diagnoser
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.material import Material
from trilineage.training.diagnosis import Labelled, classify, encode, fit_classifier, fit_encoder
from trilineage.training.place import Place


@dataclass(frozen=True)
class Fold:
    """A fitted diagnoser with everything that its split has to show."""

    split: Split
    """Which sample played which part."""
    diagnoser: Diagnoser
    """Fitted on the training part, calibrated on the validation part."""
    latent: Float32[np.ndarray, "used latent"]
    """Latent of the samples at `used`."""
    used: Int[np.ndarray, " used"]
    """Positions in the cohort of the samples of any part, ascending."""
    prediction: Prediction
    """Calibrated probabilities of the test samples."""
    valid: Prediction
    """The same of the validation samples, on which the temperature was fitted."""
    history: dict[str, Any]
    """Training curves by stage."""

    def part(self, material: Material, name: str) -> Labelled:
        """Return the latents of one part with their labels."""
        return self.relabelled(material, name, material.cohort.label_codes)

    def relabelled(self, material: Material, name: str, labels: Int[np.ndarray, " sample"]) -> Labelled:
        """Return the latents of one part under other labels (one per sample of the cohort)."""
        chosen = np.flatnonzero(self.split.parts[self.used] == name)
        positions = self.used[chosen]
        return Labelled(self.latent[chosen], labels[positions], material.cohort.patients[positions])


def fit_fold(material: Material, split: Split, config: Config, place: Place) -> Fold:
    """Fit encoder, classifier and temperature inside one split and predict its test samples."""
    rows = material.rows
    encoder, encoder_history = fit_encoder(
        material.expression,
        rows[split.positions("train")],
        rows[split.positions("valid")],
        settings=config,
        place=place,
    )
    used = np.flatnonzero(split.parts != "unused")
    latent = encode(encoder, material.expression, rows[used])
    nothing = _nothing(material)
    fold = Fold(split, Diagnoser(encoder, torch.nn.Identity()), latent, used, nothing, nothing, {})
    return with_classifier(material, fold, config, place, history={"autoencoder": _curve(encoder_history)})


def with_classifier(
    material: Material, fold: Fold, config: Config, place: Place, *, history: dict[str, Any] | None = None
) -> Fold:
    """Fit classifier and temperature on the latents of a fold, and predict its test samples."""
    learn, valid = fold.part(material, "train"), fold.part(material, "valid")
    n_classes = len(material.cohort.classes)
    classifier, curve = fit_classifier(
        learn, valid, n_classes, settings=config, place=place, is_binary=config.task == "binary"
    )
    diagnoser = Diagnoser(fold.diagnoser.encoder, classifier)
    temperature = (
        fit_temperature(classify(classifier, valid.latent), valid.labels, valid.patients)
        if len(valid.labels)
        else 1.0
    )
    diagnoser.temperature.fill_(temperature)
    tested, validated = (_predict_part(diagnoser, fold, material, part) for part in ("test", "valid"))
    curves = {**(history or {}), "classifier": _curve(curve), "temperature": temperature}
    return Fold(fold.split, diagnoser, fold.latent, fold.used, tested, validated, curves)


def _predict_part(diagnoser: Diagnoser, fold: Fold, material: Material, part: Part) -> Prediction:
    """Predict the samples of one part of a fold from their latents."""
    positions = fold.split.positions(part)
    if len(positions) == 0:
        return _nothing(material)
    latent = fold.latent[np.searchsorted(fold.used, positions)]
    return predict_latent(diagnoser, latent, material, positions)


def predict_latent(
    diagnoser: Diagnoser,
    latent: Float32[np.ndarray, "chosen latent"],
    material: Material,
    positions: Int[np.ndarray, " chosen"],
) -> Prediction:
    """Return calibrated probabilities of some samples of the cohort."""
    cohort = material.cohort
    logits = classify(diagnoser.classifier, latent)
    return Prediction(
        samples=cohort.samples[positions],
        patients=cohort.patients[positions],
        classes=cohort.classes,
        probabilities=apply_temperature(logits, float(diagnoser.temperature)),
        labels=cohort.label_codes[positions],
    )


def whole_split(material: Material, config: Config) -> Split:
    """Return the split of the final model of a cross-validation: nobody is tested, some patients validate."""
    is_train = material.is_in(config.population.train)
    inside = np.flatnonzero(is_train)
    split = training_only(
        material.cohort.subset(inside), valid_fraction=config.split.valid_fraction, seed=config.seed
    )
    parts: Shaped[np.ndarray, " sample"] = np.full(len(is_train), "unused", dtype="<U6")
    parts[inside] = split.parts
    return Split(parts, "all patients")


def _nothing(material: Material) -> Prediction:
    cohort = material.cohort
    return Prediction(
        cohort.samples[:0], cohort.patients[:0], cohort.classes, np.zeros((0, len(cohort.classes)))
    )


def _curve(history: Any) -> Any:
    return None if history is None else history.to_dict()
