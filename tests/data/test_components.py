"""Components of sparse rows agree with scikit-learn's PCA of the dense ones."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA

from trilineage.data import components as module
from trilineage.data.components import fit_components


@pytest.fixture
def matrix() -> sp.csr_array:
    """90 rows of 30 genes with three directions of their own."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(90, 3)) * [6.0, 4.0, 2.0] @ rng.normal(size=(3, 30)) + rng.normal(size=(90, 30))
    dense[dense < 0.5] = 0.0
    return sp.csr_array(dense)


@pytest.mark.parametrize("rows_at_once", [7, 4096])
def test_scores_agree_with_scikit_learn(matrix, monkeypatch, rows_at_once):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
    train, test = np.arange(60), np.arange(60, 90)
    ours = fit_components(lambda chosen: matrix[chosen], train, n_genes=30, n_components=3)
    theirs = PCA(3, svd_solver="full").fit(matrix[train].toarray())
    found = ours.project(lambda chosen: matrix[chosen], test)
    assert np.abs(found) == pytest.approx(np.abs(theirs.transform(matrix[test].toarray())), abs=2e-3)


def test_the_genes_of_highest_training_variance_are_chosen(matrix):
    found = fit_components(lambda chosen: matrix[chosen], np.arange(60), n_genes=5, n_components=2)
    expected = np.argsort(-matrix[:60].toarray().var(axis=0))[:5]
    assert found.genes.tolist() == sorted(expected.tolist())


def test_there_are_no_more_components_than_rows_allow(matrix):
    found = fit_components(lambda chosen: matrix[chosen], np.arange(4), n_genes=30, n_components=50)
    assert found.axes.shape == (30, 3)


def test_axes_have_their_largest_entry_positive(matrix):
    axes = fit_components(lambda chosen: matrix[chosen], np.arange(60), n_genes=30, n_components=3).axes
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(3)] > 0).all()
