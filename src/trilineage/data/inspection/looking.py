"""One look at every image: digest, size, a small grey copy, the colour of its background, or why it cannot be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped, UInt8
from PIL import Image

from trilineage.core.errors import ImageError
from trilineage.core.files import sha256_bytes
from trilineage.core.progress import progress
from trilineage.data.images.decoding import decode_sized, fitted, probe
from trilineage.data.images.listing import Listing
from trilineage.data.images.reading import read_bytes
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.threads import in_threads, n_workers

SIDE = 64
"""Width and height of the grey copies, in pixels."""

_BRIGHTEST = 0.7
"""Pixels above this quantile of their darkest channel count as background: in a smear, plasma between the cells."""
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Looks:
    """What was seen of each image of a listing; zeros where it could not be read."""

    reasons: Shaped[np.ndarray, " image"]
    """Why an image cannot be read (str); empty where it can."""
    content: Shaped[np.ndarray, " image"]
    """SHA-256 of the file, or of the pixels where they lie in an array (str)."""
    sizes: Int[np.ndarray, "image 2"]
    """Width and height in pixels."""
    greys: UInt8[np.ndarray, "image height width"]
    """Grey copies of `SIDE` x `SIDE` pixels, 0 to 255."""
    backgrounds: Float32[np.ndarray, "image 3"]
    """Mean red, green and blue of the background, 0 to 255."""

    @property
    def is_readable(self) -> Bool[np.ndarray, " image"]:
        """Whether each image could be read."""
        return self.reasons == ""


class _Look(NamedTuple):
    reason: str
    content: str
    size: tuple[int, int]
    pixels: UInt8[np.ndarray, "height width 3"] | None


def look_through(listing: Listing, settings: ImageDataSettings) -> Looks:
    """Look once at every image of a listing, in as many threads as `settings.workers`.

    Memory: 4 kB per image.
    """
    n = len(listing)
    looks = Looks(
        reasons=np.full(n, "", dtype=object),
        content=np.full(n, "", dtype="<U64"),
        sizes=np.zeros((n, 2), dtype=np.int64),
        greys=np.zeros((n, SIDE, SIDE), dtype=np.uint8),
        backgrounds=np.zeros((n, 3), dtype=np.float32),
    )

    def keep(position: int) -> None:
        look = _look(listing, position, settings)
        looks.reasons[position], looks.content[position] = look.reason, look.content
        if look.pixels is not None:
            looks.sizes[position] = look.size
            looks.greys[position] = look.pixels @ _GREY
            looks.backgrounds[position] = background(look.pixels)

    with progress("looking at images", n, "images") as meter:
        for _ in in_threads(keep, range(n), workers=n_workers(settings.workers)):
            meter.advance()
    return looks


def background(pixels: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, " 3"]:
    """Return the mean colour of the brightest third of an image, 0 to 255: in a smear, of what is not cell."""
    flat = pixels.reshape(-1, 3)
    darkest = flat.min(axis=1)
    threshold = np.partition(darkest, place := int(_BRIGHTEST * (len(darkest) - 1)))[place]
    return flat[darkest >= threshold].mean(axis=0, dtype=np.float32)


def _look(listing: Listing, position: int, settings: ImageDataSettings) -> _Look:
    if listing.pixels is not None and listing.rows is not None:
        pixels = listing.pixels[listing.rows[position]]
        small = fitted(Image.fromarray(pixels), (SIDE, SIDE), "squash")
        return _Look("", sha256_bytes(pixels.tobytes()), (pixels.shape[1], pixels.shape[0]), small)
    assert listing.paths is not None
    content = ""
    try:
        data = read_bytes(Path(str(listing.paths[position])))
        content = sha256_bytes(data)
        header = probe(data, max_pixels=settings.max_pixels)
        small = decode_sized(data, (SIDE, SIDE), "squash", max_pixels=settings.max_pixels)
    except ImageError as error:
        seen = "" if error.seen is None else f" ({error.seen})"
        return _Look(f"{error.what}{seen}", content, (0, 0), None)
    return _Look("", content, (header.width, header.height), small)
