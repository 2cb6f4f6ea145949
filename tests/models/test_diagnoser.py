"""The diagnoser's small parts: two columns for a sigmoid, and the representations without an autoencoder."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn

from trilineage.data.expression.rows import ExpressionBatch
from trilineage.models.diagnoser import Diagnoser, PrincipalComponents, StandardizedGenes, two_columns
from trilineage.models.sparse import SparseBatch


def batch(dense: np.ndarray) -> SparseBatch:
    from scipy import sparse

    rows = sparse.csr_matrix(dense.astype(np.float32))
    found = ExpressionBatch(
        rows.indptr.astype(np.int64),
        rows.indices.astype(np.int32),
        rows.data,
        None,
        np.ones(len(dense), np.float32),
        np.arange(len(dense)),
        dense.shape[1],
    )
    return SparseBatch.from_rows(found)


def values(n_cells: int = 40, n_genes: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.gamma(1.0, size=(n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < 0.6)


def test_a_sigmoid_is_a_softmax_of_two_columns():
    logit = torch.tensor([[-2.0], [0.0], [3.0]])
    torch.testing.assert_close(two_columns(logit).softmax(1)[:, 1:], logit.sigmoid())


def test_temperature_divides_the_logits():
    diagnoser = Diagnoser(nn.Identity(), nn.Identity())
    diagnoser.temperature.fill_(2.0)
    logits = torch.tensor([[1.0, 3.0]])
    torch.testing.assert_close(diagnoser.probabilities(logits), (logits / 2).softmax(1))


def test_standardised_genes_have_mean_zero_and_deviation_one():
    dense = values()
    encoder = StandardizedGenes(
        torch.from_numpy(dense.mean(0)).float(), torch.from_numpy(dense.std(0)).float()
    )
    found = encoder.encode(batch(dense)).numpy()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-4)


def test_components_equal_scikit_learns_up_to_sign():
    dense = values()
    pca = PCA(3).fit(dense)
    encoder = PrincipalComponents(
        torch.from_numpy(pca.mean_).float(), torch.from_numpy(pca.components_.T).float()
    )
    np.testing.assert_allclose(encoder.encode(batch(dense)).numpy(), pca.transform(dense), atol=1e-4)


def test_sparse_and_dense_encoding_agree():
    dense = values()
    mean, deviation = torch.from_numpy(dense.mean(0)).float(), torch.from_numpy(dense.std(0)).float()
    for encoder in (StandardizedGenes(mean, deviation), PrincipalComponents(mean, torch.eye(6)[:, :2])):
        expected = encoder.encode_dense(torch.from_numpy(dense).float())
        torch.testing.assert_close(encoder.encode(batch(dense)), expected, rtol=1e-5, atol=1e-5)


def test_a_missing_gene_is_taken_at_its_training_mean():
    dense = values()
    mean, deviation = torch.from_numpy(dense.mean(0)).float(), torch.from_numpy(dense.std(0)).float()
    missing = torch.tensor([True, False, False, False, False, True])
    without, at_mean = dense.copy(), dense.copy()
    without[:, missing.numpy()] = 0
    at_mean[:, missing.numpy()] = dense.mean(0)[missing.numpy()]
    for encoder in (StandardizedGenes(mean, deviation), PrincipalComponents(mean, torch.eye(6)[:, ::5])):
        torch.testing.assert_close(
            encoder.encode(batch(without), missing), encoder.encode(batch(at_mean)), rtol=1e-4, atol=1e-5
        )
