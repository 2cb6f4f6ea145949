"""Principal components of sparse rows, centred without making them dense."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy import linalg

Rows = Callable[[Int[np.ndarray, " chosen"]], sp.csr_array | sp.csr_matrix]
"""Gives the rows at some positions as sparse values (cell x gene)."""

ROWS_AT_ONCE = 4096
"""Rows held dense (over the chosen genes only) at the same time."""


class Components(NamedTuple):
    """Directions of largest variance among the chosen genes."""

    genes: Int[np.ndarray, " gene"]
    """Columns used, ascending."""
    mean: Float[np.ndarray, " gene"]
    """Mean of each in the rows fitted on."""
    axes: Float[np.ndarray, "gene component"]
    """Orthonormal directions, largest variance first."""

    def project(
        self, rows: Rows, positions: Int[np.ndarray, " chosen"]
    ) -> Float[np.ndarray, "chosen component"]:
        """Return the component scores of the rows at `positions`, block by block."""
        scores = np.zeros((len(positions), self.axes.shape[1]))
        axes = self.axes.astype(np.float32)
        offset = self.mean @ self.axes
        for block in _blocks(len(positions)):
            chosen = rows(positions[block])[:, self.genes].astype(np.float32)
            scores[block] = chosen @ axes - offset
        return scores


def fit_components(
    rows: Rows, positions: Int[np.ndarray, " chosen"], *, n_genes: int, n_components: int
) -> Components:
    """Choose the genes of highest variance and find their principal components, from these rows only.

    The eigenvectors of the centred covariance (sum of x x' less n times the outer product of the mean), which over a
    few thousand genes is exact, repeatable and faster than iterating over the rows.

    Parameters
    ----------
    rows
        Source of normalised values.
    positions
        Rows to fit on.
    n_genes
        Genes kept at most.
    n_components
        Components kept at most; fewer where rows or genes do not allow as many.
    """
    mean, variance = _moments(rows, positions)
    genes = np.sort(np.argsort(-variance, kind="stable")[:n_genes])
    mean = mean[genes]
    gram = np.zeros((len(genes), len(genes)))
    for block in _blocks(len(positions)):
        dense = rows(positions[block])[:, genes].astype(np.float32).toarray()
        gram += dense.T @ dense
    covariance = gram / len(positions) - np.outer(mean, mean)
    n_kept = max(1, min(n_components, len(genes), len(positions) - 1))
    last = len(genes) - 1
    _, vectors = linalg.eigh(covariance, subset_by_index=(last - n_kept + 1, last))  # ascending
    return Components(genes, mean, _fix_signs(vectors[:, ::-1]))


def _moments(
    rows: Rows, positions: Int[np.ndarray, " chosen"]
) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
    """Return mean and variance of every gene."""
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    for block in _blocks(len(positions)):
        chosen = rows(positions[block]).astype(np.float64)
        total = total + np.asarray(chosen.sum(axis=0)).ravel()
        squares = squares + np.asarray(chosen.multiply(chosen).sum(axis=0)).ravel()
    mean = np.asarray(total) / len(positions)
    return mean, np.asarray(squares) / len(positions) - mean**2


def _fix_signs(axes: Float[np.ndarray, "gene component"]) -> Float[np.ndarray, "gene component"]:
    """Make the largest entry of each axis positive, so that every machine gives the same axes."""
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.sign(axes[largest, np.arange(axes.shape[1])])


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, ROWS_AT_ONCE):
        yield slice(start, min(start + ROWS_AT_ONCE, n_rows))
