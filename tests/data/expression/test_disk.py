"""Rows on disk: the same as in memory, in shuffled blocks, each block read once."""

import numpy as np
import pytest

from trilineage.core.errors import MatrixError
from trilineage.data.expression.compact import compact_rows, require_counts
from trilineage.data.expression.disk import DiskRows
from trilineage.data.expression.matrices import DenseMatrix

N_ROWS, BLOCK, BUFFER = 203, 10, 4


class Recorded(DenseMatrix):
    """A matrix that remembers which rows were read."""

    def __init__(self, data: np.ndarray):
        super().__init__(data)
        self.reads: list[int] = []

    def read_rows(self, start: int, stop: int):
        self.reads.append(start)
        return super().read_rows(start, stop)


@pytest.fixture
def matrix() -> Recorded:
    return Recorded(np.random.default_rng(0).poisson(0.5, size=(N_ROWS, 15)).astype(np.float32))


@pytest.fixture
def disk(matrix):
    store = DiskRows(matrix, block_size=BLOCK, shuffle_blocks=BUFFER)
    yield store
    store.close()


def order(disk: DiskRows, positions: np.ndarray, seed: int = 0) -> np.ndarray:
    return disk.order(positions, np.random.default_rng(seed))


def test_rows_equal_those_in_memory_in_any_order(disk, matrix):
    positions = np.random.default_rng(1).integers(0, N_ROWS, 150)
    for ours, theirs in zip(
        disk.gather(positions), compact_rows(matrix, whole=True).gather(positions), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_an_epoch_is_a_permutation_of_what_was_asked_for(disk):
    positions = np.flatnonzero(np.arange(N_ROWS) % 3 != 0)
    shuffled = order(disk, positions)
    assert sorted(shuffled.tolist()) == positions.tolist()
    assert shuffled.tolist() != positions.tolist()


def test_the_order_depends_on_the_seed_alone(disk):
    positions = np.arange(N_ROWS)
    assert order(disk, positions, 5).tolist() == order(disk, positions[::-1].copy(), 5).tolist()
    assert order(disk, positions, 5).tolist() != order(disk, positions, 6).tolist()


def test_a_buffer_mixes_the_rows_of_its_blocks_and_of_no_other(disk):
    first = order(disk, np.arange(200))[: BLOCK * BUFFER]
    assert len(np.unique(first // BLOCK)) == BUFFER
    assert len(np.unique(first[:BLOCK] // BLOCK)) > 1


@pytest.mark.parametrize("batch_size", [7, 40, 64])
def test_every_block_is_read_once_per_epoch(disk, matrix, batch_size):
    shuffled = order(disk, np.arange(N_ROWS))
    for start in range(0, N_ROWS, batch_size):
        disk.gather(shuffled[start : start + batch_size])
    assert sorted(matrix.reads) == list(range(0, N_ROWS, BLOCK))


def test_reading_from_the_middle_of_an_epoch_gives_the_same_rows(matrix):
    def rows_after(start: int):
        store = DiskRows(matrix, block_size=BLOCK, shuffle_blocks=BUFFER)
        shuffled = order(store, np.arange(N_ROWS))
        for place in range(start, 160, 20):
            store.gather(shuffled[place : place + 20])
        rows = store.gather(shuffled[160:180])
        store.close()
        return rows

    for ours, theirs in zip(rows_after(0), rows_after(160), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_at_most_three_buffers_are_held(disk):
    shuffled = order(disk, np.arange(N_ROWS))
    for start in range(0, N_ROWS, 20):
        disk.gather(shuffled[start : start + 20])
    assert len(disk._cache) <= 3 * BUFFER


def test_a_block_that_contradicts_the_state_is_refused_when_it_is_read():
    values = np.ones((40, 3), np.float32)
    values[35, 1] = 0.5
    store = DiskRows(
        DenseMatrix(values), block_size=10, shuffle_blocks=2, check=lambda rows: require_counts(rows.values)
    )
    assert len(store.gather(np.arange(10)).values) == 30
    with pytest.raises(MatrixError, match="fractional"):
        store.gather(np.array([1, 36]))


def test_nothing_at_all_is_no_rows(disk):
    assert disk.gather(np.empty(0, np.int64)).indptr.tolist() == [0]
    assert len(order(disk, np.empty(0, np.int64))) == 0
