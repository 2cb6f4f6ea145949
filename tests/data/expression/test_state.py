"""The state detector on synthetic matrices of every state, on contradictions, and on the real sets."""

import numpy as np
import pytest
from scipy import sparse

from trilineage.core.errors import MatrixError
from trilineage.data.expression.matrices import checked_rows
from trilineage.data.expression.open import ExpressionSettings, open_expression
from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.state import detect_state, linear_values, stated


def rows_of(dense: np.ndarray) -> RawRows:
    matrix = sparse.csr_matrix(dense.astype(np.float32))
    return checked_rows(matrix.indptr, matrix.indices, matrix.data, dense.shape[1])


def kind_of(dense: np.ndarray) -> str:
    return detect_state(rows_of(dense), dense.shape[1]).kind


@pytest.fixture
def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.3, 3.0, size=(100, 300)))
    counts[:, 0] += 1
    return counts.astype(float)


@pytest.fixture
def per_million(counts: np.ndarray) -> np.ndarray:
    return 1e6 * counts / counts.sum(axis=1, keepdims=True)


def test_whole_numbers_are_counts(counts):
    assert kind_of(counts) == "counts"


def test_equal_totals_are_counts_per_million(per_million):
    state = detect_state(rows_of(per_million), 300)
    assert state.kind == "cpm"
    assert state.target_sum == pytest.approx(1e6, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "logarithm", "total"),
    [
        ("log1p", np.log1p, 1e4),
        ("log10", lambda x: np.log10(x + 1), 1e6),
        ("log2", lambda x: np.log2(x + 1), 1e6),
    ],
)
def test_logarithms_are_told_apart_by_their_totals(per_million, kind, logarithm, total):
    state = detect_state(rows_of(logarithm(per_million * total / 1e6)), 300)
    assert state.kind == kind
    assert state.target_sum == pytest.approx(total, rel=1e-3)
    assert f"{total:,.0f}" in " ".join(state.evidence)


@pytest.mark.parametrize(
    ("kind", "logarithm"),
    [("log1p", np.log1p), ("log10", lambda x: np.log10(x + 1)), ("log2", lambda x: np.log2(x + 1))],
)
def test_selected_genes_are_told_apart_by_whole_ratios(per_million, kind, logarithm):
    assert kind_of(logarithm(per_million[:, 100:160] / 100)) == kind


@pytest.mark.parametrize(("kind", "base"), [("log1p", np.e), ("log10", 10.0), ("log2", 2.0)])
def test_undoing_a_logarithm_gives_back_the_linear_values(per_million, kind, base):
    logged = (np.log1p(per_million) / np.log(base)).astype(np.float32)
    np.testing.assert_allclose(linear_values(kind, logged.ravel()), per_million.ravel(), rtol=1e-4, atol=1e-3)


def test_z_scores_are_scaled(counts):
    logged = np.log1p(counts)
    deviation = logged.std(axis=0)
    assert kind_of((logged - logged.mean(axis=0)) / np.where(deviation > 0, deviation, 1)) == "scaled"


def test_large_values_with_negatives_are_intensities(counts):
    assert kind_of(np.round(np.random.default_rng(1).normal(500, 2000, size=(50, 200)))) == "intensities"


def test_expected_counts_are_divided_by_their_own_totals(counts):
    state = detect_state(rows_of(counts * 7.3 + (counts > 0) * 0.21), 300)
    assert (state.kind, state.target_sum) == ("cpm", None)


def test_few_negative_counts_are_refused(counts):
    counts[3, 4] = -2
    with pytest.raises(MatrixError, match="negative values in what looks like counts.*minimum -2"):
        kind_of(counts)


def test_few_fractional_counts_are_refused(counts):
    counts[3, 4] = 2.5
    with pytest.raises(MatrixError, match="whole counts but some are fractional"):
        kind_of(counts)


def test_nothing_but_zeros_is_refused():
    with pytest.raises(MatrixError, match="nothing but zeros"):
        kind_of(np.zeros((4, 5)))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("counts", 0.5, "fractional"),
        ("counts", -1.0, "negative"),
        ("cpm", -1.0, "negative"),
        ("log1p", 400.0, "too large for a logarithm"),
    ],
)
def test_a_stated_state_that_the_values_contradict_is_refused(counts, kind, value, message):
    dense = np.minimum(counts, 20)
    dense[1, 2] = value
    with pytest.raises(MatrixError, match=message):
        stated(kind, rows_of(dense), 300)


def test_a_stated_state_that_fits_is_accepted(counts):
    state = stated("intensities", rows_of(counts), 300)
    assert state.kind == "intensities"
    assert "state=intensities" in state.evidence[0]


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("paul15_myeloid/paul15_2660x240_counts_MIT.h5ad", "counts"),
        ("paul15_myeloid/paul15_2660x3004_counts.h5ad", "counts"),
        ("pbmc_donor_disease/kang_ifnb_1556x1267_counts.h5ad", "counts"),
        ("pbmc_donor_disease/hca_bm_2154x120_counts_8donors.h5ad", "counts"),
        ("human_bm_citeseq_small/triana_bm_pbmc_250x462_counts_adt197.h5ad", "counts"),
        ("bulk_raw_counts/blood_bulk_counts_8studies.h5ad", "counts"),
        ("bulk_raw_counts/haemopedia_human_counts.h5ad", "counts"),
        ("bulk_all_multicohort/all_multicohort_logcpm.h5ad", "log10"),
        ("microarray_leukemia/golub1999_72x7129_all_aml.h5ad", "intensities"),
        ("pbmc_donor_disease/stephenson_covid_pca_10000x50.h5ad", "scaled"),
    ],
)
def test_every_real_set_is_recognised(real_data, file, kind):
    assert open_expression(ExpressionSettings(path=str(real_data / "rna" / file))).state.kind == kind
