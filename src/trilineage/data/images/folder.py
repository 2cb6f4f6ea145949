"""Images in folders: one folder per class, perhaps below train, valid and test; or images without labels."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trilineage.core.errors import FormatError
from trilineage.data.images.decoding import SUFFIXES
from trilineage.data.images.listing import Listing, part_of, refuse_empty

_DEEPEST = 12
"""Folders within folders that are looked into; a link that leads back to where it lies would have no end."""


def read_folder(root: Path) -> Listing:
    """List the images of a folder; the folder right below the root (or below a part of a split) is the label.

    Deeper folders only hold files together. Images right in the root have no label.

    Raises
    ------
    FormatError
        If there is no such folder, or no image in it.
    """
    if root.is_file():
        return _one_image(root)
    files = image_files(root)
    refuse_empty(len(files), root, seen=_content(root))
    steps = [path.relative_to(root).parts for path in files]
    is_split = _is_split(steps)
    depth = 1 if is_split else 0
    labels = [part[depth] if len(part) > depth + 1 else "" for part in steps]
    n_without = labels.count("")
    notes = [f"{n_without:,} images lie in no class folder and have no label"] if n_without else []
    return Listing(
        names=np.array(["/".join(part) for part in steps], dtype=str),
        labels=np.array(labels, dtype=str),
        paths=np.array([str(path) for path in files], dtype=str),
        parts=np.array([part_of(part[0]) for part in steps], dtype=str) if is_split else None,
        notes=(*notes, "no patients are known: each image counts as its own patient"),
    )


def image_files(root: Path) -> list[Path]:
    """Return the image files below a folder in the order of their names; hidden ones are left out.

    Raises
    ------
    FormatError
        If there is no such folder.
    """
    if not root.is_dir():
        raise FormatError("no such folder", seen=root, remedy="check the path")
    return sorted(_walk(root))


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        if len(here.relative_to(root).parts) > _DEEPEST:
            folders.clear()
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122  (speed)
                yield here / name


def _is_split(steps: list[tuple[str, ...]]) -> bool:
    """Tell whether every image lies below a folder named after a part of a split, in a folder of its class."""
    firsts = {part[0] for part in steps}
    return all(part_of(name) in ("train", "valid", "test") for name in firsts) and all(
        len(part) > 2 for part in steps
    )


def _one_image(path: Path) -> Listing:
    return Listing(
        names=np.array([path.name], dtype=str),
        labels=np.array([""], dtype=str),
        paths=np.array([str(path)], dtype=str),
    )


def _content(root: Path) -> str:
    n_files = sum(len(names) for _, _, names in os.walk(root))
    return f"{n_files:,} files of other kinds" if n_files else "an empty folder"
