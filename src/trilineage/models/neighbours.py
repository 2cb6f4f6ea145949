"""Nearest cells by cosine similarity: exact for small references, by lists of similar cells for large ones.

An inverted file (Jegou, Douze, Schmid 2011, "Product quantization for nearest neighbor search", section IV, without the
quantization): the reference is cut into lists by spherical k-means, a query looks through the lists whose centres are
nearest to it. Starts and samples are evenly spaced rows, every sum runs in a fixed order: there is nothing random, and
the number of threads changes nothing (pynndescent gives other neighbours with another number of threads).
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32

from trilineage.models.graph_kernels import empty_best, keep_nearest, sum_by_list

EXACT_BELOW = 20_000
"""References smaller than this are searched completely: it takes seconds."""

LIST_SIZE = 400
"""Cells per list: short enough to skip most of the reference, long enough for an efficient matrix product."""

SAMPLE_PER_LIST = 40
"""Cells per list that k-means looks at."""

N_ROUNDS = 5
"""Rounds of k-means: the lists need not be perfect, only balanced."""

ROWS_AT_ONCE = 32_768
"""Queries searched together: their candidates are gathered list by list."""

_BLOCK = 4_096
"""Edge of one block of similarities, 64 MB of float32."""


class Neighbours(NamedTuple):
    """The nearest reference cells of every query, by falling similarity."""

    indices: Int32[np.ndarray, "cell k"]
    """Row in the reference, -1 where fewer than k cells reach the threshold."""
    similarity: Float32[np.ndarray, "cell k"]
    """Cosine similarity; meaningless where the index is -1."""


class NeighbourIndex:
    """A searchable reference of cells.

    Parameters
    ----------
    reference
        One row per reference cell; only directions matter.
    groups
        Group (patient) code per reference cell; a search that is given the groups of its queries returns no cell of the
        same group. None: no groups.
    exact_below
        References with fewer cells than this are searched completely.
    n_probe
        Lists searched per query where the search is not complete. More find more of the true neighbours.
    """

    def __init__(
        self,
        reference: Float[np.ndarray, "cell latent"],
        groups: Int[np.ndarray, " cell"] | None = None,
        *,
        exact_below: int = EXACT_BELOW,
        n_probe: int = 10,
    ):
        rows = unit_rows(reference)
        n_cells = len(rows)
        self.n_probe = n_probe
        self.groups = np.full(n_cells, -1, np.int32) if groups is None else groups.astype(np.int32)
        if n_cells < exact_below:
            self.centres = None
            self.order = np.arange(n_cells, dtype=np.int32)
            self.starts = np.append(np.arange(0, n_cells, _BLOCK), n_cells)
            self.rows = rows
        else:
            self.centres = _list_centres(rows)
            lists = _nearest_centres(rows, self.centres, 1)[:, 0]
            self.order = np.argsort(lists, kind="stable").astype(np.int32)
            self.starts = np.searchsorted(lists[self.order], np.arange(len(self.centres) + 1))
            self.rows = rows[self.order]

    @property
    def is_exact(self) -> bool:
        """Whether every reference cell is compared with every query."""
        return self.centres is None

    def search(
        self,
        queries: Float[np.ndarray, "cell latent"],
        n_neighbours: int,
        *,
        threshold: float = -1.0,
        groups: Int[np.ndarray, " cell"] | None = None,
    ) -> Neighbours:
        """Return up to `n_neighbours` reference cells per query whose cosine similarity reaches `threshold`.

        Parameters
        ----------
        groups
            Group code per query; cells of the same group are left out. None: nothing is left out.
        """
        n_cells = len(queries)
        similarity, indices = empty_best(n_cells, n_neighbours, threshold)
        query_groups = np.full(n_cells, -1, np.int32) if groups is None else groups.astype(np.int32)
        for start in range(0, n_cells, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            self._search_rows(unit_rows(queries[part]), query_groups[part], similarity[part], indices[part])
        return Neighbours(indices, similarity)

    def _search_rows(
        self,
        rows: Float32[np.ndarray, "cell latent"],
        groups: Int32[np.ndarray, " cell"],
        similarity: Float32[np.ndarray, "cell k"],
        indices: Int32[np.ndarray, "cell k"],
    ) -> None:
        """Fill the best lists of one block of queries, list of the reference by list."""
        n_lists = len(self.starts) - 1
        everyone = np.arange(len(rows), dtype=np.int32)
        queries_of = [everyone] * n_lists if self.centres is None else self._queries_of_lists(rows)
        for number, (first, last) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            candidates = torch.from_numpy(self.rows[first:last]).T
            asking = queries_of[number]
            for start in range(0, len(asking), _BLOCK):
                who = asking[start : start + _BLOCK]
                block = torch.from_numpy(rows[who]) @ candidates
                keep_nearest(
                    block.numpy(), who, self.order[first:last], groups, self.groups, similarity, indices
                )

    def _queries_of_lists(
        self, rows: Float32[np.ndarray, "cell latent"]
    ) -> list[Int32[np.ndarray, " asking"]]:
        """Say for each list which queries look through it."""
        assert self.centres is not None
        n_probe = min(self.n_probe, len(self.centres))
        lists = _nearest_centres(rows, self.centres, n_probe).ravel()
        order = np.argsort(lists, kind="stable")
        ends = np.searchsorted(lists[order], np.arange(1, len(self.centres)))
        return np.split((order // n_probe).astype(np.int32), ends)


def unit_rows(rows: Float[np.ndarray, "cell latent"]) -> Float32[np.ndarray, "cell latent"]:
    """Scale every row to length one; a row of zeros stays, and is similar to nothing."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return np.multiply(rows, scale[:, None], dtype=np.float32, casting="unsafe")


