"""The rna recipe on AnnData objects: in place, in memory or backed, honest about what was held out."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from trilineage.core.errors import ColumnError, ConfigError
from trilineage.pipelines import rna
from trilineage.pipelines._rna.annotated import run_folder


@pytest.fixture(scope="module")
def cheap(quick):
    """The quick recipe without its file, and with little else than the model."""
    values = quick.to_dict()
    values["data"]["path"] = None
    values |= {"representation": "components", "components": {"n_genes": 200, "n_components": 10}}
    values["evaluation"]["n_nulls"] = 0
    return rna.Config.load(None, values)


@pytest.fixture(scope="module")
def done(blood, cheap, tmp_path_factory):
    """An AnnData that was fitted on, with its Run."""
    adata = anndata.read_h5ad(blood)
    out = tmp_path_factory.mktemp("annotated") / "run"
    return adata, rna.fit_adata(adata, label_key="disease", patient_key="donor_id", out=out, config=cheap)


def test_held_out_samples_have_the_predictions_of_the_run_and_others_none(done):
    adata, run = done
    prediction = run.predictions()
    is_test = adata.obs["trilineage_part"] == "test"
    assert set(adata.obs_names[is_test]) == set(prediction.samples)
    found = adata[prediction.samples].obsm["trilineage_probabilities"]
    np.testing.assert_allclose(found, prediction.probabilities)
    assert adata.obs["trilineage_prediction"].notna().equals(is_test)
    assert np.isnan(adata.obsm["trilineage_probabilities"][~is_test]).all()


def test_the_latent_is_that_of_the_model_that_predicts(done, blood):
    adata, run = done
    again = anndata.read_h5ad(blood)
    rna.predict_adata(run, again, device="cpu")
    np.testing.assert_allclose(adata.obsm["X_trilineage"], again.obsm["X_trilineage"], atol=1e-6)


def test_what_was_written_says_where_it_comes_from_and_survives_a_file(done, tmp_path):
    adata, run = done
    adata.write_h5ad(tmp_path / "x.h5ad")
    about = anndata.read_h5ad(tmp_path / "x.h5ad").uns["trilineage"]
    assert about["run"] == str(run.path.resolve())
    model = about["scores"].query("subject == 'model' and metric == 'balanced_accuracy'")
    expected = {s.value for s in run.scores() if (s.subject, s.metric) == ("model", "balanced_accuracy")}
    assert set(model["value"]) == expected
    assert (model["low"] <= model["value"]).all()
    assert list(about["classes"]) == list(run.predictions().classes)
    assert about["split"]["kind"] == "holdout"


def test_the_same_fit_again_goes_on_with_the_same_run_although_columns_were_added(done, cheap):
    adata, run = done
    again = rna.fit_adata(adata, label_key="disease", patient_key="donor_id", out=run.path, config=cheap)
    assert again.manifest["finished"] == run.manifest["finished"]


def test_the_file_and_the_adata_in_memory_or_backed_give_the_same(done, blood, tmp_path):
    _, run = done
    known = rna.predict(run, blood, device="cpu").prediction.probabilities
    for mode in (None, "r", "r+"):
        adata = anndata.read_h5ad(blood, backed=mode)
        found = rna.predict_adata(run, adata, device="cpu", options={"backed": "yes"})
        np.testing.assert_allclose(found.prediction.probabilities, known, atol=1e-6)
        assert adata.obs["trilineage_prediction"].notna().all()
        if mode:
            adata.file.close()


def test_a_view_becomes_an_adata_of_its_own_and_leaves_the_whole_alone(done, blood):
    _, run = done
    whole = anndata.read_h5ad(blood)
    part = whole[:50]
    rna.predict_adata(run, part, device="cpu")
    assert part.obsm["X_trilineage"].shape[0] == 50
    assert "X_trilineage" not in whole.obsm


def test_without_a_folder_the_run_stays_among_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folders = {run_folder(None), run_folder(None)}
    assert {folder.parent for folder in folders} == {tmp_path}
    assert all(folder.is_dir() for folder in folders)
    assert run_folder("runs/x") == Path("runs/x")


def test_a_label_that_is_no_column_is_an_error_that_changes_nothing(blood, cheap):
    adata = anndata.read_h5ad(blood)
    before = list(adata.obs.columns)
    with pytest.raises(ColumnError, match="dx"):
        rna.fit_adata(adata, label_key="dx", config=cheap)
    assert (list(adata.obs.columns), list(adata.obsm)) == (before, [])


def test_a_configuration_with_a_file_is_refused(blood, quick):
    with pytest.raises(ConfigError, match="names a file"):
        rna.fit_adata(anndata.read_h5ad(blood), label_key="disease", config=quick)


def test_a_layer_that_is_not_there_is_refused_with_those_there_are(done, blood):
    adata = anndata.read_h5ad(blood)
    adata.layers["counts"] = adata.X
    with pytest.raises(ColumnError, match="counts, X, raw"):
        rna.predict_adata(done[1], adata, options={"layer": "spliced"})
