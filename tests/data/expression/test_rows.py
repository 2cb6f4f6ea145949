"""A batch as a SciPy matrix."""

import numpy as np

from trilineage.data.expression.rows import ExpressionBatch


def test_values_and_counts_share_their_places():
    values, counts = np.array([0.5, 1.5], np.float32), np.array([1, 4], np.float32)
    indices, indptr = np.array([2, 0], np.int32), np.array([0, 1, 2])
    batch = ExpressionBatch(
        indptr, indices, values, counts, np.array([1, 4], np.float32), np.array([8, 9]), 3
    )
    assert batch.to_csr().toarray().tolist() == [[0, 0, 0.5], [1.5, 0, 0]]
    assert batch.to_csr(counts=True).toarray().tolist() == [[0, 0, 1], [4, 0, 0]]
