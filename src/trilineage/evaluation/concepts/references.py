"""Reference images of latents: those that activate one most, with caps so that no patient and no class fills the list.

Images are taken in the order of their score, equal scores in the order of their positions; one is passed over whose
patient or class has its share already. To know that list for all images without keeping them all, an image may be
forgotten for good as soon as better ones exist that keep it off the list, whatever else may come:

* as many of its own patient and class as a patient may have; or
* `max_references` of its class (as far as patients may have them): each is taken, or its patient or class is full; or
* images of which twice `max_references` can be taken together: a greedy choice under two caps takes at least half of
  what the best choice would (both caps are matroids; Korte and Hausmann 1978).

What is left, a few dozen images per latent, is a `Shortlist`: it grows batch by batch and merges, and the list that it
gives does not depend on the order of the images.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from trilineage.core.errors import ConfigError
from trilineage.evaluation.concepts import statistics_kernels

_ROOM = 1 << 20
"""Candidates that are gathered before they are sorted out."""


@dataclass(frozen=True)
class References:
    """The images that activate each latent most, strongest first."""

    images: Int64[np.ndarray, "latent rank"]
    """Position of the image in its table; -1 where there are fewer."""
    scores: Float32[np.ndarray, "latent rank"]
    """Its mean activation over tokens; 0 where there is none."""
    patches: Int32[np.ndarray, "latent rank"]
    """The patch with the largest activation, numbered without prefix tokens; -1 where CLS alone is active or there is
    no image."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return every field by name."""
        return {"images": self.images, "scores": self.scores, "patches": self.patches}

    def first(self, n_ranks: int) -> "References":
        """Return the strongest images of each latent only."""
        return References(*(column[:, :n_ranks] for column in (self.images, self.scores, self.patches)))


class Caps(NamedTuple):
    """How many references a latent has, and how many of them may be of one patient or class."""

    max_references: int
    """Longest list."""
    per_patient: int
    """Most images of one patient."""
    per_class: int
    """Most images of one class; images without a class are not limited."""

    @classmethod
    def of(cls, max_references: int, per_patient: int, per_class: int) -> "Caps":
        """Return caps with 0 read as no limit.

        Raises
        ------
        ConfigError
            If a list could hold nothing.
        """
        if max_references < 1 or per_patient < 0 or per_class < 0:
            raise ConfigError(
                "references need room",
                seen=f"max_references = {max_references}, per_patient = {per_patient}, per_class = {per_class}",
                allowed="1 or more references; caps of 1 or more, or 0 for no cap",
            )
        return cls(
            max_references, *(min(cap or max_references, max_references) for cap in (per_patient, per_class))
        )


class Candidates(NamedTuple):
    """(latent, image) pairs that may become references."""

    latents: Int32[np.ndarray, " candidate"]
    """Latent of each pair."""
    scores: Float32[np.ndarray, " candidate"]
    """Mean activation over tokens."""
    images: Int64[np.ndarray, " candidate"]
    """Position of the image."""
    patients: Int32[np.ndarray, " candidate"]
    """Number of its patient."""
    classes: Int32[np.ndarray, " candidate"]
    """Class of the image; the number of classes where it is unknown."""
    patches: Int32[np.ndarray, " candidate"]
    """Patch with the largest activation."""

    @classmethod
    def none(cls) -> "Candidates":
        """Return no candidate."""
        kinds = (np.int32, np.float32, np.int64, np.int32, np.int32, np.int32)
        return cls(*(np.zeros(0, kind) for kind in kinds))

    def take(self, chosen: np.ndarray) -> "Candidates":
        """Return some of them."""
        return Candidates(*(part[chosen] for part in self))

    def ranking(
        self, n_latents: int
    ) -> tuple[Int64[np.ndarray, " candidate"], Int64[np.ndarray, " latent_plus_1"]]:
        """Return the order by latent, falling score and position, and where in it each latent starts."""
        rising = np.uint64(2**32 - 1) - self.scores.view(
            np.uint32
        )  # the bits of floats from 0 on are in their order
        keys = (self.latents.astype(np.uint64) << np.uint64(32)) | rising
        order = np.argsort(keys)
        statistics_kernels.settle_ties(keys, self.images, order)
        counts = np.bincount(self.latents, minlength=n_latents)
        return order, np.concatenate([[0], np.cumsum(counts)])


class Shortlist:
    """Candidates that may still become references, in memory that does not grow with the number of images.

    Parameters
    ----------
    n_latents, n_classes
        Latents and classes there are.
    caps
        Length of the lists, and what one patient or class may have.
    """

    def __init__(self, n_latents: int, n_classes: int, caps: Caps):
        self.n_latents, self.n_classes, self.caps = n_latents, n_classes, caps
        self.thresholds = np.zeros((n_latents, n_classes + 1), np.float32)
        """What a score must reach for an image of a class (the last column: of unknown class) to be a candidate."""
        self._kept = Candidates.none()
        self._new: list[Candidates] = []
        self._n_new = 0

    def add(self, candidates: Candidates) -> None:
        """Note candidates; those below `thresholds` may be left out before."""
        self._new.append(candidates)
        self._n_new += len(candidates.latents)
        if self._n_new > max(_ROOM, len(self._kept.latents)):
            self.candidates()

    def candidates(self) -> Candidates:
        """Sort out and return those that remain, by latent, the strongest first."""
        if self._new:
            joined = [np.concatenate(parts) for parts in zip(self._kept, *self._new, strict=True)]
            every = Candidates(*joined)
            order, starts = every.ranking(self.n_latents)
            stays = np.zeros(len(order), bool)
            columns = (every.scores, every.patients, every.classes)
            statistics_kernels.shorten(order, starts, *columns, *self.caps, self.thresholds, stays)
            self._kept, self._new, self._n_new = every.take(order[stays]), [], 0
        return self._kept

    def references(
        self, *, has_class_cap: bool = True
    ) -> tuple[References, Int32[np.ndarray, "latent rank"]]:
        """Return the lists, and the class of each reference (-1 where it is unknown or there is none).

        Parameters
        ----------
        has_class_cap
            Whether the cap per class holds; that per patient always does.
        """
        candidates = self.candidates()
        starts = np.searchsorted(candidates.latents, np.arange(self.n_latents + 1))
        caps = self.caps if has_class_cap else self.caps._replace(per_class=self.caps.max_references)
        chosen = np.full((self.n_latents, caps.max_references), -1, np.int64)
        columns = (candidates.patients, candidates.classes)
        statistics_kernels.choose(starts, *columns, *caps, self.n_classes, chosen)
        is_there = chosen >= 0
        images, patches, classes = (
            np.full(chosen.shape, -1, kind) for kind in (np.int64, np.int32, np.int32)
        )
        scores = np.zeros(chosen.shape, np.float32)
        found = candidates.take(chosen[is_there])
        images[is_there], scores[is_there], patches[is_there] = found.images, found.scores, found.patches
        classes[is_there] = np.where(found.classes < self.n_classes, found.classes, -1)
        return References(images, scores, patches), classes
