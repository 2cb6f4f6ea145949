"""One door for every format, with guesses reported and bad input refused."""

import hashlib

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from trilineage.core.errors import ColumnError, ConfigError, FormatError, MatrixError
from trilineage.data.expression.open import ExpressionSettings, from_anndata, open_expression


def opened(path, **options):
    return open_expression(ExpressionSettings(path=str(path), **options))


def dense(data) -> np.ndarray:
    return data.to_csr(np.arange(data.n_obs), counts=True).toarray()


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_every_layout_of_an_h5ad_is_read_in_memory_and_from_disk(adata, tmp_path, layout, compression):
    expected = adata.X.toarray()
    adata.X = {"csr": adata.X, "csc": adata.X.tocsc(), "dense": expected}[layout]
    path = tmp_path / "data.h5ad"
    adata.write_h5ad(path, compression=compression)
    for backed in ("no", "yes"):
        data = opened(path, backed=backed, block_size=16, shuffle_blocks=2)
        np.testing.assert_array_equal(dense(data), expected)
        data.close()


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore:zarr v3 autosharding", "ignore:Consolidated")
@pytest.mark.parametrize("version", [2, 3])
def test_zarr_is_read(adata, tmp_path, version):
    with anndata.settings.override(zarr_write_format=version):
        adata.write_zarr(tmp_path / "data.zarr")
    data = opened(tmp_path / "data.zarr")
    np.testing.assert_array_equal(dense(data), adata.X.toarray())
    assert data.obs["donor_id"].tolist() == adata.obs["donor_id"].tolist()


def test_data_in_memory_are_taken(adata):
    data = from_anndata(adata)
    np.testing.assert_array_equal(dense(data), adata.X.toarray())
    assert data.obs_names.tolist() == adata.obs_names.tolist()


def test_sample_table_and_genes_are_those_of_anndata(h5ad, adata):
    data = opened(h5ad)
    pd.testing.assert_frame_equal(data.obs, adata.obs, check_dtype=False, check_categorical=False)
    assert data.genes.ids.tolist() == [name.split(".")[0] for name in adata.var_names]
    assert data.genes.symbols.tolist() == adata.var["gene_symbol"].tolist()


def test_guesses_are_in_the_keys_and_the_notes(h5ad):
    data = opened(h5ad)
    assert data.keys == {"label": "disease", "patient": "donor_id", "cell_type": "cell_type", "site": "batch"}
    assert any("patient: column 'donor_id' (guessed" in note for note in data.notes)


def test_guesses_and_evidence_are_logged(h5ad, caplog):
    with caplog.at_level("INFO"):
        opened(h5ad)
    assert "values are counts: 5,400 entries looked at" in caplog.text
    assert caplog.text.count("patient: column 'donor_id'") == 1


def test_a_missing_column_names_the_columns_there_are(h5ad):
    with pytest.raises(
        ColumnError, match="no column 'donor'.*donor_id, disease, cell_type, batch, age.*'donor_id'"
    ):
        opened(h5ad, patient_key="donor")


def test_layers_are_chosen_and_named(adata, tmp_path):
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray() / 7))
    adata.write_h5ad(tmp_path / "data.h5ad")
    for layer in ("counts", "layers/counts", "raw"):
        assert opened(tmp_path / "data.h5ad", layer=layer).state.kind == "counts"
        assert from_anndata(adata, ExpressionSettings(layer=layer)).state.kind == "counts"
    data = opened(tmp_path / "data.h5ad")
    assert data.state.kind == "log1p"
    assert any("these matrices (layer=...): counts, raw" in note for note in data.notes)
    with pytest.raises(ColumnError, match="no layer 'spliced'.*counts, X, raw"):
        opened(tmp_path / "data.h5ad", layer="spliced")


def test_duplicated_genes_are_summed(adata, tmp_path):
    adata.var_names = [adata.var_names[0]] * 2 + list(adata.var_names[2:])
    adata.write_h5ad(tmp_path / "data.h5ad")
    data = opened(tmp_path / "data.h5ad")
    assert data.n_vars == 59
    np.testing.assert_array_equal(dense(data)[:, 0], adata.X.toarray()[:, :2].sum(axis=1))
    assert any("1 columns name a gene that is already there: summed" in note for note in data.notes)


