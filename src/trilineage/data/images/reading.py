"""Pixels of a list of images, at their own size or at the working size; from files or from an array."""

import functools
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image

from trilineage.core.errors import ImageError
from trilineage.data.images.decoding import (
    MAX_FILE_BYTES,
    Unfitted,
    decode,
    decode_sized,
    decode_unfitted,
    fitted,
    unfitted,
    whole,
)
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.stains import MAY_GRUENWALD_GIEMSA, StainReference, stain_normaliser, stain_of


@runtime_checkable
class Pixels(Protocol):
    """Where the pixels of images come from, by row."""

    @property
    def left_unstained(self) -> set[int]:
        """Rows of the images that were read and had no stain to normalise."""
        ...

    def read(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at its own size: red, green, blue, 0 to 255."""
        ...

    def read_sized(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at the working size."""
        ...

    def read_unfitted(self, row: int) -> Unfitted:
        """Return an image for one who samples it anyway: at the working size or, better, as it was decoded."""
        ...


class FilePixels:
    """Images in files of their own.

    Parameters
    ----------
    paths
        File of each image.
    settings
        Working size, fit and limits.
    """

    def __init__(self, paths: Shaped[np.ndarray, " image"], settings: ImageDataSettings):
        self.paths, self.settings = paths, settings
        self.left_unstained: set[int] = set()

    def read(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at its own size: red, green, blue, 0 to 255."""
        path = Path(str(self.paths[row]))
        with _named(path):
            return decode(read_bytes(path), max_pixels=self.settings.max_pixels)

    def read_sized(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at the working size."""
        path, settings = Path(str(self.paths[row])), self.settings
        with _named(path):
            return decode_sized(
                read_bytes(path), settings.shape, settings.fit, max_pixels=settings.max_pixels
            )

    def read_unfitted(self, row: int) -> Unfitted:
        """Return an image as it was decoded, if it is not far larger than the working size."""
        path, settings = Path(str(self.paths[row])), self.settings
        with _named(path):
            return decode_unfitted(
                read_bytes(path), settings.shape, settings.fit, max_pixels=settings.max_pixels
            )


class ArrayPixels:
    """Images that lie in one array.

    Parameters
    ----------
    pixels
        All images of the array.
    rows
        Row of each image in it.
    settings
        Working size and fit.
    """

    def __init__(
        self,
        pixels: UInt8[np.ndarray, "array_row height width 3"],
        rows: Int[np.ndarray, " image"],
        settings: ImageDataSettings,
    ):
        self.pixels, self.rows, self.settings = pixels, rows, settings
        self.left_unstained: set[int] = set()

    def read(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at its own size: red, green, blue, 0 to 255."""
        return np.array(self.pixels[self.rows[row]])

    def read_sized(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at the working size."""
        pixels = self.read(row)
        if pixels.shape[:2] == self.settings.shape:
            return pixels
        return fitted(Image.fromarray(pixels), self.settings.shape, self.settings.fit)

    def read_unfitted(self, row: int) -> Unfitted:
        """Return an image as it is, if it is not far larger than the working size."""
        pixels = self.pixels[self.rows[row]]
        if pixels.shape[:2] == self.settings.shape:
            return whole(pixels)
        return unfitted(Image.fromarray(pixels), self.settings.shape, self.settings.fit)


class StainedPixels:
    """Images whose stain is normalised at the working size; those without a stain are left as they are, and counted.

    Parameters
    ----------
    pixels
        Where images come from.
    settings
        Method and reference.
    """

    def __init__(self, pixels: Pixels, settings: ImageDataSettings):
        assert settings.stain != "none"
        self.pixels = pixels
        self.left_unstained: set[int] = set()
        self.normalise = stain_normaliser(settings.stain, reference_of(settings))

    def read(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at its own size, its stain as it is."""
        return self.pixels.read(row)

    def read_sized(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at the working size, its stain normalised."""
        sized = self.pixels.read_sized(row)
        normalised = self.normalise(sized)
        if normalised is None:
            self.left_unstained.add(row)
            return sized
        return normalised

    def read_unfitted(self, row: int) -> Unfitted:
        """Return an image at the working size, its stain normalised."""
        return whole(self.read_sized(row))


def reference_of(settings: ImageDataSettings) -> StainReference:
    """Return the stain that images are brought to.

    Raises
    ------
    ConfigError
        If the reference image shows no two stains.
    ImageError
        If it cannot be read.
    """
    if settings.stain_reference is None:
        return MAY_GRUENWALD_GIEMSA
    path = Path(settings.stain_reference)
    with _named(path):
        return stain_of(decode(read_bytes(path), max_pixels=settings.max_pixels), path.name)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises
    ------
    ImageError
        If it cannot be read or is far too large.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            n_bytes = os.fstat(stream.fileno()).st_size
            if n_bytes <= MAX_FILE_BYTES:
                return stream.read()
    except OSError as error:
        raise ImageError("cannot be read", seen=error.strerror or str(error)) from error
    raise ImageError(
        "the file is too large", seen=f"{n_bytes:,} bytes", allowed=f"at most {MAX_FILE_BYTES:,} bytes"
    )


class _named:  # noqa: N801  (a context manager that is used like a function; contextlib's is ten times slower)
    """Say which file an error is about."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, ImageError):
            raise ImageError(
                f"{self.path}: {error.what}", seen=error.seen, allowed=error.allowed, remedy=error.remedy
            ) from error


@functools.cache
def pillow_version() -> str:
    """Return the versions of what decodes, which decide the last bit of a pixel."""
    from PIL import features

    return f"{Image.__version__}/{features.version('jpg') or 'none'}"
