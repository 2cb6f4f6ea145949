"""With --json a program gets one object, alone on standard output, whatever a command prints for people."""

import json

import numpy as np
import pytest
import typer

from trilineage.cli.answers import answer, answering
from trilineage.cli.door import door
from trilineage.core.errors import ColumnError, Interrupted


def test_a_fit_answers_with_its_run_its_report_and_its_scores(recipe, trilineage, tmp_path):
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o", "--json")
    found = json.loads(result.stdout)
    assert (found["status"], found["run"]) == ("done", str(tmp_path / "made"))
    assert found["report"] == str(tmp_path / "made" / "report.html")
    assert (found["scores"][0]["metric"], found["scores"][0]["low"]) == ("balanced_accuracy", 0.8)
    assert "0.90 (0.80–1.00)" in result.stderr


def test_quiet_json_says_nothing_else_at_all(recipe, trilineage, tmp_path):
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o", "--json", "--quiet")
    assert json.loads(result.stdout)["status"] == "done"
    assert result.stderr == ""


def test_a_failure_answers_with_the_four_parts_of_its_message(recipe, trilineage, tmp_path):
    recipe.error = ColumnError("no column", seen="dx", allowed="diagnosis", remedy="name one")
    recipe.error.add_note("in blood.h5ad")
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["exit_code"], found["status"]) == (65, 65, "failed")
    parts = {"what": "no column", "seen": "dx", "allowed": "diagnosis", "remedy": "name one"}
    assert found["error"] == {"type": "ColumnError", **parts, "notes": ["in blood.h5ad"]}
    assert "ColumnError: no column" in result.stderr


@pytest.mark.parametrize(
    ("error", "status"), [(Interrupted("stop"), "interrupted"), (ValueError("x"), "failed")]
)
def test_every_way_to_leave_has_a_status(recipe, trilineage, tmp_path, error, status):
    recipe.error = error
    result = trilineage("rna", "fit", "--data", "x", "--out", tmp_path / "o", "--json")
    assert json.loads(result.stdout)["status"] == status


def test_prediction_and_genes_are_there_for_programs(recipe, trilineage, tmp_path):
    found = json.loads(trilineage("rna", "predict", "run", "x", "--out", tmp_path / "p", "--json").stdout)
    assert (found["n_samples"], found["patients"]["predicted"]) == (2, ["A"])
    found = json.loads(trilineage("rna", "explain", tmp_path / "made", "--json").stdout)
    assert found["genes"] == {"AML": ["GATA2"]}


def test_numbers_that_json_lacks_become_null(capsys):
    with answering(is_wanted=True):
        typer.echo("for people")
        answer(value=np.float64("nan"), names=np.array(["a"]))
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"value": None, "names": ["a"]}
    assert captured.err == "for people\n"


def test_without_json_what_is_answered_is_forgotten(capsys):
    answer(value=1)
    with answering(is_wanted=False):
        answer(value=2)
    assert capsys.readouterr().out == ""


def test_a_command_that_knows_nothing_of_json_still_speaks_it(capsys):
    @door()
    def command(n: int = 1):
        typer.echo("text for people")

    command(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"status": "done"}


def test_only_the_first_of_several_processes_answers(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")

    @door()
    def command():
        raise typer.Exit(3)

    with pytest.raises(typer.Exit):
        command(as_json=True)
    assert capsys.readouterr().out == ""
