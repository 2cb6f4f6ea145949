"""A list of images before any is opened: where each lies, what is known of it, which are kept and which refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped, UInt8

from trilineage.core.errors import ColumnError, ConfigError, FormatError
from trilineage.core.seeding import derive_seed
from trilineage.data.cohort import shown
from trilineage.data.images.settings import ImageDataSettings

PARTS = ("train", "valid", "test", "unused")
"""Names of the parts of an official split, as a table gives them."""

CANDIDATES: dict[str, tuple[str, ...]] = {
    "path": (
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "image_file",
        "img_path",
        "img_name",
        "image_name",
        "img",
    ),
    "label": ("label", "class", "diagnosis", "cls", "cell_type", "category", "wbc_type_label", "subclass"),
    "patient": (
        "patient",
        "patient_id",
        "patientid",
        "subject",
        "subject_id",
        "donor",
        "donor_id",
        "case_id",
        "case",
    ),
    "site": (
        "site",
        "center",
        "centre",
        "hospital",
        "acquisition_group",
        "scanner",
        "camera",
        "institution",
        "lab",
    ),
    "split": ("split", "part", "partition", "set", "subset"),
}
"""Column names that are taken for a role when none is named, the likeliest first; compared in lower case."""

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing", "holdout"),
    "unused": ("unused", "", "none", "nan"),
}


@dataclass(frozen=True)
class Listing:
    """Images by name, before any was looked at; either files or an array holds their pixels."""

    names: Shaped[np.ndarray, " image"]
    """Name of each image (str): its path below the root, or its name in the array file."""
    labels: Shaped[np.ndarray, " image"]
    """Label of each image (str), as written; empty where unknown."""
    paths: Shaped[np.ndarray, " image"] | None = None
    """File of each image (str)."""
    pixels: UInt8[np.ndarray, "array_row height width 3"] | None = None
    """All pixels of an array file."""
    rows: Int[np.ndarray, " image"] | None = None
    """Row of each image in `pixels`."""
    patients: Shaped[np.ndarray, " image"] | None = None
    """Patient of each image (str)."""
    sites: Shaped[np.ndarray, " image"] | None = None
    """Site of each image (str)."""
    parts: Shaped[np.ndarray, " image"] | None = None
    """Part of an official split: train, valid, test or unused."""
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """What else the source says of each image, by column name."""
    notes: tuple[str, ...] = ()
    """What was guessed or left out, in sentences."""

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, positions: Int[np.ndarray, " chosen"], note: str = "") -> "Listing":
        """Return some of the images; `note` says why, where some went missing."""
        per_image = ("names", "labels", "paths", "rows", "patients", "sites", "parts")
        columns: dict[str, Any] = {name: getattr(self, name) for name in per_image}
        kept: dict[str, Any] = {
            name: None if column is None else column[positions] for name, column in columns.items()
        }
        others = {name: column[positions] for name, column in self.columns.items()}
        return replace(self, **kept, columns=others, notes=(*self.notes, *filter(None, [note])))


def filtered(listing: Listing, settings: ImageDataSettings) -> Listing:
    """Keep the images that the options ask for.

    Raises
    ------
    ConfigError
        If a condition is not of the form `column=value`, or a class to keep does not occur.
    ColumnError
        If a condition names no column, or no image is left.
    """
    for condition in settings.keep:
        listing = _kept(listing, condition)
    if settings.classes:
        listing = _of_classes(listing, settings.classes)
    if settings.limit_per_class:
        listing = _limited(listing, settings.limit_per_class)
    return listing


def completed(listing: Listing) -> Listing:
    """Insist on a patient for every image, where there are patients at all; no site becomes 'unknown'.

    Raises
    ------
    ColumnError
        If some images have a patient and others none.
    """
    if listing.patients is not None and (listing.patients == "").any():
        raise ColumnError(
            "the patient column has missing values",
            seen=f"{int((listing.patients == '').sum()):,} of {len(listing):,} images",
            allowed="a patient for every image, or for none",
            remedy="fill them in, leave these images out with keep, or name another patient_column",
        )
    if listing.sites is None or not (listing.sites == "").any():
        return listing
    is_unknown = listing.sites == ""
    note = f"{int(is_unknown.sum()):,} images name no site: it is taken as 'unknown'"
    return replace(
        listing, sites=np.where(is_unknown, "unknown", listing.sites), notes=(*listing.notes, note)
    )


def listing_from_frame(
    frame: pd.DataFrame,
    settings: ImageDataSettings,
    *,
    names: Sequence[str],
    paths: Sequence[Path] | None = None,
    pixels: UInt8[np.ndarray, "array_row height width 3"] | None = None,
    taken: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Listing:
    """Make a listing of a table with one row per image, choosing and reporting its columns.

    Parameters
    ----------
    frame
        One row per image.
    settings
        Names columns; those it leaves out are guessed.
    names
        Name of each row's image.
    paths
        File of each row; None where the pixels are given.
    pixels
        Pixels of each row.
    taken
        Columns that are not guessed to have another role, such as the one of the paths.
    notes
        What a reader should know already.
    """
    roles, guesses = choose_columns(frame, settings, taken=taken)
    text = {str(name): _as_text(frame[name]) for name in frame.columns}
    chosen = {role: None if name is None else text[name] for role, name in roles.items()}
    labels = chosen["label"] if chosen["label"] is not None else np.full(len(frame), "", dtype=str)
    parts, part_note = _parts(chosen["split"], roles["split"], is_asked=settings.split_column is not None)
    lone = "" if roles["patient"] else "no patients are known: each image counts as its own patient"
    return Listing(
        names=np.array(names, dtype=str),
        labels=labels,
        paths=None if paths is None else np.array([str(path) for path in paths], dtype=str),
        pixels=pixels,
        rows=None if pixels is None else np.arange(len(frame)),
        patients=chosen["patient"],
        sites=chosen["site"],
        parts=parts,
        columns=text,
        notes=(*notes, *guesses, *filter(None, [part_note, lone])),
    )


def choose_columns(
    frame: pd.DataFrame, settings: ImageDataSettings, *, taken: tuple[str, ...] = ()
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Return the column of each role (label, patient, site, split) and what was guessed, in sentences."""
    roles: dict[str, str | None] = {}
    guesses = []
    for role in ("label", "patient", "site", "split"):
        asked = getattr(settings, f"{role}_column")
        roles[role] = (
            named_column(frame, asked, role) if asked is not None else guessed_column(frame, role, taken)
        )
        if asked is None and roles[role] is not None:
            guesses.append(f"column '{roles[role]}' is taken as the {role}")
    return roles, tuple(guesses)


