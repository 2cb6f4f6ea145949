"""Work shared among threads: Pillow and our compiled loops let go of the interpreter while they compute."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def n_workers(asked: int) -> int:
    """Return how many threads to use: as many as asked for, or one per core that this process may use."""
    return asked or len(os.sched_getaffinity(0))


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Apply a function to every item and give the results in their order."""
    if workers == 1:
        return map(work, items)
    return _pool(workers, os.getpid()).map(work, items)


@functools.cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; a forked child has none of its parent's and makes its own."""
    return ThreadPoolExecutor(max_workers=workers, thread_name_prefix="images")
