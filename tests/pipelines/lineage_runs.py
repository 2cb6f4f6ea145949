"""Runs of the three lineages as fusion reads them: parts, labels and probabilities of made-up patients, no models."""

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Prediction

LEAVES = ("normal", "reactive", "ALL", "AML", "APML", "CLL", "CML")
PARTS = ("train",) * 5 + ("valid",) * 6 + ("test",) * 6


class Written(Settings):
    """Stands for the configuration of a recipe."""

    weighting: str = "class_donor"
    """As of the recipes."""


def cohort(classes=LEAVES, parts=PARTS):
    """Return patient, label and part of each patient: so many of each class in each part."""
    rows = [(label, part) for label in classes for part in parts]
    return [(f"p{number:03d}", label, part) for number, (label, part) in enumerate(rows)]


def write_run(
    folder, kind, patients, *, classes=LEAVES, skill=2.0, seed=0, n_samples=3, config=None, finish=True
):
    """Write a Run of a lineage that gives the true class a logit of `skill` above the others, with noise.

    `patients` are (name, label, part); a label that is no class gets noise only.
    """
    rng = np.random.default_rng(seed)
    run = Run.create(folder, kind=kind, config=config or Written(), seed=0, command=f"trilineage {kind} fit")
    table = {name: [] for name in ("sample", "patient", "label", "fold", "part")}
    said = {"valid": [], "test": []}
    for name, label, part in patients:
        own = rng.normal(size=len(classes)) + skill * (np.array(classes) == label)
        for number in range(n_samples):
            for key, value in zip(table, (f"{name} {number}", name, label, "holdout", part), strict=True):
                table[key].append(value)
            if part in said:
                logits = own + 0.2 * rng.normal(size=len(classes))
                said[part].append((f"{name} {number}", name, label, np.exp(logits) / np.exp(logits).sum()))
    run.write_table("split.csv", table)
    for part, file in (("test", "predictions"), ("valid", "validation")):
        if said[part]:
            run.write_predictions(_prediction(said[part], classes), file)
    if finish:
        run.finish()
    return run


def _prediction(rows, classes):
    samples, patients, labels, p = (list(column) for column in zip(*rows, strict=True))
    codes = np.array([classes.index(label) if label in classes else -1 for label in labels])
    return Prediction(np.array(samples), np.array(patients), tuple(classes), np.stack(p), codes)
