"""Train an encoder on images, labelled or not: who trains and who validates, the training itself, what is written."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Int64, Shaped

from trilineage.core.artifacts import Run
from trilineage.core.errors import ColumnError, DataError
from trilineage.core.seeding import derive_seed, generator, seed_everything
from trilineage.data.cohort import Cohort, shown
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split, check_leakage, split_table
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.bundled import ENCODER_KIND
from trilineage.models.encoder_file import write_encoder
from trilineage.models.encoder_origin import write_learned
from trilineage.models.masked_autoencoder import MaskedAutoencoder
from trilineage.pipelines._image_cohort import describe_images, image_facts
from trilineage.pipelines._images.pretrain_card import model_card
from trilineage.pipelines._images.pretrain_config import PretrainConfig
from trilineage.pipelines._runs import begin_run
from trilineage.training.loop import train
from trilineage.training.objectives.classification import sample_weights
from trilineage.training.objectives.masked_patches import (
    PatchBatches,
    kept_patches,
    masked_patch_step,
    reconstruction_losses,
)
from trilineage.training.place import Place
from trilineage.training.state import History

logger = logging.getLogger(__name__)

_VALID_SEED = 1
"""Draws what is hidden of the validation images: the same after every epoch."""


@dataclass(frozen=True)
class Learned:
    """Images to learn from, and which of them only validate."""

    table: ImageTable
    """Every image that can be read."""
    cohort: Cohort
    """Patient, label and site of each."""
    split: Split
    """Part of each: train, valid, or unused (test images too are unused)."""
    classes: tuple[str, ...]
    """Labels of training images; none where fewer than two are known, or labels are not to be used."""
    codes: Int64[np.ndarray, " image"]
    """Index into `classes`, -1 where unknown."""

    def part(self, name: Any) -> tuple[ImageTable, Int64[np.ndarray, " chosen"]]:
        """Return the images of a part and their classes."""
        chosen = self.split.positions(name)
        return self.table.subset(chosen), self.codes[chosen]


def gather_unlabelled(config: PretrainConfig) -> Learned:
    """Open the images and decide which train and which validate; labels are used where there are any.

    Raises
    ------
    DataError
        The images cannot be read, or none is left to train on.
    ColumnError
        `train_sites` names sites that the images do not have.
    LeakageError
        A patient, or the same content, both trains and validates, or trains and is a test image.
    """
    table = open_images(config.data)
    cohort = _cohort(table)
    split = _split(table, cohort, config)
    check_leakage(cohort, split)
    train = split.positions("train")
    if len(train) == 0:
        raise DataError(
            "there is no image to train on",
            seen=f"{len(table):,} images, none of them in the training part",
            allowed="images of the part `train`, of sites in train_sites",
            remedy="check data.split_column and train_sites",
        )
    classes = tuple(np.unique(table.labels[train][table.labels[train] != ""]).tolist())
    if len(classes) < 2 or not config.objective.classes:
        classes = ()
    places = {name: code for code, name in enumerate(classes)}
    codes = np.array([places.get(label, -1) for label in table.labels.tolist()], np.int64)
    return Learned(table, cohort, split, classes, codes)


def fit_encoder(learned: Learned, config: PretrainConfig, place: Place) -> tuple[MaskedAutoencoder, History]:
    """Train the encoder; the same seed, images and configuration give the same weights on a CPU."""
    seed_everything(place.seed)
    objective = config.objective
    model = MaskedAutoencoder(
        build_backbone(config.backbone, config.data.shape),
        decoder_width=objective.decoder_width,
        decoder_blocks=objective.decoder_blocks,
        n_classes=len(learned.classes),
    )
    table, codes = learned.part("train")
    weights = _class_weights(codes)
    batches = ImageBatches(table, codes, weights=weights, augmentation=config.augmentation, seed=place.seed)
    epochs = config.training.epochs
    n_whole = round(objective.whole_share * epochs) if learned.classes else 0
    has_valid = len(learned.split.positions("valid")) > 0
    history = train(
        model,
        masked_patch_step(objective),
        PatchBatches(batches, whole_from=epochs - n_whole),
        config.training if has_valid else config.training.replace(patience=0),
        seed=place.seed,
        device=place.device,
        checkpoints_dir=place.checkpoints_dir,
        fingerprint=place.fingerprint,
        validate=_Validation(model, learned, config, place) if has_valid else None,
        name="encoder",
    )
    return model, history


class _Validation:
    """What is measured after each epoch: the error of hidden patches, and how many whole images are named rightly."""

    def __init__(self, model: MaskedAutoencoder, learned: Learned, config: PretrainConfig, place: Place):
        self.model, self.config, self.place = model, config, place
        table, self.codes = learned.part("valid")
        self.batches = ImageBatches(table)

    def __call__(self) -> Mapping[str, float]:
        """Return the values by name."""
        self.model.eval()
        torch.manual_seed(derive_seed(_VALID_SEED, "hidden patches"))
        losses, called = [], []
        size = self.config.training.batch_size
        with torch.inference_mode():
            for start in range(0, len(self.codes), size):
                batch = self.batches.take(np.arange(start, min(start + size, len(self.codes))))
                loss, code = self._look(batch.pixels.to(self.place.device))
                losses.append(loss.cpu().numpy())
                called.append(code.cpu().numpy())
        values = {"valid_loss": float(np.concatenate(losses).mean())}
        is_known = self.codes >= 0
        if self.model.classify is not None and is_known.any():
            is_right = np.concatenate(called)[is_known] == self.codes[is_known]
            values["valid_accuracy"] = float(is_right.mean())
        return values

    def _look(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model = self.model
        kept = kept_patches(len(pixels), model.n_patches, self.config.objective.mask_ratio).to(pixels.device)
        losses = reconstruction_losses(model(pixels, kept).patches, pixels, kept)
        if model.classify is None:
            return losses, torch.zeros(len(pixels), dtype=torch.int64)
        return losses, model.logits(model.features(pixels)).argmax(dim=1)


def open_pretraining_run(
    config: PretrainConfig, learned: Learned, out: Path, *, place: Place, overwrite: bool
) -> Run:
    """Make the Run, or go on with the one that is there."""
    return begin_run(
        out,
        kind=ENCODER_KIND,
        config=config,
        seed=config.seed,
        command=f"trilineage images pretrain --data {config.data.path} --out {out}",
        data=image_facts(learned.table),
        place=place,
        overwrite=overwrite,
    )


def write_pretraining(
    run: Run, learned: Learned, model: MaskedAutoencoder, history: History, config: PretrainConfig
) -> None:
    """Write the encoder (half precision), the split, the course of the training and what the images were."""
    write_encoder(run, model.backbone, config.backbone, config.data)
    run.write_json("history.json", {"encoder": history.to_dict()})
    write_learned(run, learned.table.content_numbers[learned.split.positions("train")])
    run.write_table("split.csv", split_table(learned.cohort, (learned.split,)))
    facts = describe_images(learned.table, learned.cohort)
    counts = {part: int((learned.split.parts == part).sum()) for part in ("train", "valid", "unused", "test")}
    told = {"learned_classes": list(learned.classes), "n_images": counts}
    run.write_json("cohort.json", {**facts, **told})
    n_weights = sum(parameter.numel() for parameter in model.backbone.net.parameters())
    told |= {"n_weights": n_weights, "command": run.manifest["command"]}
    run.write_text(
        "model_card.md", model_card(config, model.backbone.spec, told, history.to_dict()["epochs"])
    )


def _cohort(table: ImageTable) -> Cohort:
    labels = np.where(table.labels == "", "unlabelled", table.labels).astype(str)
    return Cohort(
        samples=table.names,
        patients=table.names if table.patients is None else table.patients,
        labels=labels,
        classes=tuple(np.unique(labels).tolist()),
        sites=table.sites,
        content=table.content,
        note=""
        if table.patients is not None
        else "no patients are known: each image counts as its own patient",
    )


def _split(table: ImageTable, cohort: Cohort, config: PretrainConfig) -> Split:
    """Follow the official split, or hold out some patients; images of other sites are unused."""
    inside = _of_sites(table, config.train_sites)
    if table.parts is not None:
        parts = np.where(inside | (table.parts == "test"), table.parts, "unused").astype("<U6")
        return Split(parts, "official split")
    parts = np.where(inside, "train", "unused").astype("<U6")
    patients = np.unique(cohort.patients[inside])
    n_valid = round(config.valid_fraction * len(patients))
    if n_valid:
        held_out = generator(config.seed, "pretraining", "valid").permutation(patients)[:n_valid]
        parts[inside & np.isin(cohort.patients, held_out)] = "valid"
    return Split(parts, "held-out patients")


def _of_sites(table: ImageTable, sites: tuple[str, ...]) -> Shaped[np.ndarray, " image"]:
    if not sites:
        return np.ones(len(table), dtype=bool)
    known = [] if table.sites is None else np.unique(table.sites).tolist()
    absent = [site for site in sites if site not in known]
    if table.sites is None or absent:
        raise ColumnError(
            "train_sites names sites that the images do not have",
            seen=", ".join(absent) or ", ".join(sites),
            allowed=shown(known) or "no site column was found",
            remedy="mend train_sites, or name the column with data.site_column",
        )
    return np.isin(table.sites, sites)


def _class_weights(codes: Int[np.ndarray, " image"]) -> np.ndarray:
    """Return weights of the labels with mean 1 that give every class the same say; 0 where there is no label."""
    weights = np.zeros(len(codes), np.float32)
    known = np.flatnonzero(codes >= 0)
    if len(known):
        weights[known] = sample_weights(codes[known], known, weighting="class")
    return weights
