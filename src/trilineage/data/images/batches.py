"""Batches of images for the training loop: decoded in threads, varied by epoch, weighted by patient."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from trilineage.core.errors import DataError
from trilineage.core.seeding import generator
from trilineage.data.images.augmentation import draw_variations, write_plain, write_varied
from trilineage.data.images.lending import LentMemory
from trilineage.data.images.settings import AugmentationSettings
from trilineage.data.images.table import ImageTable
from trilineage.data.images.threads import in_threads, n_workers

_EPOCH_BITS = 24
"""Bits of a position's turn that hold the epoch; those above count how often an epoch has had the image."""

_SPAN = 4
"""Images that a thread does in a row: handing out each on its own costs a few percent."""


class ImageBatch(NamedTuple):
    """Images of a minibatch."""

    pixels: Float[Tensor, "batch 3 height width"]
    """Red, green and blue in [0, 1]; a model's own normalisation is the model's affair."""
    labels: Int[Tensor, " batch"]
    """Class or node of each image; -1 where unknown."""
    weight: Float[Tensor, " batch"]
    """Weight of each image in the loss."""
    positions: Int[Tensor, " batch"]
    """Position of each image in the table."""

    def to(self, device: torch.device | str) -> "ImageBatch":
        """Return the batch on a device."""
        return ImageBatch(*(part.to(device, non_blocking=True) for part in self))


class ImageBatches:
    """Images in an order that depends on seed and epoch alone; fits `training.batches.Batches`.

    The order holds `(turn * n + position)`, where the turn is the epoch (and, in its upper bits, how often this epoch
    has had the image before), so that `take` knows what to draw for each image. A position below `n`, such as those of
    `range(n)`, is of epoch 0.

    Parameters
    ----------
    table
        The images to learn from, all of them.
    labels
        Class or node of each image, -1 where unknown; None: -1 for all.
    weights
        Weight of each image in the loss; None: every image counts 1.
    augmentation
        How images are varied; None leaves them as they are.
    seed
        Decides, with the epoch and an image's content, how it is varied.
    is_balanced
        Draw every class equally often (in an epoch of as many images); images of small classes come several times.
    workers
        Threads that decode; None: as the options of the table say.
    """

    def __init__(
        self,
        table: ImageTable,
        labels: Int[np.ndarray, " image"] | None = None,
        *,
        weights: Float[np.ndarray, " image"] | None = None,
        augmentation: AugmentationSettings | None = None,
        seed: int = 0,
        is_balanced: bool = False,
        workers: int | None = None,
    ):
        n = len(table)
        self.workers = n_workers(table.settings.workers if workers is None else workers)
        self.table, self.augmentation, self.seed, self.is_balanced = table, augmentation, seed, is_balanced
        self.labels = np.full(n, -1, np.int64) if labels is None else labels.astype(np.int64)
        self.weights = np.ones(n, np.float32) if weights is None else weights.astype(np.float32)
        self._memory = LentMemory()
        if not len(self.labels) == len(self.weights) == n:
            raise DataError(
                "labels or weights are not one per image",
                seen=f"{len(self.labels)} labels and {len(self.weights)} weights for {n} images",
            )

    def __len__(self) -> int:
        return len(self.table)

    def order(self, *, seed: int, epoch: int) -> Int64[np.ndarray, " image"]:
        """Return the images of an epoch in the order in which they are learned from."""
        random, n = generator(seed, "image batches", epoch), len(self)
        if not self.is_balanced:
            return epoch * n + random.permutation(n)
        chosen = _balanced(self.labels, random)
        turns = epoch + (_times_before(chosen) << _EPOCH_BITS)
        return turns * n + chosen

    def take(self, positions: Int[np.ndarray, " batch"]) -> ImageBatch:
        """Return the minibatch of these images."""
        turns, chosen = np.divmod(positions, max(len(self), 1))
        pixels = self._memory.lend(len(chosen), 3, *self.table.shape)
        work = _Work(self, chosen, turns, pixels)
        spans = [range(start, min(start + _SPAN, len(chosen))) for start in range(0, len(chosen), _SPAN)]
        for _ in in_threads(work, spans, workers=self.workers):
            pass
        return ImageBatch(
            torch.from_numpy(pixels),
            torch.from_numpy(self.labels[chosen]),
            torch.from_numpy(self.weights[chosen]),
            torch.from_numpy(chosen.astype(np.int64)),
        )


class _Work:
    """Decode, vary and write one image of a batch after the other, from any thread."""

    def __init__(
        self,
        batches: ImageBatches,
        chosen: Int[np.ndarray, " batch"],
        turns: Int[np.ndarray, " batch"],
        pixels: Float[np.ndarray, "batch 3 height width"],
    ):
        self.table, self.chosen, self.pixels = batches.table, chosen, pixels
        self.variations = None
        if batches.augmentation is not None:
            self.variations = draw_variations(
                batches.augmentation,
                self.table.content_numbers[chosen],
                turns.astype(np.uint64),
                seed=batches.seed,
                shape=self.table.shape,
            )

    def __call__(self, places: range) -> None:
        for place in places:
            self._write(place)

    def _write(self, place: int) -> None:
        position, out = int(self.chosen[place]), self.pixels[place]
        if self.variations is None:
            write_plain(self.table.read_sized(position), out)
        else:
            write_varied(self.table.read_unfitted(position), self.variations, place, out)


def _balanced(
    labels: Int64[np.ndarray, " image"], random: np.random.Generator
) -> Int64[np.ndarray, " image"]:
    """Draw as many images as there are, equally many of each class; none comes again before all of its class have."""
    classes = np.unique(labels)
    shares = np.full(len(classes), len(labels) // max(len(classes), 1))
    shares[random.permutation(len(classes))[: len(labels) - shares.sum()]] += 1
    drawn = []
    for label, share in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = [random.permutation(members) for _ in range(-(-int(share) // len(members)))]
        drawn.append(np.concatenate([*rounds, members[:0]])[:share])
    return random.permutation(np.concatenate(drawn)) if drawn else np.zeros(0, np.int64)


def _times_before(chosen: Int64[np.ndarray, " image"]) -> Int64[np.ndarray, " image"]:
    """Return how often each image came earlier in the list.

    Examples
    --------
    >>> _times_before(np.array([5, 2, 5, 5])).tolist()
    [0, 0, 1, 2]
    """
    by_image = np.argsort(chosen, kind="stable")
    ordered = chosen[by_image]
    times = np.empty(len(chosen), np.int64)
    times[by_image] = np.arange(len(chosen)) - np.searchsorted(ordered, ordered)
    return times
