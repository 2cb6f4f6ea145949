"""Each command builds a configuration, calls one function, and shows the result."""

from pathlib import Path

import pytest

from trilineage.core.errors import CohortError, Interrupted


def test_fit_passes_the_configuration_and_shows_scores_and_report(recipe, trilineage, tmp_path):
    result = trilineage(
        "rna", "fit", "--data", "x.h5ad", "--out", tmp_path / "o", "--set", "n_latent=4", "--device", "cpu"
    )
    (config, out), options = recipe.calls["fit"]
    assert (config.data.path, config.n_latent, out) == ("x.h5ad", 4, tmp_path / "o")
    assert options == {"device": "cpu", "overwrite": False}
    assert "0.90 (0.80–1.00)" in result.output
    assert (tmp_path / "made" / "report.html").exists()
    assert str(tmp_path / "made" / "report.html") in result.output.replace("\n", "")
    assert result.exit_code == 0


def test_fit_reads_a_file_and_set_wins_over_it(recipe, trilineage, tmp_path):
    (tmp_path / "c.toml").write_text('n_latent = 3\nhidden = [5]\n[data]\npath = "in_file.h5ad"\n')
    trilineage("rna", "fit", "--config", tmp_path / "c.toml", "--set", "n_latent=9", "--out", tmp_path / "o")
    (config, _), _ = recipe.calls["fit"]
    assert (config.n_latent, config.hidden, config.data.path) == (9, (5,), "in_file.h5ad")


def test_a_path_with_signs_that_toml_knows_stays_a_path(recipe, trilineage, tmp_path):
    trilineage("rna", "fit", "--data", "[a], b=1.h5ad", "--out", tmp_path / "o")
    assert recipe.calls["fit"][0][0].data.path == "[a], b=1.h5ad"


def test_overwrite_is_passed_on(recipe, trilineage, tmp_path):
    trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o", "--overwrite")
    assert recipe.calls["fit"][1]["overwrite"] is True


def test_no_resume_refuses_a_folder_with_a_run(recipe, trilineage, tmp_path):
    trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "made")
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "made", "--no-resume")
    assert result.exit_code == 2
    assert "the folder holds a Run" in result.stderr


def test_predict_passes_how_to_read_the_file_and_shows_the_patients(recipe, trilineage, tmp_path):
    words = ("--set", "layer=raw", "--set", "data.patient_key=donor", "--min-gene-share", "0.3")
    result = trilineage("rna", "predict", tmp_path, "new.h5ad", "--out", "out.h5ad", *words)
    (run, data), options = recipe.calls["predict"]
    assert (run, data, options["out"]) == (tmp_path, Path("new.h5ad"), Path("out.h5ad"))
    assert options["options"] == {"layer": "raw", "patient_key": "donor"}
    assert options["min_gene_share"] == 0.3
    assert "0.80" in result.output
    assert "2 samples of 1 patient: out.h5ad" in result.output


def test_transfer_passes_every_population_and_the_one_to_refine(recipe, trilineage, tmp_path):
    result = trilineage(
        "rna", "transfer", tmp_path, "--to", "Monocyte", "--to", "Lymphocyte", "--refine", "Lymphocyte"
    )
    assert recipe.calls["transfer"][0] == (tmp_path,)
    assert recipe.calls["transfer"][1] == {
        "to": ("Monocyte", "Lymphocyte"),
        "refine": "Lymphocyte",
        "device": "auto",
    }
    assert "0.90 (0.80–1.00)" in result.output


def test_explain_prints_the_strongest_genes(recipe, trilineage, tmp_path):
    result = trilineage(
        "rna", "explain", tmp_path, "--n-seeds", "4", "--reference", "healthy", "--max-samples", "50"
    )
    expected = {"n_seeds": 4, "reference": "healthy", "max_samples": 50, "per_patient": 20, "device": "auto"}
    assert recipe.calls["explain"] == ((tmp_path,), expected)
    assert "AML: GATA2" in result.output


def test_study_passes_typed_values(recipe, trilineage, tmp_path):
    words = ("--vary", "n_latent=4,8", "--vary", "population=monocyte,progenitors")
    trilineage("rna", "study", "--data", "x", "--out", tmp_path / "s", *words)
    assert recipe.calls["study"][1]["vary"] == {
        "n_latent": [4, 8],
        "population": [("monocyte",), ("progenitors",)],
    }


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CohortError("too few patients", seen=1), 65, "CohortError: too few patients; seen: 1."),
        (Interrupted("stopped at epoch 3"), 75, "Run the same command again"),
        (ValueError("a defect"), 1, "ValueError: a defect"),
    ],
)
def test_an_error_of_the_recipe_becomes_a_message_and_a_code(
    recipe, trilineage, tmp_path, error, code, words
):
    recipe.error = error
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o")
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_option_is_answered_with_the_nearest(recipe, trilineage, tmp_path):
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o", "--set", "n_latnt=4")
    assert result.exit_code == 2
    assert "'n_latent' was meant" in result.stderr
    assert "fit" not in recipe.calls


def test_only_the_first_of_several_processes_speaks(recipe, trilineage, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o")
    assert (result.output, result.exit_code) == ("", 0)
    assert not (tmp_path / "made" / "report.html").exists()
