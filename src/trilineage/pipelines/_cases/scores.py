"""Scores of the cases recipe: all lineages together beside each alone, on the same held-out patients."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from trilineage.core.records import Comparison, Score
from trilineage.core.seeding import derive_seed
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.comparison import compare_predictions
from trilineage.evaluation.hierarchy.conformal import score_sets
from trilineage.evaluation.hierarchy.scores import compare_nodes, score_nodes
from trilineage.evaluation.intervals import score_predictions
from trilineage.pipelines._cases.config import Config
from trilineage.pipelines._cases.fusing import Fused
from trilineage.pipelines._cases.hearing import Opinions

FUSED, SHARES = "fused", "baseline: class shares"
EVERYONE, COMPLETE, WITH = "all", "with every lineage", "with "
"""Populations of the scores: everyone, those whom every lineage knows, those whom one lineage knows (`with rna`)."""

Said = Float[np.ndarray, "patient leaf"]


class Results(NamedTuple):
    """What goes into the Run."""

    scores: list[Score]
    """All together, each lineage alone and the class shares, per patient."""
    comparisons: list[Comparison]
    """All together minus each lineage alone, on the same patients."""
    sets: list[Score]
    """Coverage and size of the sets."""


def score_fusion(fused: Fused, config: Config) -> Results:
    """Score held-out patients.

    All together are scored on everyone, beside each lineage on the patients whom it knows, and beside all of them on
    the patients whom every lineage knows. Where everyone has everything there is one population only.
    """
    tree, opinions = fused.fusion.hearing.tree, fused.test
    scores: list[Score] = []
    comparisons: list[Comparison] = []
    prior = np.tile(fused.fusion.pool.prior, (len(opinions.fused), 1))
    for population, rows, names in populations(opinions):
        if not (opinions.nodes[rows] > 0).any():
            continue
        subjects = {FUSED: opinions.fused} | {name: _alone(opinions, name) for name in names}
        subjects |= {SHARES: prior} if population == EVERYONE else {}
        for subject, said in subjects.items():
            scores += _scores(opinions, tree, subject, said, (population, rows), config)
        for name in names:
            comparisons += _compared(opinions, tree, name, (population, rows), config)
    return Results(scores, comparisons, _set_scores(fused, config))


def populations(opinions: Opinions) -> list[tuple[str, Bool[np.ndarray, " patient"], tuple[str, ...]]]:
    """Return the populations: name, patients, and the lineages that are scored alone on them."""
    lineages, has = opinions.aligned.lineages, opinions.aligned.has
    everyone = np.ones(has.shape[1], dtype=bool)
    if has.all():
        return [(EVERYONE, everyone, lineages)]
    found: list[tuple[str, Bool[np.ndarray, " patient"], tuple[str, ...]]] = [(EVERYONE, everyone, ())]
    everything = np.all(has, axis=0)
    if len(lineages) > 1 and everything.any():
        found.append((COMPLETE, everything, lineages))
    return found + [
        (f"{WITH}{name}", own, (name,)) for name, own in zip(lineages, has, strict=True) if own.any()
    ]


def _alone(opinions: Opinions, name: str) -> Said:
    return opinions.alone[opinions.aligned.lineages.index(name)]


def _scores(
    opinions: Opinions,
    tree: Taxonomy,
    subject: str,
    said: Said,
    where: tuple[str, Bool[np.ndarray, " patient"]],
    config: Config,
) -> list[Score]:
    """Score one subject on one population: its classes, and its decisions on the tree."""
    population, rows = where
    seed = derive_seed(config.seed, "evaluation")
    found = score_nodes(
        opinions.of(tree, said, rows), tree, unit="patient", settings=config.tree, seed=seed, subject=subject
    )
    classes = opinions.classes_of(tree, said, rows)
    assert classes.labels is not None
    if (classes.labels >= 0).any():
        found = (
            score_predictions(classes, unit="patient", settings=config.evaluation, seed=seed, subject=subject)
            + found
        )
    return [replace(score, population=population) for score in found]


def _compared(
    opinions: Opinions,
    tree: Taxonomy,
    name: str,
    where: tuple[str, Bool[np.ndarray, " patient"]],
    config: Config,
) -> list[Comparison]:
    """Compare all together with one lineage alone on one population."""
    population, rows = where
    seed, names = derive_seed(config.seed, "evaluation"), (FUSED, name)
    pair = [opinions.fused, _alone(opinions, name)]
    first, second = (opinions.of(tree, said, rows) for said in pair)
    found = compare_nodes(first, second, tree, names=names, unit="patient", settings=config.tree, seed=seed)
    one, other = (opinions.classes_of(tree, said, rows) for said in pair)
    assert one.labels is not None
    if (one.labels >= 0).any():
        found = (
            compare_predictions(
                one, other, names=names, unit="patient", settings=config.evaluation, seed=seed
            )
            + found
        )
    return [replace(comparison, population=population) for comparison in found]


def _set_scores(fused: Fused, config: Config) -> list[Score]:
    fusion, test = fused.fusion, fused.test
    known = test.nodes > 0
    if fusion.conformal is None or not known.any():
        return []
    return score_sets(
        test.of(fusion.hearing.tree, test.fused, known),
        fusion.hearing.tree,
        fusion.conformal,
        unit="patient",
        level=config.evaluation.level,
        n_bootstrap=config.evaluation.n_bootstrap,
        seed=derive_seed(config.seed, "evaluation"),
    )
