"""Images listed in a CSV table: one row per file, with label, patient, site, split and whatever else is known."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from trilineage.core.errors import ColumnError, FormatError
from trilineage.data.cohort import shown
from trilineage.data.images.decoding import SUFFIXES
from trilineage.data.images.folder import image_files
from trilineage.data.images.listing import (
    Listing,
    guessed_column,
    listing_from_frame,
    named_column,
    refuse_duplicates,
    refuse_empty,
)
from trilineage.data.images.settings import ImageDataSettings

MANIFEST_NAMES = ("manifest.csv", "metadata.csv", "labels.csv", "metadata.tsv", "manifest.tsv")
"""Tables that are looked for in a folder, in this order."""

_UNREADABLE = (OSError, ValueError, OverflowError, csv.Error, MemoryError)


def find_manifest(folder: Path) -> Path | None:
    """Return the table that describes the images of a folder, or None."""
    return next((folder / name for name in MANIFEST_NAMES if (folder / name).is_file()), None)


def read_manifest(path: Path, settings: ImageDataSettings) -> Listing:
    """List the images of a CSV or TSV table.

    A path is looked for below the root as written; else as `images/<path>`, `images/<label>/<path>` and
    `<label>/<path>`; else by its file name (with or without its ending) anywhere below the root. Rows whose file is not
    there are left out and counted.

    Raises
    ------
    FormatError
        If the file is no table, no image is there, or a path leads out of the root.
    ColumnError
        If a column asked for is absent, no column holds paths, or rows are duplicated.
    """
    frame = _frame(path)
    root = Path(settings.root) if settings.root is not None else path.parent
    return read_frame(frame, settings, root=root, where=path.name)


def read_frame(frame: pd.DataFrame, settings: ImageDataSettings, *, root: Path, where: str) -> Listing:
    """List the images of a table that is already read; see `read_manifest`."""
    column = _path_column(frame, settings, where)
    written = frame[column].fillna("").astype(str).str.strip()
    _refuse_outside(written, root, where)
    refuse_duplicates(written.to_numpy(dtype=str), where)
    paths = _found(written, frame, root)
    is_there = np.array([path is not None for path in paths], dtype=np.bool_)
    refuse_empty(
        int(is_there.sum()),
        root,
        seen=f"none of the {len(frame):,} files that {where} names: {shown(written[:3])}",
    )
    n_absent = int((~is_there).sum())
    notes = (
        (f"{n_absent:,} of {len(frame):,} rows of {where} name files that are not there",) if n_absent else ()
    )
    found = [path for path in paths if path is not None]
    listing = listing_from_frame(
        frame.loc[is_there].reset_index(drop=True),
        settings,
        names=[_name(path, root) for path in found],
        paths=found,
        taken=(column,),
        notes=notes,
    )
    refuse_duplicates(listing.names, f"{where} (by the files its rows lead to)")
    return listing


def _frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FormatError("no such file", seen=path, remedy="check the path")
    separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else None
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            header = stream.readline(1_000_000)
            stream.seek(0)
            found = separator or max((",", ";", "\t"), key=header.count)
            frame = pd.read_csv(stream, sep=found, dtype=str, keep_default_na=False, na_values=[""])
    except _UNREADABLE as error:
        raise FormatError(f"cannot read {path.name} as a table of images", seen=str(error)[:200]) from error
    if frame.empty or not isinstance(frame.index, pd.RangeIndex):
        raise FormatError(
            f"{path.name} is no table of images",
            seen="no rows" if frame.empty else "rows longer than the header",
            allowed="a header and one row per image",
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame


def _path_column(frame: pd.DataFrame, settings: ImageDataSettings, where: str) -> str:
    if settings.path_column is not None:
        return named_column(frame, settings.path_column, "path")
    column = guessed_column(frame, "path")
    if column is None:
        raise ColumnError(
            f"{where} has no column that names image files",
            seen=shown(frame.columns, limit=40),
            allowed="path, file, filename, image, ...",
            remedy="set path_column",
        )
    return column


def _refuse_outside(written: pd.Series, root: Path, where: str) -> None:
    """Refuse paths that lead out of the root; links below the root are followed, for whoever made them meant them."""
    base = str(root.absolute())
    outside = [path for path in written if not _is_below(path, base)]
    if outside:
        raise FormatError(
            f"{where} names files outside its folder",
            seen=f"{len(outside):,}: {shown(outside, limit=3)}",
            allowed=f"paths below {root}",
            remedy="correct the paths, or set root to the folder they start from",
        )


def _is_below(path: str, base: str) -> bool:
    if "\0" in path:
        return False
    base = os.path.normpath(base)
    target = os.path.normpath(Path(base) / path.replace("\\", "/"))
    return target == base or target.startswith(base.rstrip(os.sep) + os.sep)


def _found(written: pd.Series, frame: pd.DataFrame, root: Path) -> list[Path | None]:
    """Return the file of each row, or None."""
    labels = [frame[name] for name in frame.columns if str(name).lower() in ("class", "label", "diagnosis")]
    by_name: dict[str, list[Path]] | None = None
    found: list[Path | None] = []
    for position, text in enumerate(written):
        place = _as_written(root, text.replace("\\", "/"), [str(column.iloc[position]) for column in labels])
        if place is None and text:
            if by_name is None:
                by_name = _by_name(image_files(root))
            place = _only(by_name.get(Path(text.replace("\\", "/")).name.lower(), []), text)
        found.append(place)
    return found


def _name(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _as_written(root: Path, text: str, labels: Sequence[str]) -> Path | None:
    if not text:
        return None
    inside = [
        label for label in labels if label and not set(label) & {"/", "\\", "\0"} and label not in (".", "..")
    ]
    tried = [root / text, root / "images" / text]
    tried += [root / folder / label / text for label in inside for folder in ("images", ".")]
    return next((path for path in tried if path.is_file()), None)


def _by_name(files: list[Path]) -> dict[str, list[Path]]:
    """Return the files by their names in lower case, with and without their endings."""
    table: dict[str, list[Path]] = {}
    for path in files:
        for name in {path.name.lower(), path.stem.lower()}:
            table.setdefault(name, []).append(path)
    return table


def _only(paths: list[Path], text: str) -> Path | None:
    if len(paths) > 1:
        raise FormatError(
            f"the name {text!r} could be several files",
            seen=shown(paths, limit=3),
            allowed="a name that occurs once, or a path below the root",
            remedy="write the paths into the manifest",
        )
    return paths[0] if paths else None


def is_manifest(path: Path) -> bool:
    """Tell whether a file name is that of a table, and not of an image or of arrays."""
    return path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt") and path.suffix.lower() not in SUFFIXES
