"""What a loop asks of data, and how an epoch is divided into batches and a batch among processes."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int

Item = TypeVar("Item")
Batch = TypeVar("Batch")


@runtime_checkable
class Batches(Protocol):
    """Training samples as a loop sees them; `order` and `take` are pure functions, which makes resuming exact."""

    def __len__(self) -> int:
        """Return the number of samples of an epoch."""
        ...

    def order(self, *, seed: int, epoch: int) -> Int[np.ndarray, " sample"]:
        """Return the positions of an epoch in the order in which they are learned from; as many in every epoch."""
        ...

    def take(self, positions: Int[np.ndarray, " batch"]) -> Any:
        """Return a batch; with several processes one of them may get no position, and an empty batch."""
        ...


@runtime_checkable
class Movable(Protocol):
    """A batch that the loop sends to the device; of others the step function takes care."""

    def to(self, device: torch.device) -> Any:
        """Return the batch on a device."""
        ...


@runtime_checkable
class Describing(Protocol):
    """Training samples that have names, for messages."""

    def describe(self, positions: Int[np.ndarray, " batch"]) -> list[str]:
        """Return the names of the samples at positions of an order."""
        ...


def batch_bounds(n_samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Divide an epoch into batches; a last batch of one sample, useless for batch statistics, joins the one before it.

    Examples
    --------
    >>> batch_bounds(9, 4)
    [(0, 4), (4, 9)]
    >>> batch_bounds(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    starts = list(range(0, n_samples, batch_size))
    if len(starts) > 1 and batch_size > 1 and n_samples - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n_samples], strict=True))


def read_ahead(
    load: Callable[[Item], Batch], items: Iterable[Item], *, in_thread: bool
) -> Generator[Batch, None, None]:
    """Load items in their order; in a thread, the next is loaded while the caller works on this one.

    An exception of `load` is raised where the caller asks for that item.
    """
    if not in_thread:
        yield from map(load, items)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read_ahead") as pool:
        pending: Future[Batch] | None = None
        for item in items:
            coming = pool.submit(load, item)
            if pending is not None:
                yield pending.result()
            pending = coming
        if pending is not None:
            yield pending.result()
