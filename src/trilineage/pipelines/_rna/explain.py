"""Explain a Run: attribute its classes to genes on held-out patients, over several seeds, and score against a truth."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from trilineage.core.artifacts import Run
from trilineage.core.errors import FormatError
from trilineage.core.progress import progress
from trilineage.core.seeding import generator
from trilineage.data.simulate.truth import Truth, read_truth
from trilineage.data.splits import Split
from trilineage.explain.genes import (
    GeneTable,
    Stability,
    patient_means,
    recovery,
    stability,
    tabulate_genes,
)
from trilineage.models.diagnoser import Diagnoser
from trilineage.pipelines._rna.attribution import attributions
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.fold import fit_fold, whole_split
from trilineage.pipelines._rna.material import Material, gather, split_patients
from trilineage.pipelines._rna.patient_genes import write_patient_genes
from trilineage.pipelines._rna.store import KIND, read_diagnoser
from trilineage.pipelines._rna.transfer import require_same_data
from trilineage.pipelines._runs import FINAL, prediction_weights
from trilineage.training.place import Place, choose_place

Reference = Literal["rest", "healthy"]

logger = logging.getLogger(__name__)


def explain_run(
    run: Run | Path | str,
    *,
    n_seeds: int,
    reference: Reference,
    max_samples: int,
    per_patient: int,
    device: str,
) -> Run:
    """Write the genes of every class; see `trilineage.rna.explain`."""
    run = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    prediction_weights(run)
    config = run.config(Config)
    material = gather(config)
    require_same_data(run, material)
    split = kept_split(run, material, config)
    place = choose_place(config.seed, device).of_run(run)
    cells = shown_cells(material, split, max_samples, seed=config.seed)
    baselines = reference_means(material, split, config, reference)
    found = []
    for number in range(n_seeds):
        diagnoser = seeded_diagnoser(run, material, split, config, place, number=number)
        found.append(
            attribute(diagnoser, material, cells, baselines, place, name=f"genes, seed {number + 1}")
        )
    if place.processes.is_main:
        write_genes(run, material, cells, found, read_truth_of(config))
        if per_patient:
            diagnoser = seeded_diagnoser(run, material, split, config, place, number=0)
            write_patient_genes(
                run, diagnoser, material, split, baselines, n_cells=per_patient, device=place.device
            )
    return run


def kept_split(run: Run, material: Material, config: Config) -> Split:
    """Return the split of the model that predicts."""
    return (
        whole_split(material, config)
        if run.has(f"weights/{FINAL}.safetensors")
        else split_patients(material, config)[0]
    )


def shown_cells(material: Material, split: Split, max_samples: int, *, seed: int) -> Int[np.ndarray, " cell"]:
    """Choose the samples to attribute: held-out ones if there are any, at most so many, evenly over the classes."""
    held_out = split.positions("test")
    pool = held_out if len(held_out) else np.flatnonzero(split.parts != "unused")
    labels = material.cohort.label_codes
    per_class = max(1, max_samples // len(material.cohort.classes))
    rng = generator(seed, "explained cells")
    chosen = []
    for code in range(len(material.cohort.classes)):
        members = rng.permutation(pool[labels[pool] == code])
        turns = _turns(material.cohort.patients[members])
        chosen.append(members[np.argsort(turns, kind="stable")[:per_class]])
    return np.sort(np.concatenate(chosen))


def reference_means(
    material: Material, split: Split, config: Config, reference: Reference
) -> Float[np.ndarray, "class gene"]:
    """Return, per class, the mean expression its cells are compared with: of the other classes, or of healthy people.

    Taken over the training part, every class weighing the same.
    """
    learned = split.positions("train")
    labels, classes = material.cohort.label_codes[learned], material.cohort.classes
    means = np.stack(
        [material.expression.mean(material.rows[learned[labels == code]]) for code in range(len(classes))]
    )
    if reference == "healthy" and config.healthy_label in classes:
        return np.tile(means[classes.index(config.healthy_label)], (len(classes), 1)).astype(np.float32)
    rest: Float[np.ndarray, "class gene"] = (means.sum(axis=0) - means) / (len(classes) - 1)
    return rest.astype(np.float32)


def seeded_diagnoser(
    run: Run, material: Material, split: Split, config: Config, place: Place, *, number: int
) -> Diagnoser:
    """Return the model of the Run, or for later numbers one fitted anew with another seed (kept as weights)."""
    if number == 0:
        return read_diagnoser(run, prediction_weights(run), device=place.device).diagnoser
    stage = place.stage(f"explain seed {number}")
    options = read_diagnoser(run, prediction_weights(run), device=place.device).config
    return fit_fold(material, split, options, stage).diagnoser


def attribute(
    diagnoser: Diagnoser,
    material: Material,
    cells: Int[np.ndarray, " cell"],
    baselines: Float[np.ndarray, "class gene"],
    place: Place,
    *,
    name: str,
) -> list[Float[np.ndarray, "patient gene"]]:
    """Return, per class, the attribution of its cells averaged over each patient."""
    labels = material.cohort.label_codes[cells]
    means, gaps = [], []
    with progress(name, len(cells), "cells") as bar:
        for code in range(len(material.cohort.classes)):
            members = cells[labels == code]
            parts = []
            for chosen, values, gap in attributions(
                diagnoser, material, members, baselines[code], code, device=place.device
            ):
                gaps.append(gap)
                parts.append(values)
                bar.advance(len(chosen))
            means.append(patient_means(np.concatenate(parts), material.cohort.patients[members]))
    logger.info("%s: attributions miss their sum by %.2f %% at most", name, 100 * max(gaps))
    return means


def write_genes(
    run: Run,
    material: Material,
    cells: Int[np.ndarray, " cell"],
    found: list[list[Float[np.ndarray, "patient gene"]]],
    truth: Truth | None,
) -> None:
    """Write the table of genes, their stability over seeds, and their score against the truth."""
    columns: dict[str, list[Any]] = {}
    steady, recovered = {}, {}
    for code, label in enumerate(material.cohort.classes):
        per_seed = [means[code] for means in found]
        table = tabulate_genes(np.mean(per_seed, axis=0))
        over_seeds = stability([means.mean(axis=0) for means in per_seed])
        effects = _effects(truth, label, material)
        for key, values in _rows(label, table, over_seeds, effects, material).items():
            columns.setdefault(key, []).extend(values)
        steady[label] = {k: v for k, v in asdict(over_seeds).items() if k != "share_of_seeds"}
        score = None if effects is None else recovery(table.attribution, effects)
        if score is not None:
            recovered[label] = asdict(score)
    run.write_table("explain/genes.csv", columns)
    run.write_json(
        "explain/stability.json", {"n_seeds": len(found), "n_samples": len(cells), "classes": steady}
    )
    if recovered:
        run.write_json("explain/recovery.json", {"classes": recovered})


def read_truth_of(config: Config) -> Truth | None:
    """Return the truth of simulated data; None for real ones."""
    try:
        return read_truth(str(config.data.path))
    except FormatError:
        return None


def _rows(
    label: str, table: GeneTable, over_seeds: Stability, effects: np.ndarray | None, material: Material
) -> dict[str, list[Any]]:
    order = table.order
    genes = material.expression.genes
    rows: dict[str, list[Any]] = {
        "class": [label] * len(order),
        "rank": list(range(1, len(order) + 1)),
        "gene": genes.keys[order].tolist(),
        "symbol": genes.names[order].tolist(),
        "attribution": table.attribution[order].tolist(),
        "low": table.low[order].tolist(),
        "high": table.high[order].tolist(),
        "share_of_patients": table.share_of_patients[order].tolist(),
        "share_of_seeds": over_seeds.share_of_seeds[order].tolist(),
    }
    if effects is not None:
        rows["true_effect"] = effects[order].tolist()
    return rows


def _effects(truth: Truth | None, label: str, material: Material) -> Float[np.ndarray, " gene"] | None:
    """Return the true effect of a class on the genes of the file, or None where there is no truth for it."""
    if truth is None or label not in truth.classes:
        return None
    of_gene = dict(zip(map(str, truth.genes), truth.effects(label), strict=True))
    genes = material.expression.genes
    return np.array(
        [
            of_gene.get(i, of_gene.get(s, 0.0))
            for i, s in zip(genes.ids.tolist(), genes.symbols.tolist(), strict=True)
        ]
    )


def _turns(patients: np.ndarray) -> Int[np.ndarray, " cell"]:
    """Number the cells of each patient 0, 1, 2, ... so that sorting by it takes patients in turn."""
    grouped = np.argsort(patients, kind="stable")
    _, starts, counts = np.unique(patients[grouped], return_index=True, return_counts=True)
    turns = np.empty(len(patients), dtype=np.int64)
    turns[grouped] = np.arange(len(patients)) - np.repeat(starts, counts)
    return turns
