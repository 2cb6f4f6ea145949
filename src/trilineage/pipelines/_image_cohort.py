"""What the recipes on images share: a split of the table of images, and what is said of it in a Run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from trilineage.core.errors import ColumnError
from trilineage.data.cohort import Cohort, shown
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split, SplitSettings, check_leakage, make_splits
from trilineage.models.encoder import EncoderSettings
from trilineage.models.encoder_origin import is_learned

COLUMN_OPTIONS = ("label_column", "patient_column", "site_column", "split_column", "path_column", "root")
"""Options about a table of images that do not carry over to another table."""


def split_images(
    table: ImageTable, cohort: Cohort, settings: SplitSettings, *, train_sites: tuple[str, ...], seed: int
) -> tuple[Split, ...]:
    """Divide the patients; where training is for some sites only, the images of all others test.

    Parameters
    ----------
    table, cohort
        The images, and patient, label and site of each.
    settings
        How they are divided; kind `column` without a column follows the official split of the table.
    train_sites
        Sites whose images may train; empty: all.

    Raises
    ------
    ColumnError
        An official split was asked for and there is none, or a site is unknown.
    CohortError, LeakageError
        As the makers of splits.
    """
    inside = _trainable(cohort, train_sites)
    column = _split_column(table, settings)
    splits = make_splits(
        cohort.subset(inside),
        _with_validation(table, settings),
        seed=seed,
        column_values=None if column is None else column[inside],
    )
    return tuple(_with_outsiders(cohort, split, inside) for split in splits)


def describe_images(table: ImageTable, cohort: Cohort) -> dict[str, Any]:
    """Return what a report says of a cohort of images, as JSON-ready values."""
    sizes, counts = np.unique(table.sizes, axis=0, return_counts=True)
    order = np.argsort(-counts)[:8]
    return {
        "n_samples": len(cohort),
        "n_patients": len(cohort.patient_names),
        "has_patients": table.patients is not None,
        "classes": cohort.class_table(),
        "populations": [],
        "sites": _counted(cohort.sites),
        "image_sizes": [f"{w} x {h}: {n:,}" for (w, h), n in zip(sizes[order], counts[order], strict=True)],
        "working_size": list(table.shape),
        "unreadable": [{"name": name, "reason": reason} for name, reason in table.unreadable],
    }


def seen_before(table: ImageTable, splits: Sequence[Split], encoder: EncoderSettings) -> str:
    """Say how many held-out images the encoder has learned from; empty where it has from none, or nothing is known."""
    n_seen, n_test = count_seen(table, splits, encoder)
    if not n_seen:
        return ""
    return f"the encoder has learned from {n_seen:,} of the {n_test:,} held-out images: scores are too good"


def count_seen(table: ImageTable, splits: Sequence[Split], encoder: EncoderSettings) -> tuple[int, int]:
    """Return how many held-out images the encoder has learned from, and how many there are."""
    is_test = np.any([split.parts == "test" for split in splits], axis=0)
    return int(is_learned(encoder, table.content_numbers[is_test]).sum()), int(is_test.sum())


def image_facts(table: ImageTable) -> dict[str, Any]:
    """Return what identifies the images, for the manifest of a Run."""
    return {"path": str(table.settings.path), "sha256": table.fingerprint, "n_images": len(table)}


def reading_settings(fitted: ImageDataSettings, data: Path, options: Mapping[str, Any]) -> ImageDataSettings:
    """Return how to read new images: as the model's were brought to size, from another place, with other columns."""
    fresh = dict.fromkeys(COLUMN_OPTIONS)
    kept = fitted.replace(
        path=str(data), format="auto", keep=(), classes=(), limit_per_class=0, verify="header", **fresh
    )
    return kept.replace(**options) if options else kept


def _with_validation(table: ImageTable, settings: SplitSettings) -> SplitSettings:
    """Return the options of the split; an official one names its validation images itself."""
    parts = table.parts
    if parts is None or settings.kind != "column" or settings.column is not None or settings.valid_values:
        return settings
    if "valid" in np.unique(parts).tolist():
        return settings.replace(valid_values=("valid",))
    return settings


def _trainable(cohort: Cohort, train_sites: tuple[str, ...]) -> Int[np.ndarray, " chosen"]:
    if not train_sites:
        return np.arange(len(cohort))
    sites = cohort.sites
    known = [] if sites is None else np.unique(sites).tolist()
    absent = [site for site in train_sites if site not in known]
    if sites is None or absent:
        raise ColumnError(
            "train_sites names sites that the images do not have",
            seen=", ".join(absent) or ", ".join(train_sites),
            allowed=shown(known) or "no site column was found",
            remedy="mend train_sites, or name the column with data.site_column",
        )
    return np.flatnonzero(np.isin(sites, train_sites))


def _split_column(table: ImageTable, settings: SplitSettings) -> Shaped[np.ndarray, " sample"] | None:
    if settings.kind != "column":
        return None
    if settings.column is None:
        if table.parts is None:
            raise ColumnError(
                "the images have no official split",
                allowed=shown(table.columns) or "a manifest with a split column",
                remedy="set split.column, data.split_column or another split.kind",
            )
        return table.parts
    if settings.column not in table.columns:
        raise ColumnError(
            f"no column {settings.column!r} in the table of images",
            allowed=shown(table.columns, limit=40) or "none",
            remedy="name one of these in split.column",
        )
    return table.columns[settings.column]


def _with_outsiders(cohort: Cohort, split: Split, inside: Int[np.ndarray, " chosen"]) -> Split:
    if len(inside) == len(cohort):
        return split
    parts = np.full(len(cohort), "test", dtype="<U6")
    parts[inside] = split.parts
    whole = Split(parts, split.name, split.note)
    check_leakage(cohort, whole)
    return whole


def _counted(names: Shaped[np.ndarray, " sample"] | None) -> list[dict[str, Any]]:
    if names is None:
        return []
    values, counts = np.unique(names, return_counts=True)
    return [{"name": str(v), "n_samples": int(c)} for v, c in zip(values, counts, strict=True)]