def named_column(frame: pd.DataFrame, name: str, role: str) -> str:
    """Return the name of a column that was asked for.

    Raises
    ------
    ColumnError
        If there is none.
    """
    if name not in frame.columns:
        raise ColumnError(
            f"no {role} column '{name}' in the table of images",
            seen=name,
            allowed=shown(frame.columns, limit=40) or "no columns at all",
            remedy=f"set {role}_column to one of these",
        )
    return name


def guessed_column(frame: pd.DataFrame, role: str, taken: tuple[str, ...] = ()) -> str | None:
    """Return the column that is most likely meant for a role, or None."""
    by_name = {str(name).strip().lower(): str(name) for name in reversed(frame.columns)}
    found = (by_name[name] for name in CANDIDATES[role] if name in by_name)
    return next((name for name in found if name not in taken and not _is_empty(frame[name])), None)


def _is_empty(values: pd.Series) -> bool:
    return bool((values.isna() | (values.astype(str).str.strip() == "")).all())


def part_of(word: str) -> str | None:
    """Return the part of a split that a word means, or None.

    Examples
    --------
    >>> part_of("Validation"), part_of("fold_3")
    ('valid', None)
    """
    folded = word.strip().lower()
    return next((part for part, words in _SPLIT_WORDS.items() if folded in words), None)


def _kept(listing: Listing, condition: str) -> Listing:
    column, equals, wanted = (part.strip() for part in condition.partition("="))
    if not equals or not column:
        raise ConfigError(
            "a condition is not of the form column=value",
            seen=repr(condition),
            allowed="such as acquisition_group=A, or site=Bonn|Jena",
            remedy="correct the option keep",
        )
    values = _values_of(listing, column)
    is_kept = np.isin(values, [word.strip() for word in wanted.split("|")])
    if not is_kept.any():
        raise ColumnError(
            f"no image has {condition}",
            seen=condition,
            allowed=f"values of '{column}': {shown(np.unique(values))}",
            remedy="correct the option keep",
        )
    note = f"{int((~is_kept).sum()):,} images left out: not {condition}"
    return listing.chosen(np.flatnonzero(is_kept), "" if is_kept.all() else note)


