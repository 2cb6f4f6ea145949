"""What a command shows: scores in a table that names nobody's markup, patients, genes."""

import types

import numpy as np

from trilineage.cli.results import show_genes, show_images, show_predictions, show_run
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


def image_score(metric: str, value: float, **about) -> Score:
    return Score(metric, value, value - 0.1, value + 0.1, **{"n_samples": 40, "n_patients": 10, **about})


def test_a_run_on_images_shows_what_decisions_on_the_tree_are_worth(tmp_path, capsys):
    run = Run.create(tmp_path / "run", kind="images", config=NoOptions(), seed=0)
    names = ("full_path_accuracy", "clinical_cost", "hierarchical_f1", "leaf_balanced_accuracy", "kappa")
    run.add_scores(image_score(name, 0.5) for name in names)
    show_run(run)
    out = capsys.readouterr().out
    assert "Per image: 40 images of 10 patients" in out
    assert all(
        heading in out for heading in ("Leaf balanced accuracy", "Hierarchical F1", "Clinical cost\xa0↓")
    )
    assert "kappa" not in out


def test_sites_stand_in_one_table_after_the_whole(tmp_path, capsys):
    run = Run.create(tmp_path / "run", kind="images", config=NoOptions(), seed=0)
    for population, value in (("all", 0.6), ("site A", 0.8), ("site site-2", 0.4)):
        run.add_scores([image_score("leaf_balanced_accuracy", value, population=population)])
    show_run(run)
    out = capsys.readouterr().out
    assert out.index("0.60 (0.50–0.70)") < out.index("The model per image at each site")
    assert "site A (40 images of 10 patients)" in out
    assert "site-2 (40 images of 10 patients)" in out
    assert "site site-2" not in out


def test_maps_are_shown_by_what_can_be_said_of_them(tmp_path, capsys):
    run = Run.create(tmp_path / "run", kind="images", config=NoOptions(), seed=0)
    names = ("insertion_auc", "deletion_auc", "iou", "pointing")
    run.add_scores((image_score(name, 0.5, subject="gradcam") for name in names), "explain/scores.json")
    show_run(run, "explain/")
    out = capsys.readouterr().out
    assert all(heading in out for heading in ("Pointing game", "Deletion\xa0↓", "Insertion"))
    assert "Overlap" not in out


def test_images_without_patients_are_counted_and_unreadable_ones_named(capsys, tmp_path):
    prediction = types.SimpleNamespace(samples=["a", "b"])
    found = types.SimpleNamespace(prediction=prediction, patients={}, unreadable=(("c.png", "truncated"),))
    show_images(found, tmp_path)
    captured = capsys.readouterr()
    assert captured.out == f"2 images: {tmp_path}\n"
    assert captured.err == "left out: c.png: truncated\n"
