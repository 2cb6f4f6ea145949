"""Neighbour search against scikit-learn and its own promises."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from trilineage.models.neighbours import NeighbourIndex, neighbour_recall, unit_rows


def clustered(n_cells, n_types=12, width=24, seed=0):
    draw = np.random.default_rng(seed)
    types = draw.normal(size=(n_types, width))
    cells = types[draw.integers(0, n_types, n_cells)] + 0.5 * draw.normal(size=(n_cells, width))
    return cells.astype(np.float32)


def test_complete_search_equals_scikit_learn():
    cells, queries = clustered(300), clustered(40, seed=1)
    found = NeighbourIndex(cells).search(queries, 7)
    distance, rows = NearestNeighbors(n_neighbors=7, metric="cosine").fit(cells).kneighbors(queries)
    np.testing.assert_array_equal(found.indices, rows)
    np.testing.assert_allclose(found.similarity, 1 - distance, atol=1e-6)


def test_complete_search_over_several_blocks_equals_scikit_learn():
    cells, queries = clustered(9_000, width=8), clustered(20, width=8, seed=1)
    found = NeighbourIndex(cells).search(queries, 5)
    rows = NearestNeighbors(n_neighbors=5, metric="cosine").fit(cells).kneighbors(queries)[1]
    np.testing.assert_array_equal(found.indices, rows)


def test_neighbours_below_the_threshold_are_left_out():
    cells = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=np.float32)
    found = NeighbourIndex(cells).search(cells[:1], 3, threshold=0.5)
    assert found.indices.tolist() == [[0, 1, -1]]


def test_a_similarity_equal_to_the_threshold_is_kept():
    cells = np.eye(2, dtype=np.float32)
    found = NeighbourIndex(cells).search(cells[:1], 2, threshold=1.0)
    assert found.indices.tolist() == [[0, -1]]


def test_neighbours_of_the_same_group_are_left_out():
    cells, groups = clustered(200), np.arange(200) % 5
    found = NeighbourIndex(cells, groups).search(cells, 6, groups=groups)
    assert not (groups[found.indices] == groups[:, None]).any()


def test_equal_similarities_come_by_rising_row():
    cells = np.ones((50, 3), dtype=np.float32)
    found = NeighbourIndex(cells).search(cells[:2], 4)
    assert found.indices.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("n_probe", [3, 1_000])
def test_searching_lists_finds_nearly_all_neighbours_and_all_lists_find_all(n_probe):
    cells = clustered(6_000)
    index = NeighbourIndex(cells, exact_below=100, n_probe=n_probe)
    recall = neighbour_recall(index, cells[:200], 10)
    assert not index.is_exact
    assert recall == 1.0 if n_probe == 1_000 else recall > 0.9


def test_the_search_gives_the_same_bytes_twice():
    cells = clustered(3_000)
    first, second = (NeighbourIndex(cells, exact_below=100).search(cells, 8) for _ in range(2))
    assert first.indices.tobytes() == second.indices.tobytes()
    assert first.similarity.tobytes() == second.similarity.tobytes()


def test_a_cell_of_zeros_is_similar_to_nothing():
    cells = np.zeros((4, 3), dtype=np.float32)
    assert (unit_rows(cells) == 0).all()
    assert (NeighbourIndex(cells).search(cells, 2, threshold=0.4).indices == -1).all()
