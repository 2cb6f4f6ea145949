"""Memory for batches that is used again once nobody holds the batch any more."""

import math
import weakref
from collections import deque

import numpy as np
from jaxtyping import Float32

_KEPT = 3
"""Pieces that wait to be used again: a batch that is computed on, one that is ready and one in the making."""


class LentMemory:
    """Lends arrays and takes their memory back when the last tensor or array made of them is gone.

    Fresh memory of tens of megabytes comes from the system page by page, each of them cleared: for batches of images of
    224 pixels that costs more than resizing and varying them.
    """

    def __init__(self) -> None:
        self._waiting: deque[np.ndarray] = deque(maxlen=_KEPT)

    def lend(self, *shape: int) -> Float32[np.ndarray, "*shape"]:
        """Return an array with any numbers in it."""
        n_bytes = 4 * math.prod(shape)
        memory = self._piece(n_bytes)
        # over a memoryview: views of an array keep alive what it is a view of, which must be this array, not the bytes
        lent = np.frombuffer(memory.data[:n_bytes], np.float32)
        weakref.finalize(lent, self._waiting.append, memory).atexit = False
        return lent.reshape(shape)

    def _piece(self, n_bytes: int) -> np.ndarray:
        """Return waiting memory that is large enough and not far too large, or new one."""
        for _ in range(len(self._waiting)):
            try:
                memory = self._waiting.popleft()
            except IndexError:  # another thread was faster
                break
            if n_bytes <= memory.nbytes <= 2 * n_bytes:
                return memory
            self._waiting.append(memory)
        return np.empty(n_bytes, np.uint8)
