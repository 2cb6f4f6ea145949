"""Batches of images decoded and computed side by side, in order, in memory that does not grow."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

Load = Callable[[np.ndarray], Tensor]
"""From positions of images to their pixels (b 3 h w), RGB in [0, 1]; called from several threads."""

_CACHED_PIXELS = 65_536
_MAX_BATCH = 64

Result = TypeVar("Result")


def stream_batches(
    compute: Callable[[Tensor], Result],
    load: Load,
    batches: Iterator[Int[np.ndarray, " image"]],
    *,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Generator[tuple[Int[np.ndarray, " image"], Result], None, None]:
    """Compute batches of images and give the results in their order.

    On a CPU every worker thread takes a batch of its own from decoding to the result with one core: cores never wait
    for each other inside a layer, and one decodes while another computes. On a GPU the workers decode ahead.

    Memory: the pixels and activations of one batch per worker and the results of two; on a GPU the pixels of two. The
    caller may stop early; nothing is left running.

    Parameters
    ----------
    compute
        From pixels on the CPU (b 3 h w) to the result; called from several threads on a CPU.
    load
        Decodes images.
    batches
        Positions of the images of each batch.
    workers
        Threads; 0: one per core that this process may use.
    device
        Where `compute` computes.
    """
    is_cpu = torch.device(device).type == "cpu"
    n_workers = workers or len(os.sched_getaffinity(0))

    def work(positions: np.ndarray) -> Result | Tensor:
        return compute(load(positions)) if is_cpu else load(positions)

    with _one_core_each(is_cpu):
        for positions, found in _in_order(work, batches, n_workers):
            yield positions, (found if is_cpu else compute(found))  # type: ignore[arg-type, misc]


def in_batches(first: int, stop: int, step: int) -> Iterator[Int[np.ndarray, " image"]]:
    """Give the positions from `first` to `stop`, `step` at a time."""
    return (np.arange(start, min(start + step, stop)) for start in range(first, stop, step))


def images_per_batch(image_size: tuple[int, int], device: torch.device | str = "cpu") -> int:
    """Return how many images are best computed together.

    64 on a GPU; on a CPU as many as make 65,536 pixels, at most 64 (7 of 96 pixels, 1 of 384), because the activations
    of more leave the cache and are slower.
    """
    is_cpu = torch.device(device).type == "cpu"
    fitting = _CACHED_PIXELS // (image_size[0] * image_size[1]) if is_cpu else _MAX_BATCH
    return min(max(fitting, 1), _MAX_BATCH)


def _in_order(
    work: Callable[[np.ndarray], Result], tasks: Iterator[np.ndarray], n_workers: int
) -> Generator[tuple[np.ndarray, Result], None, None]:
    """Work on tasks in threads and give the results in the order of the tasks; two per worker are under way."""
    with ThreadPoolExecutor(n_workers, "images", initializer=_use_one_core) as pool:
        try:
            waiting: deque[tuple[np.ndarray, Future[Result]]] = deque()
            for task in islice(tasks, 2 * n_workers):
                waiting.append((task, pool.submit(work, task)))
            while waiting:
                done, future = waiting.popleft()
                result = future.result()
                for task in islice(tasks, 1):
                    waiting.append((task, pool.submit(work, task)))
                yield done, result
        finally:
            pool.shutdown(cancel_futures=True)


def _use_one_core() -> None:
    torch.set_num_threads(1)


@contextlib.contextmanager
def _one_core_each(is_cpu: bool) -> Iterator[None]:
    """Let layers use one core while the block runs, as there are as many threads as cores."""
    n_before = torch.get_num_threads()
    if is_cpu:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_before)
