"""Images at the working size on disk: decoded once, then mapped into memory by every Run and process that asks."""

import json
import logging
import threading
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from trilineage.core.files import atomic_path, sha256_bytes
from trilineage.core.progress import progress
from trilineage.data.images.decoding import Unfitted, whole
from trilineage.data.images.reading import Pixels, pillow_version
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.threads import in_threads, n_workers

_VERSION = 2
_PER_SHARD = 256

logger = logging.getLogger(__name__)


class CachedPixels:
    """Pixels at the working size from shards on disk; what no shard holds is decoded.

    A shard holds 256 images as one array. Its name is the digest of their contents, the working size, fit, stain and
    the versions of what decodes, so a shard is never wrong, only absent; it appears whole or not at all, and two
    processes that write the same one write the same bytes. An interrupted preparation goes on where it stopped.

    Parameters
    ----------
    pixels
        Where images come from.
    contents
        SHA-256 of each image.
    settings
        Working size, fit, stain and `cache_dir`.
    """

    def __init__(self, pixels: Pixels, contents: Shaped[np.ndarray, " image"], settings: ImageDataSettings):
        assert settings.cache_dir is not None
        self.pixels, self.contents, self.settings = pixels, contents, settings
        self.folder = Path(settings.cache_dir)
        self._shards: dict[int, np.ndarray | None] = {}
        self._lock = threading.Lock()

    @property
    def n_shards(self) -> int:
        """Number of shards that hold all images."""
        return -(-len(self.contents) // _PER_SHARD)

    @property
    def left_unstained(self) -> set[int]:
        """Rows of the images that were read and have no stain to normalise."""
        return self.pixels.left_unstained

    def read(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at its own size, from its source."""
        return self.pixels.read(row)

    def read_sized(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return an image at the working size; from a shard it is read-only."""
        shard = self._shard(row // _PER_SHARD)
        return self.pixels.read_sized(row) if shard is None else shard[row % _PER_SHARD]

    def read_unfitted(self, row: int) -> Unfitted:
        """Return an image at the working size, with its shard or without: variation does not depend on that."""
        return whole(self.read_sized(row))

    def prepare(self) -> int:
        """Write the shards that are not there yet; return how many images were decoded.

        Raises
        ------
        StorageError
            If the disk is full or read-only.
        ImageError
            If an image can no longer be read.
        """
        absent = [number for number in range(self.n_shards) if self._shard(number) is None]
        n_images = sum(len(self._rows(number)) for number in absent)
        with progress("decoding images", n_images, "images") as meter:
            for number in absent:
                self._write(number)
                meter.advance(len(self._rows(number)))
        return n_images

    def _rows(self, number: int) -> range:
        return range(number * _PER_SHARD, min((number + 1) * _PER_SHARD, len(self.contents)))

    def _write(self, number: int) -> None:
        rows = self._rows(number)
        pixels = np.empty((len(rows), *self.settings.shape, 3), np.uint8)
        workers = n_workers(self.settings.workers)
        for place, image in enumerate(in_threads(self.pixels.read_sized, rows, workers=workers)):
            pixels[place] = image
        is_unstained = np.isin(np.array(rows), list(self.pixels.left_unstained))
        path = self._path(number)
        for array, target in ((is_unstained, path.with_suffix(".unstained.npy")), (pixels, path)):
            with atomic_path(target) as temporary:
                np.save(temporary, array, allow_pickle=False)
        self._shards.pop(number, None)

    def _shard(self, number: int) -> np.ndarray | None:
        """Return a shard as mapped memory, or None where it is not there."""
        with self._lock:
            if number not in self._shards:
                self._shards[number] = self._opened(number)
            return self._shards[number]

    def _opened(self, number: int) -> np.ndarray | None:
        path, rows = self._path(number), self._rows(number)
        try:
            is_unstained: Bool[np.ndarray, " row"] = np.load(
                path.with_suffix(".unstained.npy"), allow_pickle=False
            )
            shard: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            logger.warning("images: %s is damaged (%s) and is written again", path, error)
            return None
        if shard.shape != (len(rows), *self.settings.shape, 3) or is_unstained.shape != (len(rows),):
            return None
        self.pixels.left_unstained.update(int(row) for row in np.array(rows)[is_unstained])
        return shard

    def _path(self, number: int) -> Path:
        settings = self.settings
        asked = {
            "version": _VERSION,
            "decoder": pillow_version(),
            "size": settings.shape,
            "fit": settings.fit,
            "stain": settings.stain,
            "reference": _reference_digest(settings),
            "contents": self.contents[self._rows(number)].tolist(),
        }
        return self.folder / f"pixels_{sha256_bytes(json.dumps(asked).encode())[:40]}.npy"


def _reference_digest(settings: ImageDataSettings) -> str:
    path = settings.stain_reference
    return "" if path is None or settings.stain == "none" else sha256_bytes(Path(path).read_bytes())
