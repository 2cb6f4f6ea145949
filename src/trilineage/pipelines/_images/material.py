"""What the images recipe works on: opened images with a patient and a node of the taxonomy, and their splits."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from trilineage.core.errors import CohortError
from trilineage.data.cohort import Cohort, shown
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.models.encoder import EncoderSettings
from trilineage.pipelines._image_cohort import describe_images, image_facts, seen_before, split_images
from trilineage.pipelines._images.config import Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """Images with a patient and a label, and the taxonomy that the labels are nodes of."""

    table: ImageTable
    """The images of the cohort, in its order."""
    taxonomy: Taxonomy
    """Tree or DAG of the diagnoses."""
    cohort: Cohort
    """Patient, label (a node) and site of each image."""
    nodes: Int[np.ndarray, " sample"]
    """Node index of each label; it may be an inner node."""
    has_patients: bool
    """Whether patients are known; if not, each image counts as its own."""
    notes: tuple[str, ...]
    """What was left out or assumed, one sentence each."""


def gather(config: Config) -> Material:
    """Open the images and keep those whose label is a node of the taxonomy.

    Raises
    ------
    DataError
        Images or table cannot be read, a label is no node, or patients and labels cannot answer the question.
    """
    table = open_images(config.data)
    taxonomy = load_taxonomy(config.taxonomy)
    if config.leaves:
        taxonomy = taxonomy.restricted_to(config.leaves)
    nodes = label_nodes(table, taxonomy, config)
    usable = np.flatnonzero(nodes > 0)  # the root is what everything is: it teaches nothing
    notes = list(table.notes)
    if len(usable) < len(table):
        notes.append(f"{len(table) - len(usable):,} images without a label were left out")
    if len(table.unreadable):
        notes.append(f"{len(table.unreadable):,} unreadable images were left out")
    if len(usable) == 0:
        raise CohortError(
            "no image has a label that is a node of the taxonomy",
            seen=shown(np.unique(table.labels)),
            allowed=shown(taxonomy.nodes[1:]),
            remedy="name the label column (data.label_column), a label_map or another taxonomy",
        )
    table, nodes = table.subset(usable), nodes[usable]
    taxonomy, nodes = _reached(taxonomy, nodes, config)
    cohort = _cohort(table, taxonomy, nodes, config)
    if cohort.note:
        notes.append(cohort.note)
    for note in notes[len(table.notes) :]:
        logger.info("%s", note)
    return Material(table, taxonomy, cohort, nodes, table.patients is not None, tuple(notes))


def label_nodes(table: ImageTable, taxonomy: Taxonomy, config: Config) -> Int[np.ndarray, " image"]:
    """Return the node index of each label; -1 where there is none."""
    return taxonomy.codes(table.labels, config.label_map or None)


def _reached(
    taxonomy: Taxonomy, nodes: Int[np.ndarray, " sample"], config: Config
) -> tuple[Taxonomy, Int[np.ndarray, " sample"]]:
    """Drop the branches that no label reaches, unless the leaves were named."""
    present = np.unique(nodes)
    is_above = taxonomy.ancestors[present].sum(axis=0) > 0
    deepest = [n for n in present if not (taxonomy.ancestors[present, n] & (present != n)).any()]
    if config.leaves or len(deepest) < 2 or is_above.all():
        return taxonomy, nodes
    smaller = taxonomy.restricted_to([taxonomy.nodes[n] for n in deepest])
    return smaller, smaller.codes(np.array([taxonomy.nodes[n] for n in nodes], dtype=str))


def _cohort(
    table: ImageTable, taxonomy: Taxonomy, nodes: Int[np.ndarray, " sample"], config: Config
) -> Cohort:
    columns = table.cohort_columns()
    columns["label"] = [taxonomy.nodes[node] for node in nodes]
    return Cohort.from_table(
        columns,
        label="label",
        patient=None if table.patients is None else "patient",
        site=None if table.sites is None else "site",
        content="content" if config.check_content else None,
    )


def split_patients(material: Material, config: Config) -> tuple[Split, ...]:
    """Divide the patients; where training is for some sites only, the images of all others test.

    Raises
    ------
    ColumnError
        An official split was asked for and there is none, or a site is unknown.
    CohortError, LeakageError
        As the makers of splits.
    """
    return split_images(
        material.table, material.cohort, config.split, train_sites=config.train_sites, seed=config.seed
    )


def with_origin_noted(material: Material, splits: Sequence[Split], config: Config) -> Material:
    """Note how many held-out images the weights that training starts from have learned from, if any."""
    note = seen_before(material.table, splits, EncoderSettings(backbone=config.backbone))
    if not note:
        return material
    logger.warning("%s", note)
    return replace(material, notes=(*material.notes, note))


def describe_material(material: Material) -> dict[str, Any]:
    """Return what the report says of the cohort, as JSON-ready values."""
    facts = describe_images(material.table, material.cohort)
    return {**facts, "taxonomy": material.taxonomy.name, "notes": list(material.notes)}


def data_facts(material: Material, config: Config) -> dict[str, Any]:
    """Return what identifies the images, for the manifest of the Run."""
    return image_facts(material.table)
