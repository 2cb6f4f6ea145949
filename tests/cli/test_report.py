"""`trilineage report` writes a page and says where."""

import json

import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings


class NoOptions(Settings):
    """A configuration without options."""


def test_the_path_of_the_page_is_the_only_output(trilineage, tmp_path):
    Run.create(tmp_path / "r", kind="rna", config=NoOptions(), seed=0)
    result = trilineage("--quiet", "report", tmp_path / "r")
    assert result.stdout == f"{tmp_path / 'r' / 'report.html'}\n"
    assert (tmp_path / "r" / "report.html").exists()


def test_a_folder_that_is_no_run_is_refused_with_a_sentence(trilineage, tmp_path):
    result = trilineage("report", tmp_path)
    assert result.exit_code == 1
    assert "ArtifactError" in result.stderr


def test_a_run_of_a_newer_version_is_refused(trilineage, tmp_path):
    run = Run.create(tmp_path / "r", kind="rna", config=NoOptions(), seed=0)
    manifest = (run.path / "run.json").read_text().replace('"format_version": 1', '"format_version": 99')
    (run.path / "run.json").write_text(manifest)
    result = trilineage("report", run.path)
    assert result.exit_code == 1
    assert "NewerVersionError" in result.stderr


def begun(path, **changes):
    """Write a Run that holds nothing."""
    return Run.create(path, kind="rna", config=NoOptions(), seed=0, **changes)


def test_papers_are_named_after_the_page_that_leads_to_them(trilineage, tmp_path):
    begun(tmp_path / "r")
    result = trilineage("--quiet", "report", tmp_path / "r", "--checklist", "claim", "--model-card")
    names = ["report.html", "checklists/claim.md", "model-card.md"]
    assert result.stdout.splitlines() == [str(tmp_path / "r" / name) for name in names]
    assert "checklists/claim.md" in (tmp_path / "r" / "report.html").read_text()


def test_several_runs_are_compared(trilineage, tmp_path):
    begun(tmp_path / "a")
    begun(tmp_path / "b")
    result = trilineage("--quiet", "report", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c.html")
    assert result.stdout == f"{tmp_path / 'c.html'}\n"
    assert (tmp_path / "c.json").exists()


def test_a_program_is_told_where_page_and_papers_lie(trilineage, tmp_path):
    begun(tmp_path / "r")
    result = trilineage("report", tmp_path / "r", "--model-card", "--json")
    found = json.loads(result.stdout)
    assert found["page"] == str(tmp_path / "r" / "report.html")
    assert found["papers"] == [str(tmp_path / "r" / "model-card.md")]


@pytest.mark.parametrize("more", [["--out", "c.html"], ["--checklist", "care"]])
def test_options_that_fit_no_single_report_are_refused(trilineage, tmp_path, more):
    begun(tmp_path / "r")
    assert trilineage("report", tmp_path / "r", *more).exit_code == 2


def test_papers_of_several_runs_are_refused(trilineage, tmp_path):
    result = trilineage("report", begun(tmp_path / "a").path, begun(tmp_path / "b").path, "--model-card")
    assert result.exit_code == 2
    assert "about one Run" in result.stderr
