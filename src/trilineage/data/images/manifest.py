"""Images listed in a CSV table: one row per file, with label, patient, site, split and whatever else is known."""

import csv
import posixpath
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
    `<label>/<path>`; else by its file name (with or without its ending) anywhere below the root, in a folder of the
    same name if the path has one. Rows whose file is not there are left out and counted.

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
    places = _below(written, root, where)
    refuse_duplicates(written.to_numpy(dtype=str), where)
    found = _found(places, frame, root)
    is_there = np.array([name != "" for name in found], dtype=np.bool_)
    refuse_empty(
        int(is_there.sum()),
        root,
        seen=f"none of the {len(frame):,} files that {where} names: {shown(written[:3])}",
    )
    n_absent = int((~is_there).sum())
    notes = (
        (f"{n_absent:,} of {len(frame):,} rows of {where} name files that are not there",) if n_absent else ()
    )
    names = [name for name in found if name]
    listing = listing_from_frame(
        frame.loc[is_there].reset_index(drop=True),
        settings,
        names=names,
        paths=[root / name for name in names],
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


def _below(written: pd.Series, root: Path, where: str) -> list[str]:
    """Return each path as it lies below the root; refuse those that lead out of it.

    Links below the root are followed: whoever made them meant them.
    """
    base = posixpath.normpath(root.absolute().as_posix()).rstrip("/") + "/"
    places = [_one_below(text.replace("\\", "/"), base) for text in written]
    outside = [text for text, place in zip(written, places, strict=True) if place is None]
    if outside:
        raise FormatError(
            f"{where} names files outside its folder",
            seen=f"{len(outside):,}: {shown(outside, limit=3)}",
            allowed=f"paths below {root}",
            remedy="correct the paths, or set root to the folder they start from",
        )
    return [place for place in places if place is not None]


def _one_below(path: str, base: str) -> str | None:
    """Return a path as it lies below the base, empty for the base itself, or None."""
    if "\0" in path:
        return None
    target = posixpath.normpath(posixpath.join(base, path))
    if target + "/" == base:
        return ""
    return target.removeprefix(base) if target.startswith(base) else None


def _found(places: list[str], frame: pd.DataFrame, root: Path) -> list[str]:
    """Return the file of each row as it lies below the root, empty where there is none; the root is walked once."""
    columns = [name for name in frame.columns if str(name).lower() in ("class", "label", "diagnosis")]
    folders = [[_folder(label) for label in frame[name].fillna("").astype(str)] for name in columns]
    files = [path.relative_to(root).as_posix() for path in image_files(root)]
    here, by_name = set(files), _by_name(files)
    found = []
    for place, *labels in zip(places, *folders, strict=True):
        tried = [place, f"images/{place}"]
        tried += [f"{folder}{label}/{place}" for label in labels if label for folder in ("images/", "")]
        name = next((path for path in tried if path in here), "")
        found.append(name or _only(_alike(by_name, place), place))
    return found


def _folder(label: str) -> str:
    """Return a label that can name a folder, or nothing."""
    return "" if "/" in label or "\0" in label or label in (".", "..") else label


def _by_name(files: list[str]) -> dict[str, list[str]]:
    """Return the files by their names in lower case, with and without their endings."""
    table: dict[str, list[str]] = {}
    for path in files:
        name = posixpath.basename(path).lower()
        for key in {name, posixpath.splitext(name)[0]}:
            table.setdefault(key, []).append(path)
    return table


def _alike(by_name: dict[str, list[str]], place: str) -> list[str]:
    """Return the files of a name that lie in a folder of the name that was written, or in any where none was."""
    folder, name = posixpath.split(place.lower())
    wanted = posixpath.basename(folder)
    files = by_name.get(name, [])
    return [
        path for path in files if not wanted or posixpath.basename(posixpath.dirname(path.lower())) == wanted
    ]


def _only(files: list[str], place: str) -> str:
    if len(files) > 1:
        raise FormatError(
            f"the name {place!r} could be several files",
            seen=shown(files, limit=3),
            allowed="a name that occurs once, or a path below the root",
            remedy="write the paths into the manifest",
        )
    return files[0] if files else ""


def is_manifest(path: Path) -> bool:
    """Tell whether a file name is that of a table, and not of an image or of arrays."""
    return path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt") and path.suffix.lower() not in SUFFIXES
