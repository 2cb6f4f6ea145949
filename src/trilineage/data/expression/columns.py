"""From the columns of a file to genes: renamed, summed where several columns are one gene, dropped where unknown."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int32, Int64

from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.rows_kernels import count_distinct, count_kept, map_and_sum, map_in_order


@dataclass(frozen=True)
class ColumnMap:
    """Where each column of the file goes among the genes."""

    target: Int32[np.ndarray, " column"]
    """Gene of each column, -1 where it is dropped."""
    weight: Float64[np.ndarray, " column"]
    """Factor of each column: 1 to sum the columns of a gene, 1 / their number to average them."""
    n_genes: int
    """Number of genes."""

    @classmethod
    def build(cls, target: Int32[np.ndarray, " column"], n_genes: int, *, average: bool) -> "ColumnMap":
        """Make a map that sums (linear values) or averages (z-scores, intensities) the columns of a gene."""
        weight = np.ones(len(target), np.float64)
        if average:
            n_columns = np.bincount(target[target >= 0], minlength=n_genes)
            weight[target >= 0] = 1.0 / n_columns[target[target >= 0]]
        return cls(target, weight, n_genes)

    def then(self, target: Int32[np.ndarray, " gene"], n_genes: int, *, average: bool) -> "ColumnMap":
        """Return this map followed by a second one from its genes to others."""
        kept = self.target >= 0
        composed = np.full(len(self.target), -1, np.int32)
        composed[kept] = target[self.target[kept]]
        return ColumnMap.build(composed, n_genes, average=average)

    @cached_property
    def is_identity(self) -> bool:
        """Whether every column is a gene of its own, in order."""
        same_length = len(self.target) == self.n_genes
        return same_length and bool((self.target == np.arange(self.n_genes)).all())

    @cached_property
    def is_ordered(self) -> bool:
        """Whether the kept columns ascend and no two share a gene."""
        return bool((np.diff(self.target[self.target >= 0]) > 0).all())

    @cached_property
    def is_one_to_one(self) -> bool:
        """Whether no two columns share a gene."""
        return bool(np.bincount(self.target[self.target >= 0], minlength=1).max() <= 1)

    def apply(self, rows: RawRows) -> RawRows:
        """Return the rows over genes; genes of a row ascend."""
        if self.is_identity:
            return rows
        lengths = np.empty(len(rows.indptr) - 1, np.int64)
        if self.is_one_to_one:
            count_kept(rows.indptr, rows.indices, self.target, lengths)
        else:
            count_distinct(rows.indptr, rows.indices, self.target, self.n_genes, lengths)
        indptr = np.zeros(len(rows.indptr), np.int64)
        np.cumsum(lengths, out=indptr[1:])
        indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        if self.is_ordered:
            map_in_order(rows.indptr, rows.indices, rows.values, self.target, indptr, indices, values)
        else:
            source = (rows.indptr, rows.indices, rows.values, self.target, self.weight, self.n_genes)
            map_and_sum(*source, indptr, indices, values)
        return RawRows(indptr, indices, values)


def chosen_genes(positions: Int64[np.ndarray, " kept"], n_genes: int) -> Int32[np.ndarray, " gene"]:
    """Return the target of each gene when only some are kept, in the order given."""
    target = np.full(n_genes, -1, np.int32)
    target[positions] = np.arange(len(positions), dtype=np.int32)
    return target
