"""The face of expression data: batches, orders, sums, hashes, and the same samples through a model's genes."""

import anndata
import numpy as np
import pytest

from trilineage.core.errors import ColumnError
from trilineage.data.expression.genes import GeneTable
from trilineage.data.expression.open import ExpressionSettings, from_anndata, open_expression


@pytest.fixture(params=["memory", "disk"])
def data(request, h5ad):
    backed = "yes" if request.param == "disk" else "no"
    settings = ExpressionSettings(path=str(h5ad), backed=backed, block_size=8, shuffle_blocks=2)
    opened = open_expression(settings)
    yield opened
    opened.close()


def test_batches_hold_values_counts_and_totals_in_the_order_asked_for(data, adata):
    positions = np.array([7, 5, 5, 88])
    batch = data.take(positions)
    counts = adata.X.toarray()[positions]
    total = counts.sum(axis=1)
    np.testing.assert_array_equal(batch.to_csr(counts=True).toarray(), counts)
    np.testing.assert_allclose(batch.library, total)
    np.testing.assert_allclose(batch.to_csr().toarray(), np.log1p(1e4 * counts / total[:, None]), rtol=1e-6)
    assert (batch.positions.tolist(), batch.n_genes) == ([7, 5, 5, 88], 60)


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch(data):
    positions = np.arange(3, 77)
    first = data.order(positions, seed=1, epoch=4)
    assert sorted(first.tolist()) == positions.tolist()
    assert first.tolist() == data.order(positions, seed=1, epoch=4).tolist()
    assert first.tolist() != data.order(positions, seed=1, epoch=5).tolist()
    assert first.tolist() != data.order(positions, seed=2, epoch=4).tolist()


def test_sums_by_group_are_sums_of_counts(data, adata):
    groups = np.arange(90) % 4 - 1
    expected = [adata.X.toarray()[groups == k].sum(axis=0) for k in range(3)]
    np.testing.assert_array_equal(data.group_sums(groups, 3), expected)


def test_sums_by_group_of_some_samples(data, adata):
    positions = np.array([3, 80, 4])
    sums = data.group_sums(np.array([1, 0, 1]), 2, positions)
    np.testing.assert_array_equal(sums, [adata.X.toarray()[80], adata.X.toarray()[[3, 4]].sum(axis=0)])


def test_the_mean_is_that_of_the_normalised_values(data):
    positions = np.arange(10, 30)
    np.testing.assert_allclose(data.mean(positions), data.to_csr(positions).toarray().mean(axis=0), rtol=1e-5)


def test_shares_of_counts_add_up_to_one(data, adata):
    total = adata.X.toarray().sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(data.gene_share(), total / total.sum(), rtol=1e-6)


def test_copies_under_another_name_have_the_same_hash(adata):
    richest = np.argsort(-np.diff(adata.X.indptr))[:2]  # enough genes not to be equal by chance
    copies = adata[richest].copy()
    copies.obs_names = ["another", "other"]
    both = from_anndata(anndata.concat([adata, copies]))
    hashes = both.content_hashes()
    assert hashes[90:].tolist() == hashes[richest].tolist()
    assert len(set(hashes.tolist())) == 90


def test_hashes_are_the_same_in_memory_and_on_disk(data, adata):
    assert (
        data.content_hashes(np.array([5, 1])).tolist()
        == from_anndata(adata).content_hashes()[[5, 1]].tolist()
    )


def test_samples_of_little_content_are_told_apart_by_name():
    data = from_anndata(anndata.AnnData(np.eye(4, 30, dtype=np.float32)[[0, 0, 1, 1]]))
    assert len(set(data.content_hashes().tolist())) == 4


def test_chosen_genes_keep_the_totals_of_all(data, adata):
    genes = np.array([50, 3, 4])
    batch = data.subset_genes(genes).take(np.arange(90))
    counts = adata.X.toarray()
    np.testing.assert_array_equal(batch.to_csr(counts=True).toarray(), counts[:, genes])
    np.testing.assert_allclose(batch.library, counts.sum(axis=1))


def test_samples_are_seen_through_the_genes_of_a_model(data, adata):
    symbols = np.array(["gene5", "ABSENT", "GENE2", "GENE41"])
    alignment = data.align(GeneTable(np.array([""] * 4), symbols))
    batch = data.aligned(alignment.require(0.5)).take(np.arange(90))
    counts = adata.X.toarray()
    np.testing.assert_array_equal(batch.to_csr(counts=True).toarray()[:, [0, 2, 3]], counts[:, [5, 2, 41]])
    assert alignment.missing.tolist() == [False, True, False, False]
    assert batch.to_csr().toarray()[:, 1].tolist() == [0] * 90
    seen = counts[:, [5, 2, 41]].sum()
    assert alignment.share_counts_lost == pytest.approx(1 - seen / counts.sum())


def test_a_model_of_the_same_genes_sees_the_same_values(data):
    same = data.aligned(data.align(data.genes, model_share=data.gene_share()))
    positions = np.arange(90)
    for ours, theirs in zip(same.take(positions)[:-1], data.take(positions)[:-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_totals_are_corrected_for_missing_genes(data, adata):
    half = np.arange(30)
    partial = from_anndata(adata[:, half].copy())
    alignment = partial.align(data.genes, model_share=data.gene_share())
    library = partial.aligned(alignment).take(np.arange(90)).library
    share = adata.X.toarray()[:, half].sum() / adata.X.toarray().sum()
    np.testing.assert_allclose(library, adata.X.toarray()[:, half].sum(axis=1) / share, rtol=1e-5)


def test_columns_are_read_by_their_role(data):
    assert data.column("patient")[[0, 89]].tolist() == ["D0", "D5"]
    data.keys["site"] = None
    with pytest.raises(ColumnError, match="no column is known as the site.*donor_id.*site_key"):
        data.column("site")


def test_an_unknown_value_is_an_empty_text(adata):
    adata.obs["disease"] = adata.obs["disease"].where(adata.obs["donor_id"] != "D0")
    assert from_anndata(adata).column("label")[[0, 89]].tolist() == ["", "AML"]


def test_positions_outside_the_table_are_refused(data):
    with pytest.raises(IndexError, match="positions from 0 to 90 of 90"):
        data.take(np.array([0, 90]))