def test_repeated_sample_names_are_numbered(adata, tmp_path):
    adata.obs_names = ["a", "a", "a", *adata.obs_names[3:]]
    adata.write_h5ad(tmp_path / "data.h5ad")
    data = opened(tmp_path / "data.h5ad")
    assert data.obs_names[:4].tolist() == ["a", "a-1", "a-2", "cell3"]
    assert any("2 repeated sample names" in note for note in data.notes)


def test_a_column_that_is_there_twice_is_refused_by_name(tmp_path):
    (tmp_path / "bulk.csv").write_text("sample,label,label,g1,g2\ns0,AML,,1,2\ns1,ALL,x,3,4\n")
    with pytest.raises(FormatError, match="names a column twice; seen: 'label'"):
        opened(tmp_path / "bulk.csv")


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-3.0, "negative"), (0.5, "fractional")],
)
def test_values_that_cannot_be_counts_are_refused(adata, tmp_path, value, message):
    adata.X.data[100] = value
    adata.write_h5ad(tmp_path / "data.h5ad")
    with pytest.raises(MatrixError, match=message):
        opened(tmp_path / "data.h5ad")


def test_damage_outside_the_sample_looked_at_is_found_too(tmp_path):
    values = np.ones((5000, 3), np.float32)
    values[2500, 1] = 0.5
    anndata.AnnData(values).write_h5ad(tmp_path / "data.h5ad")
    with pytest.raises(MatrixError, match="fractional values among the counts"):
        opened(tmp_path / "data.h5ad")
    data = opened(tmp_path / "data.h5ad", backed="yes")
    with pytest.raises(MatrixError, match="fractional values among the counts"):
        data.take(np.array([2500]))
    data.close()


def test_a_stated_state_replaces_the_detector(h5ad):
    assert opened(h5ad, state="cpm").state.kind == "cpm"


def test_large_data_stay_on_disk(h5ad):
    data = opened(h5ad, memory_limit_gb=1e-6)
    in_memory = opened(h5ad)
    assert type(data._store).__name__ == "DiskRows"
    assert type(in_memory._store).__name__ == "CompactRows"
    batch, same = data.take(np.array([4, 2, 80])), in_memory.take(np.array([4, 2, 80]))
    for ours, theirs in zip(batch[:-1], same[:-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    data.close()


def test_the_fingerprint_of_a_file_is_its_sha256(h5ad):
    assert opened(h5ad).fingerprint == hashlib.sha256(h5ad.read_bytes()).hexdigest()


def test_the_fingerprint_of_data_in_memory_follows_every_value(adata):
    first = from_anndata(adata).fingerprint
    assert from_anndata(adata.copy()).fingerprint == first
    adata.X.data[3] += 1
    assert from_anndata(adata).fingerprint != first


def test_a_second_table_brings_the_sample_columns(h5ad, tmp_path):
    table = pd.DataFrame({"subtype": np.resize(["A", "B"], 90)}, index=[f"cell{i}" for i in range(90)])
    table[::-1].to_csv(tmp_path / "samples.csv")
    data = opened(h5ad, obs_path=str(tmp_path / "samples.csv"), label_key="subtype")
    assert data.column("label")[:3].tolist() == ["A", "B", "A"]


def test_no_path_and_unknown_kinds_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no expression data given"):
        open_expression(ExpressionSettings())
    with pytest.raises(FormatError, match="no such file or folder"):
        opened(tmp_path / "nothing.rds")
    (tmp_path / "data.rds").write_text("x")
    with pytest.raises(FormatError, match="unknown kind"):
        opened(tmp_path / "data.rds")


def test_an_empty_matrix_is_refused(tmp_path):
    anndata.AnnData(np.zeros((0, 3), np.float32)).write_h5ad(tmp_path / "data.h5ad")
    with pytest.raises(FormatError, match="empty matrix"):
        opened(tmp_path / "data.h5ad")
