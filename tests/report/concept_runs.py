"""Runs as the concepts recipe leaves them, filled with made-up figures: nothing here was trained."""

from pathlib import Path

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Comparison, Score

SUBJECTS = ("autoencoder", "raw neurons", "principal components", "random dictionary")
CLASSES = ("basophil", "monocyte", "platelet")
COMPETITOR = "baseline: mean-pooled CLS"


class ConceptOptions(Settings):
    """Stands for the configuration of the recipe."""

    taxonomy: str = "white_cells"
    """Tree."""
    attributes: tuple[str, ...] = ("cell_size",)
    """Attributes."""


def begun(path: Path, kind: str = "concepts") -> Run:
    """Begin a Run."""
    data = {"path": "/data/clinic/smears", "sha256": "cd" * 32, "n_images": 320}
    return Run.create(
        path, kind=kind, config=ConceptOptions(), seed=3, command="trilineage concepts fit", data=data
    )


def concept_run(path: Path, *, has_patients: bool = True, merit: float = 0.1) -> Run:
    """Write a whole Run; the controls stay behind the autoencoder by `merit`."""
    run = begun(path)
    write_cohort(run, has_patients=has_patients)
    write_figures(run, merit)
    write_targets(run, merit)
    write_reconstruction(run)
    write_explanations(run)
    run.write_json("shift.json", [shift_row("held-out images", 0.97), shift_row("site B", 0.6)])
    if has_patients:
        write_patients(run)
    run.finish()
    return run


def write_cohort(run: Run, *, has_patients: bool) -> None:
    """Write the images, their tokens, the split and the curves of training."""
    classes = [{"label": name, "n_patients": 20, "n_samples": 40} for name in CLASSES]
    about = {"n_samples": 120, "n_patients": 60, "has_patients": has_patients, "classes": classes}
    about |= {"taxonomy": "white_cells", "sites": [{"name": "A", "n_samples": 120}], "notes": []}
    run.write_json("cohort.json", {**about, "attributes": {"cell_size": 100}, "working_size": [96, 96]})
    source = {
        "backbone": "vit_tiny",
        "block": 10,
        "grid": [6, 6],
        "keep": "both",
        "width": 192,
        "weights": "ef" * 32,
    }
    run.write_json("tokens.json", {"source": source, "n_images": 120, "n_tokens": 4440})
    names = [f"cell-{i}" for i in range(6)]
    columns = {"sample": names, "patient": names, "label": [*CLASSES, *CLASSES], "fold": ["0"] * 6}
    run.write_table("split.csv", {**columns, "part": ["train"] * 3 + ["test"] * 3})
    epochs = [{"epoch": e, "loss": 1.0 / e, "valid_loss": 1.1 / e} for e in (1, 2)]
    run.write_json("history.json", {"holdout": {"autoencoder": {"epochs": epochs}}})


def write_figures(run: Run, merit: float) -> None:
    """Write the figures of each dictionary and the table of concepts."""
    rows = []
    for subject in SUBJECTS:
        middle = 0.4 if subject == "autoencoder" else 0.4 - merit
        ends = [middle - 0.1, middle, middle + 0.1]
        known = {"monosemanticity": ends, "relative_entropy": ends, "spread": None, "held_out_auroc": ends}
        row = {"subject": subject, "n_latents": 768, "n_alive": 300, "n_strong": 290, "n_concepts": 86}
        row |= {"monosemanticity_by_chance": 0.02, "share_alike": 0.5, "quartiles": known}
        rows.append({**row, "returning": matched(0.8)} if subject == "autoencoder" else row)
    run.write_json("figures.json", rows)
    columns = {
        "latent": [5, 7, 9],
        "is_concept": [True, True, False],
        "best_target": ["class=platelet", "", ""],
    }
    columns |= {"auroc": [0.97, 0.5, 0.5], "held_out_auroc": [0.94, None, None], "frequency": [0.4, 0.2, 0.1]}
    run.write_table("concepts.csv", {**columns, "monosemanticity": [0.5, 0.4, 0.1]})


