"""What is kept of the codes of an image: for each active latent how much, in how many patches, and where most."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64
from scipy.sparse import csr_array

from trilineage.core.errors import ConfigError, DataError

What = Literal["mean", "above", "peak", "cls"]
_PER_PAIR = ("latents", "sums", "counts", "peaks", "peak_patches", "cls")


@dataclass(frozen=True)
class ImageCodes:
    """Active latents of images as compressed sparse rows; a latent is in a row if any patch, or CLS, activates it.

    Patches are numbered from 0 in reading order, without prefix tokens: patch p of a grid of width w is in row p // w
    and column p % w. Prefix tokens other than CLS (registers) are in none of the figures.
    """

    positions: Int64[np.ndarray, " image"]
    """Row of each image in its table."""
    indptr: Int64[np.ndarray, " image_plus_1"]
    """Start of each image in the arrays below, and the end of the last; begins with 0."""
    latents: Int32[np.ndarray, " pair"]
    """Latent of each pair, ascending within an image."""
    sums: Float32[np.ndarray, " pair"]
    """Sum of the activations over the patches."""
    counts: Int32[np.ndarray, " pair"]
    """Patches with an activation above `tau`."""
    peaks: Float32[np.ndarray, " pair"]
    """Largest activation of a patch; 0 where only CLS is active."""
    peak_patches: Int32[np.ndarray, " pair"]
    """The patch it is in, the first of several; -1 where only CLS is active."""
    cls: Float32[np.ndarray, " pair"]
    """Activation of the CLS token; 0 where it is silent or was not kept."""
    n_latents: int
    """Latents there are."""
    n_patches: int
    """Patches per image; 0 where only CLS was kept."""
    has_cls: bool
    """Whether the CLS token was kept."""
    tau: float
    """What an activation must exceed to be counted."""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def n_pairs(self) -> int:
        """Number of (image, latent) pairs."""
        return len(self.latents)

    @property
    def rows(self) -> Int64[np.ndarray, " pair"]:
        """Row of each pair in `positions`."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def means(self, *, with_cls: bool = False) -> Float32[np.ndarray, " pair"]:
        """Return the mean activation of each pair over the patches, or over patches and CLS.

        Raises
        ------
        ConfigError
            If the tokens that are asked for were not kept.
        """
        self.require_tokens(with_cls=with_cls)
        total = self.sums + self.cls if with_cls else self.sums
        return total / np.float32(self.n_patches + with_cls)

    def matrix(self, what: What, *, with_cls: bool = False) -> csr_array:
        """Return one number for each image and latent, as a sparse matrix (image latent) of float32 without zeros.

        Parameters
        ----------
        what
            `mean`: activation over tokens; `above`: number of tokens with an activation above `tau`; `peak`: largest
            activation of a token; `cls`: activation of the CLS token.
        with_cls
            Whether the CLS token counts as one of the tokens; else they are the patches.

        Raises
        ------
        ConfigError
            If the tokens that are asked for were not kept.
        """
        values = self._values(what, with_cls=with_cls or what == "cls").astype(np.float32)
        is_there = values > 0
        starts = np.concatenate([[0], np.cumsum(is_there)])[self.indptr]
        shape = (len(self), self.n_latents)
        return csr_array((values[is_there], self.latents[is_there], starts), shape=shape)

    def _values(self, what: What, *, with_cls: bool) -> np.ndarray:
        if what == "mean":
            return self.means(with_cls=with_cls)
        self.require_tokens(with_cls=with_cls)
        if what == "above":
            return self.counts + (self.cls > self.tau) if with_cls else self.counts
        if what == "peak":
            return np.maximum(self.peaks, self.cls) if with_cls else self.peaks
        return self.cls

    def require_tokens(self, *, with_cls: bool) -> None:
        """Refuse to speak of tokens that were not kept.

        Raises
        ------
        ConfigError
            If CLS is asked for and was not kept, or patches alone where there are none.
        """
        if with_cls and not self.has_cls:
            raise ConfigError(
                "the codes hold no CLS token",
                seen=f"codes of {self.n_patches} patches per image",
                remedy="leave CLS out, or keep 'both' when tokens are extracted",
            )
        if not with_cls and self.n_patches == 0:
            raise ConfigError(
                "the codes hold no patches",
                seen="codes of the CLS token alone",
                remedy="count the CLS token in, or keep 'both' when tokens are extracted",
            )

    def subset(self, rows: Int[np.ndarray, " chosen"]) -> "ImageCodes":
        """Return the images in some rows, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        sizes = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        chosen = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], sizes)
        arrays: dict[str, Any] = {name: getattr(self, name)[chosen] for name in _PER_PAIR}
        return ImageCodes(self.positions[rows], indptr, **arrays, **self._shared())

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> "ImageCodes":
        """Return the images of several parts, one after the other.

        Raises
        ------
        DataError
            If there is no part, or two are of different latents, patches or tau.
        """
        if not parts:
            raise DataError("no codes to join", allowed="at least one part")
        for part in parts:
            if part._shared() != parts[0]._shared():
                raise DataError(
                    "codes that cannot be joined",
                    seen=part._shared(),
                    allowed=parts[0]._shared(),
                    remedy="encode all images with the same autoencoder, tokens and tau",
                )
        sizes = np.concatenate([np.diff(part.indptr) for part in parts])
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_PAIR
        }
        positions = np.concatenate([part.positions for part in parts])
        return ImageCodes(positions, indptr, **arrays, **parts[0]._shared())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return every field by name, as arrays."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "ImageCodes":
        """Return the codes that `to_arrays` was called on.

        Raises
        ------
        DataError
            If the arrays do not belong together.
        """
        names = {field.name for field in fields(cls)}
        if set(arrays) != names:
            raise DataError("these are no codes of images", seen=sorted(arrays), allowed=sorted(names))
        values: dict[str, Any] = {
            name: array.item() if array.ndim == 0 else array for name, array in arrays.items()
        }
        codes = cls(**values)
        codes.require_sound()
        return codes

    def require_sound(self) -> None:
        """Refuse arrays that do not belong together: compiled loops trust them.

        Raises
        ------
        DataError
            If lengths, offsets or latents are impossible.
        """
        n_pairs = {len(getattr(self, name)) for name in _PER_PAIR}
        offsets_fit = len(self.indptr) == len(self) + 1 and self.indptr[0] == 0
        offsets_fit = offsets_fit and bool((np.diff(self.indptr) >= 0).all())
        if not offsets_fit or n_pairs != {int(self.indptr[-1])}:
            raise DataError(
                "arrays of codes do not belong together",
                seen=f"{len(self)} images, offsets to {self.indptr[-1:]}, arrays of {sorted(n_pairs)} pairs",
                remedy="encode the images again",
            )
        steps = np.diff(self.latents, prepend=-1)
        steps[self.indptr[:-1][np.diff(self.indptr) > 0]] = 1
        in_range = self.n_pairs == 0 or (self.latents.min() >= 0 and self.latents.max() < self.n_latents)
        if not in_range or bool((steps <= 0).any()):
            raise DataError(
                "latents of an image do not ascend, or there are not that many",
                allowed=f"strictly ascending latents of 0 to {self.n_latents - 1}",
                remedy="encode the images again",
            )

    def _shared(self) -> dict[str, Any]:
        names = ("n_latents", "n_patches", "has_cls", "tau")
        return {name: getattr(self, name) for name in names}
