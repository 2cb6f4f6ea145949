"""Options chosen by patient-grouped cross-validation inside the training part of a split."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from trilineage.core.overrides import parse_assignment
from trilineage.data.splits import Split, patient_folds
from trilineage.evaluation.intervals import pool_predictions
from trilineage.evaluation.metrics import classification_metrics
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.fold import fit_fold
from trilineage.pipelines._rna.material import Material
from trilineage.pipelines._variants import combinations, named
from trilineage.training.place import Place

logger = logging.getLogger(__name__)


def select_options(material: Material, split: Split, config: Config, place: Place) -> Config:
    """Return the configuration of the alternative that scores best on held-out training patients.

    Test samples of the split are never looked at. Ties go to the alternative named first. Without alternatives the
    configuration comes back as it is.
    """
    if not config.selection.options:
        return config
    inner = inner_splits(material, split, config, place.seed)
    candidates = combinations(alternatives(config))
    scores = []
    for number, candidate in enumerate(candidates):
        variant = config.replace(**candidate)
        trial = place.stage(f"selection{number}")
        folds = [
            fit_fold(material, part, variant, trial.stage(f"inner{index}"))
            for index, part in enumerate(inner)
        ]
        pooled = pool_predictions([fold.prediction for fold in folds])
        assert pooled.labels is not None
        scores.append(classification_metrics(pooled.labels, pooled.probabilities)[config.selection.metric])
        logger.info("%s: %s = %.3f (inner folds)", named(candidate), config.selection.metric, scores[-1])
    best = int(np.nanargmax(scores))
    logger.info("chosen inside %s: %s", split.name, named(candidates[best]))
    return config.replace(**candidates[best])


def inner_splits(material: Material, split: Split, config: Config, seed: int) -> tuple[Split, ...]:
    """Divide the training and validation patients of a split into folds; everyone else is unused."""
    inside = np.flatnonzero(np.isin(split.parts, ("train", "valid")))
    folds = patient_folds(
        material.cohort.subset(inside),
        n_folds=config.selection.n_folds,
        valid_fraction=config.split.valid_fraction,
        seed=seed,
    )
    spread = []
    for fold in folds:
        parts = np.full(len(split.parts), "unused", dtype="<U6")
        parts[inside] = fold.parts
        spread.append(replace(fold, parts=parts))
    return tuple(spread)


def alternatives(config: Config) -> dict[str, tuple[Any, ...]]:
    """Return the values of each option under choice, from texts such as `classifier.dropout=0.0,0.1`."""
    found: dict[str, tuple[Any, ...]] = {}
    for text in config.selection.options:
        key, written = parse_assignment(text)
        found[key] = tuple(value_of(config, key, part) for part in written.split(","))
    return found


def value_of(config: Config, key: str, written: str) -> Any:
    """Read one value as the option's type needs; several numbers of a tuple are joined by `x` (256x128)."""
    text = (
        written.strip().replace("x", ",")
        if "x" in written and written.replace("x", "").isdigit()
        else written.strip()
    )
    node: Any = type(config).load(None, [f"{key}={text}"])
    for name in key.split("."):
        node = getattr(node, name)
    return node