def matched(cosine: float) -> dict[str, float]:
    """Return how a dictionary comes back in another."""
    about = {"n_latents": 290.0, "n_dictionaries": 1.0, "score": 0.7, "mutual": 0.9, "found": 0.85}
    return {**about, "cosine": cosine, "chance": 0.25}


def write_targets(run: Run, merit: float) -> None:
    """Write the areas of three classes and of the two values of an attribute."""
    areas = {"class=basophil": 0.9, "class=monocyte": 0.8, "class=platelet": 0.7}
    areas |= {"cell_size=big": 0.85, "cell_size=small": 0.65}
    rows = []
    for subject in SUBJECTS:
        for target, area in areas.items():
            value = area if subject == "autoencoder" else area - merit
            row = {"target": target, "subject": subject, "latent": 5, "train_auroc": 0.95, "note": ""}
            rows.append({**row, "value": value, "low": value - 0.1, "high": value + 0.1})
    run.write_json("targets.json", [{**row, "n_images": 60, "n_patients": 30} for row in rows])


def write_reconstruction(run: Run, *, explained: float = 0.8, dead: float = 0.1) -> None:
    """Write how well the tokens are given back, and what a classifier keeps."""
    shares = {"fvu": 1 - explained, "l0": 8.0, "l1": 50.0, "dead_share": dead, "dense_share": 0.03}
    rows = [
        {"subject": subject, "part": part, "kind": kind, "n_images": 60, "n_tokens": 2220}
        | {"explained_variance": explained if subject == "autoencoder" else 1.0, **shares}
        for subject in SUBJECTS
        for part in ("train", "test")
        for kind in ("all", "cls", "patch")
    ]
    run.write_json("reconstruction.json", rows)
    values = {"loss: clean": 1.1, "loss: reconstruction": 1.7, "loss: mean": 3.0, "loss recovered": 0.68}
    scores = [
        Score(metric, value, value - 0.02, value + 0.02, "autoencoder", "patient")
        for metric, value in values.items()
    ]
    run.write_json("recovered.json", {"note": "", "scores": [score.to_dict() for score in scores]})


def write_explanations(run: Run) -> None:
    """Write what `concepts explain` leaves: cards, an atlas, regions, pathways."""
    cards = [
        {"latent": 5, "name": "small granules", "is_draft": True},
        {"latent": 7, "name": "", "is_draft": True},
    ]
    run.write_json("explain/cards.json", {"cards": cards})
    run.write_text("explain/atlas/index.html", "<!doctype html>")
    regions = [
        {"subject": subject, "region": region, "n_latents": 100, "share": [0.1, share, 0.9], "area": 0.5}
        for subject in SUBJECTS
        for region, share in (("cell", 0.75), ("background", 0.25))
    ]
    run.write_json("explain/focus.json", {"n_images": 54, "rows": regions})
    latents = [{"latent": latent, "first_order": -0.02, "change": -0.03, "n_active": 8} for latent in (5, 7)]
    decisions = [{"decision": "immature_granulocyte", "n_images": 9, "latents": latents}]
    curves = {"counts": [0, 1, 5], "n_images": 24, "off": [0.6, 0.4, 0.3], "on": [0.3, 0.5, 0.6]}
    curves |= {"random_off": [0.6, 0.6, 0.5], "random_on": [0.3, 0.3, 0.4], "off_gap": 0.13, "on_gap": 0.13}
    run.write_json("explain/pathways.json", {"n_images": 96, "decisions": decisions, "curves": curves})


def shift_row(cohort: str, correlation: float) -> dict[str, object]:
    """Return how a cohort stands against the training images."""
    metrics = (
        "correlation_log_mean_activation",
        "rank_correlation_mean_activation",
        "correlation_log_frequency",
    )
    scores = [
        Score(m, correlation, correlation - 0.03, correlation + 0.02, cohort, "patient") for m in metrics
    ]
    about = {"cohort": cohort, "n_images": 60, "note": "", "n_strong": [290, 280, 270], "n_unknown": 3}
    return {**about, "scores": [score.to_dict() for score in scores], "lost": [5, 11], "new": []}


