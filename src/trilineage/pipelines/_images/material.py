"""What the images recipe works on: opened images with a patient and a node of the taxonomy, and their splits."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from trilineage.core.errors import CohortError, ColumnError
from trilineage.data.cohort import Cohort, shown
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split, SplitSettings, check_leakage, make_splits
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
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
    inside = _trainable(material, config)
    column = _split_column(material, config)
    splits = make_splits(
        material.cohort.subset(inside),
        _split_settings(material, config),
        seed=config.seed,
        column_values=None if column is None else column[inside],
    )
    return tuple(_with_outsiders(material, split, inside) for split in splits)


def _split_settings(material: Material, config: Config) -> SplitSettings:
    """Return the options of the split; an official one names its validation images itself."""
    settings, parts = config.split, material.table.parts
    if parts is None or settings.kind != "column" or settings.column is not None or settings.valid_values:
        return settings
    if "valid" in np.unique(parts).tolist():
        return settings.replace(valid_values=("valid",))
    return settings


def _trainable(material: Material, config: Config) -> Int[np.ndarray, " chosen"]:
    if not config.train_sites:
        return np.arange(len(material.cohort))
    sites = material.cohort.sites
    known = [] if sites is None else np.unique(sites).tolist()
    absent = [site for site in config.train_sites if site not in known]
    if sites is None or absent:
        raise ColumnError(
            "train_sites names sites that the images do not have",
            seen=", ".join(absent) or ", ".join(config.train_sites),
            allowed=shown(known) or "no site column was found",
            remedy="mend train_sites, or name the column with data.site_column",
        )
    return np.flatnonzero(np.isin(sites, config.train_sites))


def _split_column(material: Material, config: Config) -> Shaped[np.ndarray, " sample"] | None:
    if config.split.kind != "column":
        return None
    if config.split.column is None:
        if material.table.parts is None:
            raise ColumnError(
                "the images have no official split",
                allowed=shown(material.table.columns) or "a manifest with a split column",
                remedy="set split.column, data.split_column or another split.kind",
            )
        return material.table.parts
    if config.split.column not in material.table.columns:
        raise ColumnError(
            f"no column {config.split.column!r} in the table of images",
            allowed=shown(material.table.columns, limit=40) or "none",
            remedy="name one of these in split.column",
        )
    return material.table.columns[config.split.column]


def _with_outsiders(material: Material, split: Split, inside: Int[np.ndarray, " chosen"]) -> Split:
    if len(inside) == len(material.cohort):
        return split
    parts = np.full(len(material.cohort), "test", dtype="<U6")
    parts[inside] = split.parts
    whole = replace(split, parts=parts)
    check_leakage(material.cohort, whole)
    return whole


def describe_material(material: Material) -> dict[str, Any]:
    """Return what the report says of the cohort, as JSON-ready values."""
    table, cohort, taxonomy = material.table, material.cohort, material.taxonomy
    sizes, counts = np.unique(table.sizes, axis=0, return_counts=True)
    order = np.argsort(-counts)[:8]
    return {
        "n_samples": len(cohort),
        "n_patients": len(cohort.patient_names),
        "has_patients": material.has_patients,
        "classes": cohort.class_table(),
        "taxonomy": taxonomy.name,
        "populations": [],
        "sites": _counted(cohort.sites),
        "image_sizes": [f"{w} x {h}: {n:,}" for (w, h), n in zip(sizes[order], counts[order], strict=True)],
        "working_size": list(table.shape),
        "unreadable": [{"name": name, "reason": reason} for name, reason in table.unreadable],
        "notes": list(material.notes),
    }


def data_facts(material: Material, config: Config) -> dict[str, Any]:
    """Return what identifies the images, for the manifest of the Run."""
    path = Path(str(config.data.path))
    return {"path": str(path), "sha256": material.table.fingerprint, "n_images": len(material.table)}


def _counted(names: Shaped[np.ndarray, " sample"] | None) -> list[dict[str, Any]]:
    if names is None:
        return []
    values, counts = np.unique(names, return_counts=True)
    return [{"name": str(v), "n_samples": int(c)} for v, c in zip(values, counts, strict=True)]
