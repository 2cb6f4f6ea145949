"""What the concepts recipe works on: images with patient, label and attributes, divided once by patient."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped
from torch import Tensor

from trilineage.core.errors import ColumnError, ConfigError
from trilineage.data.cohort import Cohort, shown
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._image_cohort import describe_images, seen_before, split_images

UNLABELLED = "unlabelled"
"""Stands for the label of an image that has none; such images teach the autoencoder and test nothing."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """Images and what is known of each."""

    table: ImageTable
    """Every image that can be read."""
    cohort: Cohort
    """Patient, label and site of each."""
    split: Split
    """Part of each."""
    classes: tuple[str, ...]
    """Labels that occur, without that of the unlabelled."""
    labels: Int[np.ndarray, " sample"]
    """Index into `classes`, -1 where unknown."""
    attributes: dict[str, Shaped[np.ndarray, " sample"]]
    """What an expert saw in each image (str), by attribute; empty where unknown."""
    taxonomy: Taxonomy | None
    """Tree of the labels, if they are nodes of one."""
    notes: tuple[str, ...]
    """What was left out or assumed, one sentence each."""

    @property
    def has_patients(self) -> bool:
        """Whether patients are known; if not, each image counts as its own."""
        return self.table.patients is not None

    def named_labels(self) -> Shaped[np.ndarray, " sample"]:
        """Return the label of each image (str), empty where it has none."""
        return np.array([*self.classes, ""], dtype=str)[self.labels]


def gather(config: Config) -> Material:
    """Open the images and divide them by patient.

    Raises
    ------
    DataError
        Images or table cannot be read, or patients and labels cannot answer the question.
    ColumnError
        An attribute is no column of the table.
    """
    table = open_table(config)
    cohort = _cohort(table, config)
    splits = split_images(table, cohort, config.split, train_sites=config.train_sites, seed=config.seed)
    if len(splits) > 1:
        raise ConfigError(
            "an atlas of concepts comes from one autoencoder, and so from one split",
            seen=f"split.kind = {config.split.kind} ({len(splits)} splits)",
            allowed="holdout, or column",
            remedy="set split.kind; barcodes are cross-validated over patients in any case",
        )
    classes = tuple(name for name in cohort.classes if name != UNLABELLED)
    codes = np.array([classes.index(name) if name in classes else -1 for name in cohort.classes])
    notes = [
        *table.notes,
        *filter(None, (cohort.note, splits[0].note, seen_before(table, splits, config.encoder))),
    ]
    if len(table.unreadable):
        notes.append(f"{len(table.unreadable):,} unreadable images were left out")
    for note in notes[len(table.notes) :]:
        logger.info("%s", note)
    return Material(
        table,
        cohort,
        splits[0],
        classes,
        codes[cohort.label_codes],
        _attributes(table, config.attributes),
        _taxonomy(config.taxonomy, classes),
        tuple(notes),
    )


def open_table(config: Config) -> ImageTable:
    """Open the images; every one that can be read has tokens, labelled or not."""
    return open_images(config.data)


def _cohort(table: ImageTable, config: Config) -> Cohort:
    """Make the sample table; unlike a classifier's it may have one class, or none."""
    labels = np.where(table.labels == "", UNLABELLED, table.labels).astype(str)
    patients = table.patients
    return Cohort(
        samples=table.names,
        patients=table.names if patients is None else patients,
        labels=labels,
        classes=tuple(np.unique(labels).tolist()),
        sites=table.sites,
        content=table.content if config.check_content else None,
        note="" if patients is not None else "no patients are known: each image counts as its own patient",
    )


def _taxonomy(name: str, classes: tuple[str, ...]) -> Taxonomy | None:
    """Return the taxonomy; every class must be a node of it."""
    if not name or not classes:
        return None
    taxonomy = load_taxonomy(name)
    taxonomy.codes(np.array(classes, dtype=str))
    return taxonomy


def _attributes(table: ImageTable, columns: tuple[str, ...]) -> dict[str, Shaped[np.ndarray, " image"]]:
    """Read the columns of attributes."""
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise ColumnError(
            "attributes that are no column of the table of images",
            seen=", ".join(absent),
            allowed=shown(table.columns, limit=40) or "no columns at all",
            remedy="name columns of the manifest in `attributes`",
        )
    return {name: np.char.strip(table.columns[name].astype(str)) for name in columns}


def describe_material(material: Material) -> dict[str, Any]:
    """Return what the report says of the cohort, as JSON-ready values."""
    facts = describe_images(material.table, material.cohort)
    names = {name: int((values != "").sum()) for name, values in material.attributes.items()}
    return {
        **facts,
        "taxonomy": "" if material.taxonomy is None else material.taxonomy.name,
        "attributes": names,
        "notes": list(material.notes),
    }


def loader_of(material: Material) -> Callable[[np.ndarray], Tensor]:
    """Return the way from positions of images to their pixels."""
    batches = ImageBatches(material.table, workers=1)
    return lambda positions: batches.take(positions).pixels
