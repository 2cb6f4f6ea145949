"""The commands of cases: each builds a configuration, calls one function, and shows the result."""

import pytest

from trilineage.pipelines import cases
from trilineage.pipelines.cases import Together


@pytest.fixture
def called(monkeypatch, tmp_path):
    """Replace the functions of the recipe; what they were called with is kept."""
    calls = {}
    columns = {"patient": ["a", "b"], "lineages": ["rna", "rna images"], "decision": ["AML", "CML"]}
    columns |= {"set": ["acute", ""], "agreement": ["one lineage", "part"], "probability": [0.8, 0.55]}

    def predict(run, **given):
        calls["predict"] = (run, given)
        return Together(columns, given["out"])

    def fit(config, out, **options):
        calls["fit"] = (config, out, options)
        raise SystemExit(0)

    monkeypatch.setattr(cases, "predict", predict)
    monkeypatch.setattr(cases, "fit", fit)
    return calls


def test_fit_names_the_runs_of_the_lineages(called, trilineage, tmp_path):
    words = ("--rna", "runs/rna", "--concepts", "runs/concepts", "--set", "fusion.penalty=3", "--overwrite")
    trilineage("cases", "fit", *words, "--out", tmp_path / "out")
    config, out, options = called["fit"]
    assert config.runs() == {"rna": "runs/rna", "concepts": "runs/concepts"}
    assert config.fusion.penalty == 3.0
    assert out == tmp_path / "out"
    assert options["overwrite"] is True


def test_predict_passes_what_there_is_and_shows_who_was_known_to_whom(called, trilineage, tmp_path):
    words = ("--rna", tmp_path / "a.h5ad", "--images", tmp_path / "b", "--out", tmp_path / "out")
    result = trilineage("cases", "predict", tmp_path / "run", *words)
    run, given = called["predict"]
    assert run == tmp_path / "run"
    assert given == {
        "rna": tmp_path / "a.h5ad",
        "images": tmp_path / "b",
        "concepts": None,
        "out": tmp_path / "out",
    }
    assert result.exit_code == 0
    assert all(word in result.output for word in ("rna images", "0.55", "acute", "2 patients"))


def test_nothing_to_fuse_is_a_usage_error(trilineage, tmp_path):
    result = trilineage("cases", "fit", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "no lineage to combine" in result.stderr
