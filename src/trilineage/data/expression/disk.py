"""A matrix larger than memory, read from its file in shuffled blocks, each block once per epoch."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from trilineage.data.expression.matrices import Matrix
from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.rows_kernels import copy_rows

Check = Callable[[RawRows], None]


class DiskRows:
    """Rows of a matrix on disk behind a small cache of blocks.

    `order` cuts the wanted rows into blocks of `block_size` consecutive rows of the file, shuffles the blocks, and
    shuffles the rows of `shuffle_blocks` blocks together (the shuffle buffer). `take`n in that order, every block is
    read once: a buffer is kept until a batch has left it, and the next one is read ahead by one thread, which changes
    nothing but the time. At most three buffers are held.

    Parameters
    ----------
    matrix
        Where the rows come from.
    block_size
        Consecutive rows per block.
    shuffle_blocks
        Blocks per shuffle buffer.
    check
        Called with every block before it is used; raises if the values contradict the state of the matrix.
    close
        Closes the file.
    """

    def __init__(
        self,
        matrix: Matrix,
        *,
        block_size: int,
        shuffle_blocks: int,
        check: Check = lambda rows: None,
        close: Callable[[], None] = lambda: None,
    ):
        self.n_rows, self.n_columns = matrix.n_rows, matrix.n_columns
        self._matrix, self._check, self._close = matrix, check, close
        self._block_size, self._shuffle_blocks = block_size, shuffle_blocks
        self._cache: OrderedDict[int, RawRows | Future[RawRows]] = OrderedDict()
        self._reader: ThreadPoolExecutor | None = None
        self._buffer_of: dict[int, int] = {}
        self._following: dict[int, list[int]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks held at the moment."""
        held = [rows for rows in self._cache.values() if isinstance(rows, RawRows)]
        return sum(array.nbytes for rows in held for array in rows)

    def order(
        self, positions: Int64[np.ndarray, " cell"], rng: np.random.Generator
    ) -> Int64[np.ndarray, " cell"]:
        """Return the positions block-wise shuffled; a pure function of positions, generator and block options."""
        if not len(positions):
            return positions
        positions = np.sort(positions)
        _, starts = np.unique(positions // self._block_size, return_index=True)
        pieces = np.split(positions, starts[1:])
        turn = rng.permutation(len(pieces))
        buffers = [turn[i : i + self._shuffle_blocks] for i in range(0, len(turn), self._shuffle_blocks)]
        mixed = [rng.permutation(np.concatenate([pieces[k] for k in buffer])) for buffer in buffers]
        self._expect([[int(pieces[k][0]) // self._block_size for k in buffer] for buffer in buffers])
        return np.concatenate(mixed)

    def gather(self, positions: Int64[np.ndarray, " cell"]) -> RawRows:
        """Return rows in the order asked for; blocks not in the cache are read."""
        found, inverse = np.unique(positions // self._block_size, return_inverse=True)
        blocks = found.tolist()
        cells_of = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
        parts = []
        lengths = np.zeros(len(positions) + 1, np.int64)
        self._read_ahead(blocks)
        for block, cells in zip(blocks, cells_of, strict=bool(blocks)):
            rows = self._block(block)
            local = positions[cells] - block * self._block_size
            lengths[cells + 1] = rows.indptr[local + 1] - rows.indptr[local]
            parts.append((rows, rows.indptr[local], cells))
        indptr = np.cumsum(lengths)
        indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        for rows, starts, cells in parts:
            copy_rows(starts, rows.indices, rows.values, cells, indptr, indices, values)
        self._forget(blocks)
        return RawRows(indptr, indices, values)

    def close(self) -> None:
        """Close the file; the store cannot be read afterwards."""
        if self._reader is not None:
            self._reader.shutdown(cancel_futures=True)
        self._cache.clear()
        self._close()

    def _block(self, block: int) -> RawRows:
        held = self._cache.get(block)
        if held is None:
            held = self._read(block)
        rows = held.result() if isinstance(held, Future) else held
        self._cache[block] = rows
        self._cache.move_to_end(block)
        return rows

    def _read(self, block: int) -> RawRows:
        start = block * self._block_size
        rows = self._matrix.read_rows(start, min(start + self._block_size, self.n_rows))
        self._check(rows)
        return rows

    def _expect(self, buffers: list[list[int]]) -> None:
        """Remember the buffer of each block, and for each buffer the blocks of the one after it."""
        self._buffer_of = {block: k for k, buffer in enumerate(buffers) for block in buffer}
        self._following = {}
        for buffer, following in pairwise(buffers):
            shares = np.array_split(np.sort(following), len(buffer))
            self._following |= {block: share.tolist() for block, share in zip(buffer, shares, strict=True)}

    def _read_ahead(self, blocks: list[int]) -> None:
        """Hand the reader the blocks of the next buffer, the first time a block of this one is used."""
        if self._reader is None and self._following:
            self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="expression-reader")
        for block in blocks:
            for following in self._following.pop(block, ()):
                if following not in self._cache and self._reader is not None:
                    self._cache[following] = self._reader.submit(self._read, following)

    def _forget(self, blocks: list[int]) -> None:
        """Drop the blocks of finished buffers; without a known order, those not used for longest."""
        first = min((self._buffer_of.get(block, 0) for block in blocks), default=0)
        in_use = set(blocks)
        finished = [block for block in self._cache if self._buffer_of.get(block, first) < first]
        n_too_many = len(self._cache) - len(finished) - len(in_use) - 2 * self._shuffle_blocks
        unused = [block for block in self._cache if block not in in_use and block not in finished]
        for block in [*finished, *unused[: max(0, n_too_many)]]:
            dropped = self._cache.pop(block)
            if isinstance(dropped, Future):
                dropped.cancel()
