"""From the Runs of the lineages to one opinion per patient: weighed on validation patients, given on test patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from trilineage.core.records import Prediction
from trilineage.core.seeding import derive_seed
from trilineage.data.cohort import shown
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.evaluation.calibration import fit_temperature
from trilineage.evaluation.fusion import Aligned, Evidence, align, spread
from trilineage.evaluation.hierarchy.conformal import Conformal, fit_conformal
from trilineage.evaluation.opinion_pool import Pool, cross_fit, fit_pool, weight_intervals
from trilineage.pipelines._cases.config import Config
from trilineage.pipelines._cases.evidence import (
    Lineage,
    class_shares,
    half_heard,
    held_leaves,
    patient_nodes,
    shared_tree,
)
from trilineage.pipelines._cases.hearing import Hearing, Opinions, Voice

MIN_CONFORMAL_PATIENTS = 10
"""Validation patients below which there are no sets."""
MIN_SHARED_PATIENTS = 5
"""Validation patients whom every lineage knows, below which each lineage is judged on its own patients."""


@dataclass(frozen=True)
class Fusion:
    """All that is needed to fuse new patients."""

    hearing: Hearing
    """The lineages and their words."""
    pool: Pool
    """Prior and weights."""
    conformal: Conformal | None
    """Threshold of the sets; None with too few validation patients."""

    def apply(self, said: Mapping[str, Prediction], nodes: Mapping[str, int]) -> Opinions:
        """Fuse what some or all of the lineages say of patients; arguments as of `Hearing.hear`."""
        heard = self.hearing.hear(said, nodes)
        return self.hearing.opinions(heard, self.pool.fuse(align(heard)), nodes)


@dataclass(frozen=True)
class Fused:
    """Everything that a fit has found."""

    fusion: Fusion
    """What is applied to new patients."""
    valid: Opinions
    """On validation patients, each fused by weights that were fitted on the others."""
    test: Opinions
    """On test patients."""
    intervals: Float[np.ndarray, "lineage 2"]
    """Intervals of the weights over validation patients."""
    log_losses: Mapping[str, float]
    """Mean log-loss of each calibrated lineage on validation patients; NaN where none has a label."""
    best: str
    """The lineage of least log-loss on validation patients: what fusion must beat."""
    notes: tuple[str, ...]
    """What was left out or assumed, one sentence each."""


def fuse_lineages(lineages: Sequence[Lineage], config: Config) -> Fused:
    """Fit the pool on validation patients and apply it to test patients.

    Raises
    ------
    LabelError, TaxonomyError
        The classes of the Runs are no nodes of the taxonomy.
    CohortError
        Classes of a lineage overlap, or no validation patient has a label.
    """
    tree = _tree(lineages, config)
    nodes, strange = patient_nodes(lineages, tree, config.label_map)
    prior = _prior(lineages, nodes, tree, config)
    voices = tuple(_voice(one, nodes, tree, prior, config) for one in lineages)
    said = {part: {one.name: one.said[part] for one in lineages} for part in ("valid", "test")}
    heard = Hearing(tree, voices, prior, config.fusion.floor).hear(said["valid"], nodes)
    voices = tuple(map(_calibrated, voices, heard))
    hearing = Hearing(tree, voices, prior, config.fusion.floor)
    pool, honest, ends = _weigh(align(heard), prior, config)
    valid = hearing.opinions(heard, honest, nodes)
    losses = log_losses(valid)
    fusion = Fusion(hearing, pool, _conformal(valid, tree, config))
    test = fusion.apply(said["test"], nodes)
    best = min(losses, key=lambda name: (np.isnan(losses[name]), losses[name]))
    return Fused(
        fusion, valid, test, ends, losses, best, _notes(strange, half_heard(lineages), valid, fusion)
    )


def log_losses(opinions: Opinions) -> dict[str, float]:
    """Return the mean log-loss of each calibrated lineage on the labelled patients whom every lineage knows.

    Where these are fewer than `MIN_SHARED_PATIENTS`, each lineage is judged on those whom it knows.
    """
    aligned = opinions.aligned
    labelled: Bool[np.ndarray, " patient"] = aligned.labels >= 0
    shared = labelled & aligned.has.all(axis=0)
    losses = {}
    for name, has, p in zip(aligned.lineages, aligned.has, opinions.alone, strict=True):
        rows = np.flatnonzero(shared if shared.sum() >= MIN_SHARED_PATIENTS else labelled & has)
        truth = p[rows, aligned.labels[rows]]
        losses[name] = float(-np.log(truth).mean()) if len(rows) else float("nan")
    return losses


# ---- private --------------------------------------------------------------------------------------------------------


def _tree(lineages: Sequence[Lineage], config: Config) -> Taxonomy:
    """Return the part of the taxonomy that the classes of all lineages reach."""
    classes = [name for lineage in lineages for name in lineage.classes]
    return shared_tree(load_taxonomy(config.taxonomy), classes, config.label_map)


def _prior(
    lineages: Sequence[Lineage], nodes: Mapping[str, int], tree: Taxonomy, config: Config
) -> Float[np.ndarray, " leaf"]:
    """Return the class shares of everyone who trained in any lineage, or equal ones."""
    if config.fusion.prior == "equal":
        return np.full(len(tree.leaves), 1.0 / len(tree.leaves))
    return class_shares({name for one in lineages for name in one.trained()}, nodes, tree)


def _voice(
    lineage: Lineage,
    nodes: Mapping[str, int],
    tree: Taxonomy,
    prior: Float[np.ndarray, " leaf"],
    config: Config,
) -> Voice:
    """Return the words of a lineage, and what it says of a patient of whom it knows nothing."""
    holds = held_leaves(tree, lineage.classes, config.label_map)
    if lineage.is_balanced:
        own = np.full(len(lineage.classes), 1.0 / len(lineage.classes))
    else:
        shares = holds @ class_shares(lineage.trained(), nodes, tree)
        own = shares / shares.sum()
    return Voice(lineage.name, lineage.classes, holds, spread(own[None], holds, prior)[0])


def _calibrated(voice: Voice, evidence: Evidence) -> Voice:
    """Fit the temperature of a lineage that is heard alone."""
    assert evidence.labels is not None
    log_p = np.log(evidence.probabilities)
    return replace(voice, temperature=fit_temperature(log_p, evidence.labels, evidence.patients))


def _weigh(
    aligned: Aligned, prior: Float[np.ndarray, " leaf"], config: Config
) -> tuple[Pool, Float[np.ndarray, "patient leaf"], Float[np.ndarray, "lineage 2"]]:
    """Return the pool, cross-fitted opinions on the patients it was fitted on, and intervals of its weights."""
    options, seed = config.fusion, derive_seed(config.seed, "fusion")
    pool = fit_pool(aligned, prior, penalty=options.penalty)
    honest = cross_fit(aligned, prior, penalty=options.penalty, n_folds=options.n_folds, seed=seed)
    ends = weight_intervals(
        aligned,
        prior,
        penalty=options.penalty,
        level=config.evaluation.level,
        n_resamples=options.n_resamples,
        seed=seed,
    )
    return pool, honest, ends


def _conformal(valid: Opinions, tree: Taxonomy, config: Config) -> Conformal | None:
    """Fit the threshold of the sets on cross-fitted opinions; None where there are too few patients."""
    known = valid.nodes > 0
    if known.sum() < MIN_CONFORMAL_PATIENTS:
        return None
    return fit_conformal(valid.of(tree, valid.fused, known), tree, coverage=config.coverage)


def _notes(strange: Sequence[str], halves: Sequence[str], valid: Opinions, fusion: Fusion) -> tuple[str, ...]:
    notes = []
    if strange:
        notes.append(f"diagnoses that no lineage was taught count as unknown: {shown(strange)}")
    if halves:
        notes.append(
            f"{len(halves)} patients validate in one Run and train in another: the lineages were weighed on what the "
            f"first says of them only ({shown(halves)})"
        )
    inner = (valid.nodes > 0) & (valid.aligned.labels < 0)
    if inner.any():
        notes.append(f"{int(inner.sum())} validation patients whose label is an inner node did not weigh")
    if fusion.conformal is None:
        notes.append(f"fewer than {MIN_CONFORMAL_PATIENTS} labelled validation patients: no sets")
    for name, has in zip(valid.aligned.lineages, valid.aligned.has, strict=True):
        if not (has & (valid.aligned.labels >= 0)).any():
            notes.append(f"no validation patient of {name}: its weight is the share it started with")
    return tuple(notes)
