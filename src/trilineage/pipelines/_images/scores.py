"""Scores of the images recipe: per image, per patient and per site, beside the majority; tables of the report."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from trilineage.core.records import Comparison, NodePrediction, Prediction, Score, Unit
from trilineage.core.seeding import derive_seed
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.patients import Decided, decide, decide_patients
from trilineage.evaluation.hierarchy.per_node import node_scores
from trilineage.evaluation.hierarchy.scores import compare_nodes, score_decided, score_nodes
from trilineage.evaluation.hierarchy.sites import site_scores
from trilineage.evaluation.hierarchy.tables import (
    hierarchical_confusion,
    node_table,
    reliability_table,
    worst_mistakes,
)
from trilineage.pipelines._images.config import Config
from trilineage.pipelines._images.fold import Fold
from trilineage.pipelines._images.material import Material

MAJORITY = "baseline: majority"
ATTENTION = "model, attention pooling"
N_MISTAKES = 24
"""Wrong decisions that are shown as pictures."""


class Results(NamedTuple):
    """What goes into the Run."""

    scores: list[Score]
    """Model and baseline, per image and per patient, over all and per site."""
    comparisons: list[Comparison]
    """Model minus baseline, on the same patients."""
    tables: dict[str, Any]
    """JSON files by name."""


def units(material: Material) -> tuple[Unit, ...]:
    """Return what can be scored: images, and patients where each has one label and some have several images."""
    cohort = material.cohort
    has_patient_scores = material.has_patients and len(cohort.patient_names) < len(cohort)
    is_consistent = has_patient_scores and _labels_agree(material)
    return ("sample", "patient") if is_consistent else ("sample",)


def _labels_agree(material: Material) -> bool:
    """Tell whether the labels of each patient lie on one way to the root."""
    ancestors = material.taxonomy.ancestors
    pairs = np.unique(np.stack([material.cohort.patient_codes, material.nodes]), axis=1)
    for patient in np.unique(pairs[0]):
        nodes = pairs[1][pairs[0] == patient]
        deepest = nodes[material.taxonomy.depth[nodes].argmax()]
        if not ancestors[deepest, nodes].all():
            return False
    return True


def pool(predictions: Sequence[NodePrediction]) -> NodePrediction:
    """Join the test predictions of several folds, in the order given."""
    if len(predictions) == 1:
        return predictions[0]
    first = predictions[0]
    labels = [prediction.labels for prediction in predictions if prediction.labels is not None]
    sites = [prediction.sites for prediction in predictions if prediction.sites is not None]
    return NodePrediction(
        samples=np.concatenate([prediction.samples for prediction in predictions]),
        patients=np.concatenate([prediction.patients for prediction in predictions]),
        nodes=first.nodes,
        probabilities=np.concatenate([prediction.probabilities for prediction in predictions]),
        labels=np.concatenate(labels) if labels else None,
        sites=np.concatenate(sites) if sites else None,
    )


def majority_prediction(material: Material, folds: Sequence[Fold]) -> NodePrediction:
    """Predict for every test image the shares of the nodes among the training images of its fold."""
    ancestors = material.taxonomy.ancestors
    parts = []
    for fold in folds:
        trained = material.nodes[fold.split.positions("train")]
        shares = ancestors[trained].mean(axis=0)
        parts.append(replace(fold.test, probabilities=np.tile(shares, (len(fold.test.samples), 1))))
    return pool(parts)


def score_run(
    material: Material, folds: Sequence[Fold], config: Config, attended: Decided | None = None
) -> Results:
    """Score the pooled test predictions beside the majority, per image, per patient and per site.

    `attended` are decisions for patients by attention pooling, scored beside those by the rule.
    """
    taxonomy, settings = material.taxonomy, config.evaluation
    seed = derive_seed(config.seed, "evaluation")
    model, baseline = pool([fold.test for fold in folds]), majority_prediction(material, folds)
    scores: list[Score] = []
    comparisons: list[Comparison] = []
    for unit in units(material):
        shared: dict[str, Any] = {"unit": unit, "settings": settings, "seed": seed}
        scores += score_nodes(model, taxonomy, **shared)
        scores += score_nodes(baseline, taxonomy, subject=MAJORITY, **shared)
        comparisons += compare_nodes(model, baseline, taxonomy, names=("model", MAJORITY), **shared)
    if attended is not None:
        scores += score_decided(
            attended, taxonomy, unit="patient", settings=settings, seed=seed, subject=ATTENTION
        )
    if model.sites is not None and len(np.unique(model.sites)) > 1:
        for own in site_scores(model, taxonomy, settings=settings, seed=seed).values():
            scores += own
    return Results(scores, comparisons, tables_of(model, material, config, seed))


def tables_of(model: NodePrediction, material: Material, config: Config, seed: int) -> dict[str, Any]:
    """Return what the report draws: nodes, confusion along the tree, reliability, worst mistakes."""
    taxonomy, settings = material.taxonomy, config.evaluation
    decided = decide(model, taxonomy, rule=settings.rule)
    tables = {
        "nodes.json": node_table(model, taxonomy, node_scores(model, taxonomy, settings=settings, seed=seed)),
        "confusion.json": hierarchical_confusion(decided, taxonomy),
        "reliability.json": reliability_table(decided, taxonomy, level=settings.level, seed=seed),
        "mistakes.json": worst_mistakes(decided, taxonomy, n_mistakes=N_MISTAKES),
    }
    if "patient" in units(material):
        by_patient = decide_patients(model, taxonomy, rule=settings.patient_rule, decoding=settings.rule)
        tables["patient_confusion.json"] = hierarchical_confusion(by_patient, taxonomy)
    return tables


def leaf_prediction(prediction: NodePrediction, taxonomy: Taxonomy) -> Prediction:
    """Return the probabilities of the leaves; labels that stop at an inner node are -1."""
    leaves = taxonomy.leaf_nodes
    shares = prediction.probabilities[:, leaves]
    place = np.full(taxonomy.n_nodes + 1, -1, dtype=np.int64)  # the last entry answers the code -1
    place[leaves] = np.arange(len(leaves))
    return Prediction(
        samples=prediction.samples,
        patients=prediction.patients,
        classes=taxonomy.leaves,
        probabilities=shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300),
        labels=None if prediction.labels is None else place[prediction.labels],
    )


def patient_rows(decided: Decided, taxonomy: Taxonomy, counts: dict[str, int]) -> dict[str, list[Any]]:
    """Return the decision and the probabilities of each patient as columns of a table."""
    prediction = decided.prediction
    columns: dict[str, list[Any]] = {
        "patient": prediction.patients.tolist(),
        "n_samples": [counts[str(name)] for name in prediction.patients],
    }
    if prediction.labels is not None:
        columns["label"] = [taxonomy.nodes[code] if code > 0 else "" for code in prediction.labels]
    columns["predicted"] = [taxonomy.nodes[code] for code in decided.decisions]
    for node in range(1, taxonomy.n_nodes):
        columns[f"probability: {taxonomy.nodes[node]}"] = prediction.probabilities[:, node].tolist()
    return columns