def neighbour_recall(
    index: NeighbourIndex,
    queries: Float[np.ndarray, "cell latent"],
    n_neighbours: int,
    *,
    threshold: float = -1.0,
) -> float:
    """Return the share of the true nearest neighbours (complete search) that the index finds."""
    every = NeighbourIndex(index.rows, exact_below=len(index.rows) + 1)
    true = every.search(queries, n_neighbours, threshold=threshold).indices
    true = np.where(true < 0, -1, index.order[true])
    found = index.search(queries, n_neighbours, threshold=threshold).indices
    n_true = int((true >= 0).sum())
    hits = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(true, found, strict=True))
    return hits / n_true if n_true else 1.0


def _list_centres(rows: Float32[np.ndarray, "cell latent"]) -> Float32[np.ndarray, "list latent"]:
    """Cut unit rows into lists by spherical k-means on an evenly spaced sample."""
    n_lists = max(1, len(rows) // LIST_SIZE)
    sample = rows[_evenly(len(rows), SAMPLE_PER_LIST * n_lists)]
    centres = sample[_evenly(len(sample), n_lists)]
    for _ in range(N_ROUNDS):
        lists = _nearest_centres(sample, centres, 1)[:, 0]
        sums = np.zeros(centres.shape, dtype=np.float64)
        sum_by_list(sample, lists, sums)
        is_empty = np.bincount(lists, minlength=n_lists) == 0
        sums[is_empty] = centres[is_empty]
        centres = unit_rows(sums)
    return centres


def _nearest_centres(
    rows: Float32[np.ndarray, "cell latent"], centres: Float32[np.ndarray, "list latent"], n_nearest: int
) -> Int32[np.ndarray, "cell nearest"]:
    """Return the lists whose centres are most similar to each row, nearest first."""
    similarity, indices = empty_best(len(rows), n_nearest, -2.0)
    columns = np.arange(len(centres), dtype=np.int32)
    none = np.full(max(len(rows), len(centres)), -1, dtype=np.int32)
    turned = torch.from_numpy(centres).T
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = (torch.from_numpy(rows[part]) @ turned).numpy()
        who = np.arange(len(block), dtype=np.int32)
        keep_nearest(block, who, columns, none, none, similarity[part], indices[part])
    return indices


def _evenly(n_rows: int, n_wanted: int) -> Int[np.ndarray, " wanted"]:
    """Return `n_wanted` evenly spaced row numbers (all rows if there are no more)."""
    return np.arange(n_rows) if n_wanted >= n_rows else np.arange(n_wanted) * n_rows // n_wanted
