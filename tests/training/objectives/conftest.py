"""A minibatch of sparse counts, small enough to be written densely in double precision."""

import numpy as np
import pytest
from scipy import sparse

from trilineage.data.expression.rows import ExpressionBatch
from trilineage.models.sparse import SparseBatch


@pytest.fixture(scope="session")
def batch() -> SparseBatch:
    """130 cells (more than two row blocks) and 1,100 genes (more than one piece), one cell empty, some counts large."""
    rng = np.random.default_rng(0)
    matrix = sparse.random_array((130, 1100), density=0.1, format="lil", dtype=np.float32, rng=rng)
    matrix[7] = 0
    matrix = matrix.tocsr()
    matrix.sort_indices()
    counts = rng.negative_binomial(0.5, 0.05, matrix.nnz).astype(np.float32) + 1
    counts[::500] += 2000
    counts[::300] += 0.5
    full = sparse.csr_array((counts, matrix.indices, matrix.indptr), shape=matrix.shape)
    return SparseBatch.from_rows(
        ExpressionBatch(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32),
            matrix.data * 3,
            counts,
            full.sum(axis=1).astype(np.float32),
            np.arange(130),
            1100,
        )
    )
