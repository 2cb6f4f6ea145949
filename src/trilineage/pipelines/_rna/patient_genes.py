"""The genes behind the decision for each test patient, with their expression beside that of the training patients."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from trilineage.core.artifacts import Run
from trilineage.core.progress import progress
from trilineage.core.records import Prediction
from trilineage.data.splits import Split
from trilineage.evaluation.intervals import aggregate_patients
from trilineage.models.diagnoser import Diagnoser
from trilineage.pipelines._rna.attribution import attributions
from trilineage.pipelines._rna.material import Material

PATIENT_GENES = "explain/patient_genes.csv"
N_GENES = 25
"""Genes for, and as many against, the decision for a patient."""


class TrainingExpression(NamedTuple):
    """Mean normalised expression of the training patients, each weighing the same."""

    mean: Float[np.ndarray, " gene"]
    """Over all of them."""
    deviation: Float[np.ndarray, " gene"]
    """Standard deviation over all of them; 0 with fewer than two."""
    of_class: Float[np.ndarray, "class gene"]
    """Over those of each class; NaN for a class without any."""


def write_patient_genes(
    run: Run,
    diagnoser: Diagnoser,
    material: Material,
    split: Split,
    baselines: Float[np.ndarray, "class gene"],
    *,
    n_cells: int,
    device: torch.device,
) -> None:
    """Attribute the decision for each test patient to genes, and list the strongest.

    The decision is the class of the greatest mean probability; it is attributed with the model that predicts, whatever
    the truth, in at most `n_cells` samples of the patient, spread evenly over them.

    Parameters
    ----------
    baselines
        Expression that each class is told from (`explain.reference_means`).
    n_cells
        Samples of a patient, at most.
    """
    decided = aggregate_patients(replace(run.predictions(), labels=None))
    decisions = decided.probabilities.argmax(axis=1)
    shown = chosen_samples(run.predictions(), decided.patients, material, n_cells)
    found = np.zeros((len(decisions), material.expression.n_vars), np.float32)
    with progress("genes of patients", sum(map(len, shown)), "cells") as bar:
        for code in np.unique(decisions).tolist():
            own = np.flatnonzero(decisions == code)
            cells = np.concatenate([shown[row] for row in own])
            rows = np.repeat(own, [len(shown[row]) for row in own])
            done = 0
            for part, values, _ in attributions(
                diagnoser, material, cells, baselines[code], code, device=device
            ):
                np.add.at(found, rows[done : done + len(part)], values.astype(np.float32))
                done += len(part)
                bar.advance(len(part))
    found /= np.array([[len(cells)] for cells in shown], np.float32)
    training = training_expression(material, split)
    columns: dict[str, list[Any]] = {}
    for row, code in enumerate(decisions.tolist()):
        mean = material.expression.mean(material.rows[shown[row]])
        about = {"patient": str(decided.patients[row]), "decision": decided.classes[code]}
        about |= {"n_samples": len(shown[row])}
        for key, column in _rows(found[row], mean, training, material, about, code).items():
            columns.setdefault(key, []).extend(column)
    run.write_table(PATIENT_GENES, columns)


def chosen_samples(
    prediction: Prediction, patients: Shaped[np.ndarray, " patient"], material: Material, n_cells: int
) -> list[Int[np.ndarray, " cell"]]:
    """Return the positions in the cohort of at most so many samples of each patient, evenly over them."""
    places = {str(name): place for place, name in enumerate(material.cohort.samples)}
    positions = np.array([places[str(name)] for name in prediction.samples])
    chosen = []
    for name in patients:
        own = positions[prediction.patients == name]
        steps = np.linspace(0, len(own) - 1, min(n_cells, len(own))).astype(np.int64)
        chosen.append(own[steps])
    return chosen


def training_expression(material: Material, split: Split) -> TrainingExpression:
    """Average the training patients one after the other; a patient of several classes counts in each of them."""
    learned, cohort = split.positions("train"), material.cohort
    n_genes, n_classes = material.expression.n_vars, len(cohort.classes)
    sums, squares = np.zeros(n_genes), np.zeros(n_genes)
    of_class, counts = np.zeros((n_classes, n_genes)), np.zeros(n_classes)
    names = np.unique(cohort.patients[learned])
    for name in names:
        own = learned[cohort.patients[learned] == name]
        mean = material.expression.mean(material.rows[own])
        sums, squares = sums + mean, squares + mean**2
        codes = np.unique(cohort.label_codes[own])
        of_class[codes] += mean
        counts[codes] += 1
    n = len(names)
    variance = np.maximum(squares - sums**2 / n, 0.0) / max(n - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return TrainingExpression(sums / n, np.sqrt(variance), of_class / counts[:, None])


def _rows(
    attribution: Float[np.ndarray, " gene"],
    expression: Float[np.ndarray, " gene"],
    training: TrainingExpression,
    material: Material,
    about: dict[str, Any],
    code: int,
) -> dict[str, list[Any]]:
    """Return the strongest genes for and against one decision."""
    order = np.argsort(-attribution, kind="stable")
    n_for = min(N_GENES, int((attribution > 0).sum()))
    n_against = min(N_GENES, int((attribution < 0).sum()))
    genes = np.concatenate([order[:n_for], order[::-1][:n_against]])
    table = material.expression.genes
    return {
        **{key: [value] * len(genes) for key, value in about.items()},
        "speaks": ["for"] * n_for + ["against"] * n_against,
        "rank": [*range(1, n_for + 1), *range(1, n_against + 1)],
        "gene": table.keys[genes].tolist(),
        "symbol": table.names[genes].tolist(),
        "attribution": attribution[genes].tolist(),
        "expression": expression[genes].tolist(),
        "training_mean": training.mean[genes].tolist(),
        "training_deviation": training.deviation[genes].tolist(),
        "class_mean": training.of_class[code, genes].tolist(),
    }