def _values_of(listing: Listing, column: str) -> Shaped[np.ndarray, " image"]:
    roles = {
        "label": listing.labels,
        "patient": listing.patients,
        "site": listing.sites,
        "split": listing.parts,
    }
    known = listing.columns | {name: values for name, values in roles.items() if values is not None}
    if column not in known:
        raise ColumnError(
            f"no column '{column}' to choose images by", seen=column, allowed=shown(known, limit=40)
        )
    return np.asarray(known[column]).astype(str)


def _of_classes(listing: Listing, classes: tuple[str, ...]) -> Listing:
    present = set(np.unique(listing.labels).tolist())
    absent = [name for name in classes if name not in present]
    if absent:
        raise ConfigError(
            "classes to keep that do not occur",
            seen=shown(absent),
            allowed=shown(sorted(present - {""})),
            remedy="correct the option classes",
        )
    is_kept = np.isin(listing.labels, classes)
    note = f"{int((~is_kept).sum()):,} images left out: of other classes"
    return listing.chosen(np.flatnonzero(is_kept), "" if is_kept.all() else note)


def _limited(listing: Listing, limit: int) -> Listing:
    """Keep at most `limit` images of each label: those whose names hash lowest, whatever else is in the table."""
    lot = np.array([derive_seed(0, "limit_per_class", str(name)) for name in listing.names], np.int64)
    order = np.lexsort((lot, listing.labels))
    labels = listing.labels[order]
    starts = np.searchsorted(labels, labels)
    kept = np.sort(order[np.arange(len(order)) - starts < limit])
    note = f"{len(listing) - len(kept):,} images left out: at most {limit:,} of each label"
    return listing.chosen(kept, note if len(kept) < len(listing) else "")


def _as_text(values: pd.Series) -> Shaped[np.ndarray, " image"]:
    """Return a column as text without spaces around it; what is missing is empty."""
    is_missing = values.isna().to_numpy()
    text = values.astype(str).str.strip().to_numpy(dtype=str)
    return np.where(is_missing, "", text)


def _parts(
    values: Shaped[np.ndarray, " image"] | None, column: str | None, *, is_asked: bool
) -> tuple[Shaped[np.ndarray, " image"] | None, str]:
    """Translate the words of a split; a guessed column with other words is left alone."""
    if values is None:
        return None, ""
    words, code = np.unique(values, return_inverse=True)
    meanings = [part_of(str(word)) for word in words]
    unknown = [str(word) for word, meaning in zip(words, meanings, strict=True) if meaning is None]
    if unknown and not is_asked:
        return None, f"column '{column}' is no split after all: it holds {shown(unknown)}"
    if unknown:
        raise ColumnError(
            f"split column '{column}' has words that mean no part",
            seen=shown(unknown),
            allowed=", ".join(word for words in _SPLIT_WORDS.values() for word in words if word),
            remedy="rename the parts or name another split_column",
        )
    return np.array(meanings, dtype=str)[code], ""


def refuse_duplicates(names: Shaped[np.ndarray, " image"], where: str) -> None:
    """Refuse a table that lists an image twice.

    Raises
    ------
    ColumnError
        Lists the first of them, with their number.
    """
    unique, counts = np.unique(names, return_counts=True)
    twice = unique[counts > 1]
    if len(twice):
        raise ColumnError(
            f"{where} lists images more than once",
            seen=f"{len(twice):,}: {shown(twice)}",
            allowed="one row per image",
            remedy="remove the duplicated rows",
        )


def refuse_empty(n_images: int, path: Path, *, seen: str) -> None:
    """Refuse a source without images.

    Raises
    ------
    FormatError
        Says what was there instead.
    """
    if n_images == 0:
        raise FormatError(
            f"{path} holds no images",
            seen=seen,
            allowed="image files (.png .jpg .tif .bmp .webp), a folder for each class, or a manifest that names them",
            remedy="check the path",
        )
