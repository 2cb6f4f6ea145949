"""Column maps composed and applied."""

import numpy as np
import pytest

from trilineage.data.expression.columns import ColumnMap, chosen_genes
from trilineage.data.expression.rows import RawRows

ROWS = RawRows(
    np.array([0, 3, 4]),
    np.array([0, 1, 3], np.int32).repeat([1, 1, 2])[[0, 1, 2, 3]],
    np.array([1, 2, 4, 8], np.float32),
)


def applied(target: list[int], n_genes: int, *, average: bool = False) -> list[list[float]]:
    rows = ColumnMap.build(np.array(target, np.int32), n_genes, average=average).apply(ROWS)
    dense = np.zeros((2, n_genes))
    dense[np.repeat([0, 1], np.diff(rows.indptr)), rows.indices] = rows.values
    return dense.tolist()


def test_the_identity_returns_the_rows_themselves():
    columns = ColumnMap.build(np.arange(4, dtype=np.int32), 4, average=False)
    assert columns.apply(ROWS) is ROWS


@pytest.mark.parametrize(
    ("target", "n_genes", "expected"),
    [
        ([0, -1, -1, 1], 2, [[1, 4], [0, 8]]),  # ordered
        ([2, 1, 0, -1], 3, [[0, 2, 1], [0, 0, 0]]),  # turned round
        ([0, 0, 1, 0], 2, [[7, 0], [8, 0]]),  # summed
        ([-1, -1, -1, -1], 2, [[0, 0], [0, 0]]),  # nothing known
    ],
)
def test_columns_are_renamed_summed_and_dropped(target, n_genes, expected):
    assert applied(target, n_genes) == expected


def test_columns_that_share_a_gene_can_be_averaged():
    assert applied([0, 0, 1, -1], 2, average=True) == [[1.5, 0], [0, 0]]


def test_maps_compose():
    first = ColumnMap.build(np.array([0, 1, 1, 2], np.int32), 3, average=False)
    second = first.then(chosen_genes(np.array([2, 1]), 3), 2, average=False)
    assert second.target.tolist() == [-1, 1, 1, 0]
