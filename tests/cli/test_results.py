"""What a command shows: scores in a table that names nobody's markup, patients, genes."""

import numpy as np

from trilineage.cli.results import show_genes, show_predictions, show_run
from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Prediction, Score


class NoOptions(Settings):
    """A configuration without options."""


def scored_run(tmp_path, *scores: Score) -> Run:
    run = Run.create(tmp_path / "run", kind="rna", config=NoOptions(), seed=0)
    run.add_scores(scores)
    return run


def test_a_table_holds_every_subject_with_its_interval(tmp_path, capsys):
    names = ("model", "baseline: majority", "null: permuted patients")
    show_run(
        scored_run(
            tmp_path, *(Score("auroc", 0.5, 0.4, 0.6, name, "patient", n_patients=9) for name in names)
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert "Per patient: 9 patients" in lines[0]
    assert [any(name in line and "0.50 (0.40–0.60)" in line for line in lines) for name in names] == [
        True
    ] * 3


def test_names_are_shown_as_they_are(tmp_path, capsys):
    show_run(scored_run(tmp_path, Score("auroc", 0.5, None, None, "[bold]x[/bold] :smile:")))
    assert "[bold]x[/bold] :smile:" in capsys.readouterr().out


def test_a_run_given_by_its_path_is_opened(tmp_path, capsys):
    show_run(scored_run(tmp_path, Score("auroc", 0.5, None, None)).path)
    assert "0.50" in capsys.readouterr().out


def test_many_patients_are_cut_with_their_number(tmp_path, capsys):
    names = [f"p{i}" for i in range(25)]
    prediction = Prediction(np.array(names), np.array(names), ("A", "B"), np.tile([0.9, 0.1], (25, 1)))
    table = {"patient": names, "n_samples": [1] * 25, "predicted": ["A"] * 25, "probability: A": [0.9] * 25}
    show_predictions(len(prediction.samples), table, tmp_path / "out.h5ad")
    out = capsys.readouterr().out
    assert "p19" in out
    assert "p20" not in out
    assert "5 more" in out


def test_genes_are_printed_strongest_first(tmp_path, capsys):
    run = scored_run(tmp_path)
    columns = {"class": ["A"] * 3, "gene": ["g1", "g2", "g3"], "attribution": [0.1, -0.9, 0.4]}
    run.write_table("explain/genes.csv", columns)
    show_genes(run, 2)
    assert "A: g2, g3\n" in capsys.readouterr().out