def write_patients(run: Run) -> None:
    """Write the classification of patients, what marks each disease, and how many cells are enough."""
    numbers = {"unit": "patient", "n_samples": 30, "n_patients": 30}
    for subject, value in (("model", 0.8), (COMPETITOR, 0.7)):
        scores = [
            Score(metric, value, value - 0.1, value + 0.1, subject, **numbers)
            for metric in ("weighted_f1", "balanced_accuracy", "macro_f1", "auroc")
        ]
        scores += [
            Score("auroc", value, value - 0.1, value + 0.1, subject, population=f"class {name}", **numbers)
            for name in CLASSES
        ]
        run.add_scores(scores)
    pair = ("balanced_accuracy", "model", COMPETITOR)
    run.add_comparisons([Comparison(*pair, 0.1, 0.02, 0.2, 0.01, unit="patient", n_patients=30)])
    labels = np.repeat(np.arange(3), 10)
    probabilities = np.full((2, 30, 3), 0.2)
    probabilities[:, np.arange(30), labels] = 0.6
    probabilities[:, 0] = [0.1, 0.8, 0.1]
    arrays = {"probabilities: model": probabilities, "names": np.array([f"p{i:02d}" for i in range(30)])}
    run.write_arrays("out_of_fold.npz", classes=np.array(CLASSES), labels=labels, **arrays)
    run.write_json("patients.json", {"note": "", "n_patients": 30})
    run.write_json("disease.json", disease_rows())
    steps = [
        {"n_cells": n, "n_patients": 30, "correlation": [at - 0.1, at, at + 0.05]}
        for n, at in ((5, 0.6), (20, 0.92))
    ]
    about = {"against": "the other cells of the patient", "agreement": 0.9, "n_patients": 30}
    run.write_json("cells.json", {**about, "steps": steps, "n_reaching": 25, "median_needed": 20})


def disease_rows() -> list[dict[str, object]]:
    """Return one disease with a concept, one without, and one with too few patients."""
    concept = {"latent": 5, "effect": 1.4, "low": 0.9, "high": 1.9, "difference": 0.3, "auroc": 0.9}
    concept |= {"p_value": 0.001, "p_max": 0.02, "q_value": 0.004}
    tested = {"note": "", "n_tested": 280, "n_patients": [10, 20]}
    return [
        {"disease": "AML", **tested, "n_specific": 1, "concepts": [concept]},
        {"disease": "ALL", **tested, "n_specific": 0, "concepts": []},
        {"disease": "CLL", "note": "too few patients have it", "concepts": []},
    ]


def compared_run(path: Path) -> Run:
    """Write a comparison of two cohorts, and of two dictionaries."""
    run = begun(path, "concepts.compare")
    cohorts = {"first": "north", "second": "south", "kind": "cohorts", **shift_row("south", 0.7)}
    far = {
        "first": "north",
        "second": "east",
        "kind": "cohorts",
        "note": "too few latents are strong in both",
    }
    ways = {"first_in_second": matched(0.8), "second_in_first": matched(0.5)}
    twins = {"first": "north", "second": "west", "kind": "dictionaries", "note": "", **ways}
    run.write_json(
        "pairs.json", [{k: v for k, v in cohorts.items() if k not in ("cohort", "n_images")}, far, twins]
    )
    quartiles = {"monosemanticity": [0.1, 0.2, 0.3], "held_out_auroc": None}
    about = {"n_latents": 768, "n_alive": 300, "n_strong": 290, "n_concepts": 86, "quartiles": quartiles}
    run.write_json(
        "dictionaries.json", [{"name": name, **about} for name in ("north", "west")] + [{"name": "south"}]
    )
    run.finish()
    return run


def subtype_run(path: Path, *, note: str = "") -> Run:
    """Write a classification of patients; with a note instead, where there was none."""
    run = begun(path, "concepts.subtype")
    if note:
        run.write_json("patients.json", {"note": note, "n_patients": 3})
    else:
        write_patients(run)
    run.finish()
    return run
