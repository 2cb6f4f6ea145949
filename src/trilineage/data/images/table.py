"""The table of images: names, labels, patients and digests, one row each, and the way to their pixels."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped, UInt8, UInt64

from trilineage.data.images.decoding import Unfitted
from trilineage.data.images.reading import Pixels
from trilineage.data.images.settings import ImageDataSettings


@dataclass(frozen=True)
class ImageTable:
    """Images that can be read, in the order of their source; their pixels are read when asked for."""

    names: Shaped[np.ndarray, " image"]
    """Name of each image (str): its path below the root, or its name in the array file."""
    labels: Shaped[np.ndarray, " image"]
    """Label of each image (str), as the source writes it; empty where unknown."""
    patients: Shaped[np.ndarray, " image"] | None
    """Patient of each image (str), or None where the source names none."""
    sites: Shaped[np.ndarray, " image"] | None
    """Site of each image (str), or None."""
    parts: Shaped[np.ndarray, " image"] | None
    """Part of the official split (train, valid, test, unused), or None."""
    content: Shaped[np.ndarray, " image"]
    """SHA-256 of each image (str)."""
    sizes: Int[np.ndarray, "image 2"]
    """Width and height of each image in pixels."""
    columns: dict[str, np.ndarray]
    """Every column of the source, as text, by name."""
    unreadable: tuple[tuple[str, str], ...]
    """Name of each image that was left out, and why."""
    notes: tuple[str, ...]
    """What was guessed or left out, in sentences."""
    settings: ImageDataSettings = field(repr=False)
    """How the images were opened."""
    reader: Pixels = field(repr=False)
    """Where the pixels come from."""
    rows: Int[np.ndarray, " image"] = field(repr=False)
    """Row of each image in `reader`."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the working size, in pixels."""
        return self.settings.shape

    def read(self, position: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at its own size: red, green, blue, 0 to 255.

        Raises
        ------
        ImageError
            If it can no longer be read.
        """
        return self.reader.read(int(self.rows[position]))

    def read_sized(self, position: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at the working size, its stain normalised if the options say so.

        Raises
        ------
        ImageError
            If it can no longer be read.
        """
        return self.reader.read_sized(int(self.rows[position]))

    def read_unfitted(self, position: int) -> Unfitted:
        """Return an image for one who samples it anyway, as `augmentation.write_varied` does.

        Raises
        ------
        ImageError
            If it can no longer be read.
        """
        return self.reader.read_unfitted(int(self.rows[position]))

    def left_unstained(self) -> tuple[str, ...]:
        """Return the images that were read so far and have no stain to normalise (nearly blank, or one colour)."""
        rows = self.reader.left_unstained
        return tuple(
            str(name) for name, row in zip(self.names, self.rows.tolist(), strict=True) if row in rows
        )

    def subset(self, positions: Int[np.ndarray, " chosen"]) -> "ImageTable":
        """Return the images at `positions`, in that order."""
        per_image = ("names", "labels", "patients", "sites", "parts", "content", "sizes", "rows")
        columns: dict[str, Any] = {name: getattr(self, name) for name in per_image}
        chosen: dict[str, Any] = {
            name: None if column is None else column[positions] for name, column in columns.items()
        }
        others = {name: column[positions] for name, column in self.columns.items()}
        return replace(self, **chosen, columns=others)

    def labelled(self) -> Int[np.ndarray, " chosen"]:
        """Return the positions of the images that have a label."""
        return np.flatnonzero(self.labels != "")

    def in_part(self, part: str) -> Int[np.ndarray, " chosen"]:
        """Return the positions of the images in a part of the official split; none where there is no split."""
        return np.flatnonzero(self.parts == part) if self.parts is not None else np.zeros(0, np.int64)

    @cached_property
    def content_numbers(self) -> UInt64[np.ndarray, " image"]:
        """The first 64 bits of each digest: what makes random numbers an image's own."""
        return np.array([int(digest[:16], 16) for digest in self.content.tolist()], dtype=np.uint64)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, labels, patients, sites, parts and contents: two tables with one are the same images."""
        digest = hashlib.sha256()
        for column in (self.names, self.labels, self.patients, self.sites, self.parts, self.content):
            text = "absent" if column is None else "\n".join(column.tolist())
            digest.update(f"{len(text)}:{text}".encode())
        return digest.hexdigest()

    def cohort_columns(self) -> pd.DataFrame:
        """Return what a `Cohort` is made of: label, content, and where known patient, site and part, by image name.

        `Cohort.from_table(table.cohort_columns(), label="label", patient=..., content="content")`; images without a
        label have to be left out before (`labelled`).
        """
        known = {"patient": self.patients, "site": self.sites, "part": self.parts}
        columns = {name: values for name, values in known.items() if values is not None}
        index = pd.Index(self.names, dtype=object)
        return pd.DataFrame({"label": self.labels, **columns, "content": self.content}, index=index)
