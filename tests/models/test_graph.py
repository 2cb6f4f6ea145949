"""The cell graph against dense formulas."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from trilineage.core.errors import ArtifactError
from trilineage.models.graph import (
    GraphSettings,
    ReferenceCells,
    build_cell_graph,
    choose_reference,
    multiply_by_torch,
    propagate,
    sign_features,
)

SETTINGS = GraphSettings(n_neighbours=4, similarity_threshold=0.3)


def cells(n_cells=60, width=6, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n_cells, width)).astype(np.float32))


def dense_links(latent, k=4, threshold=0.3, groups=None):
    """Link by sorting every row of the complete similarity matrix."""
    unit = latent / np.linalg.norm(latent, axis=1, keepdims=True)
    similarity = unit @ unit.T
    groups = np.arange(len(latent)) if groups is None else groups
    similarity[groups[:, None] == groups[None]] = -2
    links = np.zeros(similarity.shape)
    for row, order in enumerate(np.argsort(-similarity, axis=1)[:, :k]):
        links[row, order[similarity[row, order] >= threshold]] = 1
    return np.maximum(links, links.T)


def dense_normalised(links):
    """Write D^-1/2 (A + I) D^-1/2 out."""
    with_loops = links + np.eye(len(links))
    scale = np.diag(with_loops.sum(axis=1) ** -0.5)
    return scale @ with_loops @ scale


def test_propagation_equals_the_dense_formula():
    latent = cells()
    graph = build_cell_graph(latent.numpy(), SETTINGS)
    expected = dense_normalised(dense_links(latent.numpy())) @ latent.numpy()
    np.testing.assert_allclose(propagate(graph, latent), expected, atol=1e-5)


def test_sign_features_equal_the_dense_powers():
    latent = cells()
    matrix = dense_normalised(dense_links(latent.numpy()))
    expected = np.hstack([latent, matrix @ latent.numpy(), matrix @ matrix @ latent.numpy()])
    features = sign_features(build_cell_graph(latent.numpy(), SETTINGS), latent)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_the_gradient_of_propagation_equals_the_dense_one():
    latent = cells(20, 3).double().requires_grad_()
    graph = build_cell_graph(latent.detach().numpy(), SETTINGS)
    assert torch.autograd.gradcheck(lambda features: propagate(graph, features), latent)


def test_the_torch_product_equals_the_compiled_one():
    latent = cells()
    graph = build_cell_graph(latent.numpy(), SETTINGS)
    product = multiply_by_torch(graph.indptr, graph.indices, graph.weights, latent)
    torch.testing.assert_close(product, propagate(graph, latent), atol=1e-6, rtol=1e-5)


def test_links_across_patients_join_no_cells_of_one_patient():
    latent, patients = cells(), np.arange(60) % 3
    graph = build_cell_graph(latent.numpy(), SETTINGS, patients=patients)
    expected = dense_normalised(dense_links(latent.numpy(), groups=patients))
    rows = np.repeat(np.arange(60), np.diff(graph.indptr))
    matrix = np.zeros((60, 60))
    matrix[rows, graph.indices] = graph.weights
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_query_cells_link_to_reference_cells_only():
    reference = ReferenceCells(6, SETTINGS)
    reference.fit(cells(), None, seed=0)
    queries = cells(10, seed=1)
    together = reference.links(queries)
    for row in range(10):
        alone = reference.links(queries[row : row + 1])
        torch.testing.assert_close(alone.weights[0], together.weights[row])
        assert alone.indices[0].tolist() == together.indices[row].tolist()


def test_query_links_equal_scikit_learn_neighbours():
    reference = ReferenceCells(6, SETTINGS)
    reference.fit(cells(), None, seed=0)
    queries = cells(10, seed=1)
    links = reference.links(queries)
    distance, rows = NearestNeighbors(n_neighbors=4, metric="cosine").fit(cells()).kneighbors(queries)
    is_link = distance <= 0.7
    assert torch.equal(links.weights > 0, torch.from_numpy(is_link))
    assert (links.indices.numpy()[is_link] == rows[is_link]).all()


def test_query_features_equal_the_formula_by_hand():
    reference = ReferenceCells(6, SETTINGS)
    graph, _ = reference.fit(cells(), None, seed=0)
    query = cells(1, seed=1)
    links = reference.links(query)
    first, second = query[0] * links.own[0], None
    for row, weight in zip(links.indices[0], links.weights[0], strict=True):
        first = first + weight * reference.latent[row]
    second = first * links.own[0]
    for row, weight in zip(links.indices[0], links.weights[0], strict=True):
        second = second + weight * propagate(graph, reference.latent)[row]
    expected = torch.cat([query[0], first, second])
    torch.testing.assert_close(reference.sign_features(query, links)[0], expected)


def test_a_query_weight_is_one_over_the_root_of_both_degrees():
    reference = ReferenceCells(6, SETTINGS)
    graph, _ = reference.fit(cells(), None, seed=0)
    links = reference.links(cells(1, seed=1))
    n_links = int((links.weights > 0).sum())
    expected = ((n_links + 1) * graph.degree[links.indices[0, 0]]) ** -0.5
    assert n_links > 0
    torch.testing.assert_close(links.weights[0, 0], expected)
    assert float(links.own[0]) == pytest.approx(1 / (n_links + 1))


def test_reference_cells_come_back_from_their_weights():
    fitted, loaded = ReferenceCells(6, SETTINGS), ReferenceCells(6, SETTINGS)
    fitted.fit(cells(), None, seed=0)
    loaded.load_state_dict(fitted.state_dict())
    queries = cells(10, seed=1)
    torch.testing.assert_close(loaded.links(queries).weights, fitted.links(queries).weights)
    assert torch.equal(loaded.hop, fitted.hop)


def test_an_empty_reference_says_that_it_must_be_fitted():
    with pytest.raises(ArtifactError, match="Fit it"):
        ReferenceCells(6, SETTINGS).links(cells(2))


def test_a_thinned_reference_has_equal_numbers_per_patient():
    patients = np.repeat([0, 1, 2], [100, 50, 5])
    rows = choose_reference(155, patients, 45, seed=0)
    assert np.bincount(patients[rows]).tolist() == [20, 20, 5]
    assert (rows == choose_reference(155, patients, 45, seed=0)).all()
    assert (rows != choose_reference(155, patients, 45, seed=1)).any()
