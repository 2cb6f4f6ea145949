"""`trilineage report` writes a page and says where."""

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
