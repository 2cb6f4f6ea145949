"""A set of samples as sparse rows: what the stores hand out and what a model is fed."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64
from scipy import sparse


class RawRows(NamedTuple):
    """Rows as the file has them: source columns, source values."""

    indptr: Int64[np.ndarray, " row_plus_1"]
    """Start of each row in `indices` and `values`, and the end of the last."""
    indices: Int32[np.ndarray, " nnz"]
    """Column of each value, ascending within a row."""
    values: Float32[np.ndarray, " nnz"]
    """Stored values, never 0 and always finite."""


class ExpressionBatch(NamedTuple):
    """Samples of a minibatch as compressed sparse rows over the genes of a table (or of a model)."""

    indptr: Int64[np.ndarray, " cell_plus_1"]
    """Start of each cell in the three arrays below, and the end of the last."""
    indices: Int32[np.ndarray, " nnz"]
    """Gene of each value, ascending within a cell."""
    values: Float32[np.ndarray, " nnz"]
    """Normalised values, what a model sees: log1p of `target_sum` per cell where the state allows it."""
    counts: Float32[np.ndarray, " nnz"] | None
    """Raw counts at the same places; None where the data hold no counts."""
    library: Float32[np.ndarray, " cell"]
    """Total counts per cell (1 where the data hold no counts)."""
    positions: Int64[np.ndarray, " cell"]
    """Row of each cell in the sample table."""
    n_genes: int
    """Number of genes, the width of the matrix."""

    def to_csr(self, *, counts: bool = False) -> sparse.csr_matrix:
        """Return the normalised values, or with `counts=True` the raw counts, as a SciPy matrix (cell gene)."""
        data = self.counts if counts and self.counts is not None else self.values
        return sparse.csr_matrix((data, self.indices, self.indptr), shape=(len(self.positions), self.n_genes))
