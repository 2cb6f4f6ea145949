"""Scores of each node as a yes-or-no question, with intervals over patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int, Shaped

from trilineage.core.records import NodePrediction, Score, Unit
from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.node_sums import labelled_nodes
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.scores import chosen, decided_units
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.metrics import (
    N_CALIBRATION_BINS,
    Totals,
    auprc,
    auroc,
    calibration_bins,
    ratio,
    score_levels,
)
from trilineage.evaluation.patient_sums import chunks, limit_levels, rank_counts, weighted_sums
from trilineage.evaluation.resampling import (
    Scale,
    Strata,
    interval_weights,
    patient_strata,
    ranked_patients,
    read_interval,
)

NODE_SCALES = {
    "auroc": Scale((0.0, 1.0)),
    "auprc": Scale((0.0, 1.0)),
    "brier": Scale((0.0, 1.0), is_lower_better=True),
    "ece": Scale((0.0, 1.0), is_lower_better=True, is_biased_upwards=True),
    "precision": Scale((0.0, 1.0)),
    "recall": Scale((0.0, 1.0)),
    "f1": Scale((0.0, 1.0)),
}
"""Scores of one node: four of its probability, three of the decisions for it or below it."""


@dataclass(frozen=True)
class BinarySums:
    """What each patient adds to the scores of one node."""

    positives: np.ndarray | sp.csr_array
    """Samples of the node at each score level (patient x level)."""
    negatives: np.ndarray | sp.csr_array
    """All other samples at each score level."""
    sums: Float[np.ndarray, "patient column"]
    """Samples, squared error, right claims, claims, samples of the node; then per bin samples, of the node, score."""


def node_scores(
    prediction: NodePrediction,
    taxonomy: Taxonomy,
    *,
    unit: Unit = "sample",
    settings: NodeEvaluationSettings | None = None,
    seed: int = 0,
    subject: str = "model",
) -> dict[str, list[Score]]:
    """Score the probability of every node but the root, one node against all samples known not to be of it.

    A sample is positive if its label is the node or below it, negative if it cannot be, and left out of a node that
    lies below its label. `auroc` (ties count half), `auprc` (average precision), `brier` (mean squared error of the
    one probability, in [0, 1]) and `ece` (15 equal-width bins of the probability of the node; Naeini et al. 2015)
    are of the probability; `precision`, `recall` and `f1` of decisions for the node or below it.

    Parameters
    ----------
    prediction, taxonomy, unit, settings, seed, subject
        As in `scores.score_nodes`; of the settings, rules, level and number of resamples count.

    Returns
    -------
    Scores by node name.
    """
    settings = settings or NodeEvaluationSettings()
    decided = decided_units(prediction, taxonomy, unit=unit, rule=settings.rule, settings=settings)
    is_known, _ = labelled_nodes(decided.prediction)
    decided = chosen(decided, is_known)
    relations = Relations(taxonomy)
    labels = decided.prediction.labels
    assert labels is not None
    names, patients = np.unique(decided.prediction.patients, return_inverse=True)
    counts = np.zeros((len(names), taxonomy.n_nodes), dtype=np.int64)
    np.add.at(counts, (patients, labels), 1)
    strata = patient_strata(counts)
    weights = np.ones((1, len(names)))
    if strata.degrees_of_freedom >= 1:
        weights = interval_weights(strata, settings.n_bootstrap, rng=generator(seed, "bootstrap", len(names)))
    found = {}
    for node in range(1, taxonomy.n_nodes):
        question = Question.of(decided, relations, node, patients)
        drawn = _reweighted(question.sums(len(names)), weights)
        scores = _read(drawn, question, strata, settings.level)
        found[taxonomy.nodes[node]] = [
            Score(subject=subject, unit=unit, level=settings.level, **score) for score in scores
        ]
    return found


@dataclass(frozen=True)
class Question:
    """Is it this node? Asked of every sample whose label answers it."""

    is_positive: Bool[np.ndarray, " sample"]
    """Whether the label is the node or below it."""
    probability: Float[np.ndarray, " sample"]
    """Probability of the node."""
    is_claimed: Bool[np.ndarray, " sample"]
    """Whether the decision is the node or below it."""
    patients: Int[np.ndarray, " sample"]
    """Index of the patient."""

    @classmethod
    def of(
        cls, decided: Decided, relations: Relations, node: int, patients: Shaped[np.ndarray, " sample"]
    ) -> "Question":
        """Keep the samples of which it is known whether they are of the node."""
        labels = decided.prediction.labels
        assert labels is not None
        is_asked = ~relations.unknown[labels, node]
        return cls(
            is_positive=relations.taxonomy.ancestors[labels, node][is_asked],
            probability=decided.prediction.probabilities[is_asked, node].astype(np.float64),
            is_claimed=relations.taxonomy.ancestors[decided.decisions, node][is_asked],
            patients=patients[is_asked],
        )

    def counts(self, n_patients: int) -> Int[np.ndarray, "patient 2"]:
        """Count the samples of each patient that are not of the node, and those that are."""
        flat = np.bincount(2 * self.patients + self.is_positive, minlength=2 * n_patients)
        return flat.reshape(n_patients, 2)

    def sums(self, n_patients: int) -> BinarySums:
        """Sum over the samples of each patient."""
        levels = limit_levels(score_levels(self.probability), self.is_positive)
        positives, negatives = rank_counts(self.patients, levels, self.is_positive, n_patients)
        one = np.ones(len(self.patients))
        plain = (
            one,
            (self.probability - self.is_positive) ** 2,
            one * (self.is_positive & self.is_claimed),
            one * self.is_claimed,
            one * self.is_positive,
        )
        columns = [np.bincount(self.patients, term, minlength=n_patients)[:, None] for term in plain]
        bins = self.patients * N_CALIBRATION_BINS + calibration_bins(self.probability)
        for term in (one, one * self.is_positive, self.probability):
            flat = np.bincount(bins, term, minlength=n_patients * N_CALIBRATION_BINS)
            columns.append(flat.reshape(n_patients, N_CALIBRATION_BINS))
        return BinarySums(positives, negatives, np.concatenate(columns, axis=1).astype(np.float64))


def _reweighted(
    sums: BinarySums, weights: Float[np.ndarray, "draw patient"]
) -> dict[str, Float[np.ndarray, " draw"]]:
    """Return every score of one node under each row of weights."""
    values = {name: np.full(len(weights), np.nan) for name in NODE_SCALES}
    for rows in chunks(len(weights)):
        found = _binary_scores(sums, weights[rows])
        for name, value in found.items():
            values[name][rows] = value
    return values


def _binary_scores(
    sums: BinarySums, weights: Float[np.ndarray, "resample patient"]
) -> dict[str, Float[np.ndarray, " resample"]]:
    total = weights @ sums.sums
    n_samples, squared, right, claimed, positive = total[:, :5].T
    _, of_node, scores = np.split(total[:, 5:], 3, axis=1)
    ranks = Totals(
        confusion=np.zeros((len(weights), 1, 1)),
        squared_error=np.zeros(len(weights)),
        calibration=np.zeros((len(weights), 1, 3)),
        positives=(weighted_sums(weights, sums.positives),),
        negatives=(weighted_sums(weights, sums.negatives),),
    )
    return {
        "auroc": auroc(ranks),
        "auprc": auprc(ranks),
        "brier": ratio(squared, n_samples),
        "ece": ratio(np.abs(of_node - scores).sum(axis=1), n_samples),
        "precision": ratio(right, claimed),
        "recall": ratio(right, positive),
        "f1": ratio(2.0 * right, claimed + positive),
    }


def _read(
    drawn: dict[str, Float[np.ndarray, " draw"]], question: Question, strata: Strata, level: float
) -> list[dict[str, Any]]:
    """Return the fields of a Score for each score of one node."""
    n_positive = int(question.is_positive.sum())
    n_ranked = ranked_patients(question.counts(len(strata.codes)))
    size = {"n_samples": len(question.patients), "n_patients": len(np.unique(question.patients))}
    rows: list[dict[str, Any]] = []
    for name, values in drawn.items():
        low, high, note = None, None, f"no interval: {len(strata.codes)} patient"
        if len(values) > 1:
            low, high, note = read_interval(
                float(values[0]),
                values,
                strata=strata,
                level=level,
                scale=NODE_SCALES[name],
                n_ranked=n_ranked if name == "auroc" else None,
            )
        if np.isnan(values[0]):
            note = "not computable: " + (
                "no sample of the node" if n_positive == 0 else "no sample to compare with"
            )
        row = {"metric": name, "value": float(values[0]), "low": low, "high": high}
        rows.append(row | size | {"note": "; ".join(filter(None, (note, strata.note)))})
    return rows
