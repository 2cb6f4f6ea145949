"""Walk the folders of a public data set: its images in a fixed order, whatever archive they came out of."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from trilineage.core.errors import FormatError
from trilineage.data.sources.source import COLUMNS

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
"""File names that published sets of cell images use, in lower case."""
_LEFT_OUT = ("__MACOSX",)


def images_below(root: Path) -> Iterator[Path]:
    """Give every image file below a folder as a path relative to it, sorted, without what macOS and we hide.

    Raises
    ------
    FormatError
        If the folder is not there.
    """
    if not root.is_dir():
        raise FormatError("no such folder", seen=root, remedy="check the path")
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name[0] != "." and name not in _LEFT_OUT)
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in SUFFIXES:
                yield Path(folder, name).relative_to(root)


def find_file(root: Path, name: str) -> Path | None:
    """Return the file of this name that lies nearest to the root, or None; upper and lower case are one."""
    found = [
        Path(folder, file)
        for folder, _, files in os.walk(root)
        for file in files
        if file.lower() == name.lower() and "__MACOSX" not in folder
    ]
    return min(found, key=lambda path: (len(path.parts), path), default=None)


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file as text, and insist on some columns.

    Raises
    ------
    FormatError
        If it is no CSV file or lacks a column.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read {path.name} as a table", seen=str(error)[:200]) from error
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise FormatError(
            f"{path.name} lacks columns",
            seen=", ".join(map(str, frame.columns)),
            allowed=", ".join(columns),
            remedy="use the table as it was published",
        )
    return frame


def table(rows: Iterable[Mapping[str, str]], root: Path, layout: str) -> pd.DataFrame:
    """Make the table of images: the five columns of every source first, empty where a row does not say.

    Raises
    ------
    FormatError
        If there are no rows: the folder is not of this layout.
    """
    frame = pd.DataFrame(list(rows)).fillna("")
    if frame.empty:
        raise FormatError(
            "no image of the expected layout",
            seen=root,
            allowed=layout,
            remedy="give the unpacked folder of the data set",
        )
    finer = [name for name in frame.columns if name not in COLUMNS]
    return frame.reindex(columns=[*COLUMNS, *finer], fill_value="").astype(str)


def class_folder_rows(root: Path, classes: Iterable[str]) -> Iterator[dict[str, str]]:
    """Give a row for each image in a folder named like a class, at any depth; the innermost such folder counts."""
    known = {name.lower(): name for name in classes}
    for path in images_below(root):
        labels = [known[part.lower()] for part in path.parent.parts if part.lower() in known]
        if labels:
            yield {"path": path.as_posix(), "label": labels[-1]}
