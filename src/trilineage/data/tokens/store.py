"""Tokens on disk, mapped into memory: by image, or in sequential chunks."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float, Float32, Int

from trilineage.core.errors import DataError
from trilineage.data.tokens.outliers import is_ordinary
from trilineage.data.tokens.reader import require_source
from trilineage.data.tokens.settings import OutlierSettings
from trilineage.data.tokens.shards import TokenFolder
from trilineage.data.tokens.source import TokenSource


class TokenStore:
    """The tokens of a folder whose shards are all finished; a `TokenReader`. Open one with `TokenStore.open`.

    Shards are mapped, not read: memory does not grow with their number. Several threads may read at once.

    Parameters
    ----------
    folder
        Where the shards are.
    verify
        Whether the digest of a shard is checked when it is first read.
    """

    def __init__(self, folder: TokenFolder, *, verify: bool = True):
        self.folder = folder
        self.source: TokenSource = folder.source
        self.verify_shards = verify
        self._shards: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path | str, source: TokenSource | None = None, *, verify: bool = True) -> Self:
        """Open tokens that were extracted to a folder.

        Parameters
        ----------
        folder
            Where they are.
        source
            What they must be of; None: whatever they are of.
        verify
            Whether the digest of a shard is checked when it is first read.

        Raises
        ------
        ArtifactError
            If the folder holds no tokens, others than those asked for, or unfinished shards (which are named).
        NewerVersionError
            If a newer version of this package wrote them.
        """
        found = TokenFolder.read(Path(folder))
        if source is not None:
            require_source(found.source, source, where=str(folder))
        found.require_finished()
        return cls(found, verify=verify)

    def __len__(self) -> int:
        return self.folder.n_images

    def read(self, positions: Int[np.ndarray, " image"]) -> Float[np.ndarray, "image token width"]:
        """Return the tokens of images in the order of `positions`, as they are kept (float16 or float32).

        Raises
        ------
        DataError
            If there is no such image.
        AlteredFileError
            If a shard is not the file that was written.
        """
        if len(positions) and not 0 <= int(positions.min()) <= int(positions.max()) < len(self):
            raise DataError(
                "tokens of an image that there is not",
                seen=f"positions {int(positions.min())} to {int(positions.max())}",
                allowed=f"0 to {len(self) - 1}",
            )
        source = self.source
        tokens = np.empty((len(positions), source.n_tokens, source.width), np.dtype(source.dtype))
        numbers, rows = np.divmod(positions, self.folder.images_per_shard)
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            tokens[places] = self._shard(number)[rows[places]]
        return tokens

    def chunks(
        self, start: int = 0, stop: int | None = None, *, n_images: int = 64
    ) -> Iterator[tuple[Int[np.ndarray, " image"], Float[np.ndarray, "image token width"]]]:
        """Give positions and tokens of the images from `start` to `stop`, `n_images` at a time, in their order."""
        end = len(self) if stop is None else min(stop, len(self))
        for first in range(start, end, n_images):
            positions = np.arange(first, min(first + n_images, end))
            yield positions, self.read(positions)

    def norms(self) -> Float32[np.ndarray, "image token"]:
        """Return the norm of every token, read from files beside the tokens."""
        return np.concatenate([self.folder.read_norms(number) for number in range(self.folder.n_shards)])

    def n_outliers(self, settings: OutlierSettings) -> int:
        """Return how many tokens the settings leave out."""
        ordinary = is_ordinary(self.norms(), settings, n_prefix=self.source.n_prefix)
        return int(ordinary.size - ordinary.sum())

    def verify(self) -> None:
        """Check the digest of every shard; raises AlteredFileError for the first that fails."""
        for number in range(self.folder.n_shards):
            self.folder.open_shard(number, verify=True)
            self.folder.read_norms(number)

    def _shard(self, number: int) -> np.ndarray:
        with self._lock:
            if number not in self._shards:
                self._shards[number] = self.folder.open_shard(number, verify=self.verify_shards)
            return self._shards[number]
