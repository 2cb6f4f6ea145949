"""JSON-ready tables for a Run: nodes with their scores, confusion along the tree, reliability, worst mistakes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from trilineage.core.records import NodePrediction, Score
from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.node_sums import labelled_nodes
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.scores import chosen
from trilineage.evaluation.metrics import N_CALIBRATION_BINS, calibration_bins, ratio
from trilineage.evaluation.resampling import Scale, interval_weights, patient_strata, read_interval

Row = dict[str, Any]


def node_table(
    prediction: NodePrediction, taxonomy: Taxonomy, scores: Mapping[str, Sequence[Score]]
) -> list[Row]:
    """Return one row for each node, in node order: its place in the tree, its numbers and its scores.

    Parameters
    ----------
    prediction
        Labels and patients; its probabilities give the mean probability.
    taxonomy
        Tree or DAG.
    scores
        Scores by node name, as `per_node.node_scores` returns them; nodes without are given none.
    """
    labels = np.full(len(prediction.samples), -1) if prediction.labels is None else prediction.labels
    is_known = labels >= 0
    reaches = taxonomy.ancestors[labels[is_known]]
    patients = prediction.patients[is_known]
    return [
        {
            "node": name,
            "title": taxonomy.title_of(name),
            "parents": [taxonomy.nodes[parent] for parent in taxonomy.parents[node]],
            "depth": int(taxonomy.depth[node]),
            "is_leaf": bool(taxonomy.heights[node] == 0),
            "n_samples": int(reaches[:, node].sum()),
            "n_labelled_here": int((labels == node).sum()),
            "n_patients": len(np.unique(patients[reaches[:, node]])),
            "mean_probability": float(prediction.probabilities[:, node].mean()) if len(labels) else None,
            "scores": {score.metric: _short(score) for score in scores.get(name, ())},
        }
        for node, name in enumerate(taxonomy.nodes)
    ]


def hierarchical_confusion(decided: Decided, taxonomy: Taxonomy) -> Row:
    """Count labels against decisions: node by node, for each level, and for the children of each inner node.

    `counts` and `costs` [label, decision] are over all nodes. A level holds the nodes of its depth and the leaves above
    it; it counts samples whose label and decision both have a node there, and `n_stopped_above` those whose decision
    has none. The table of an inner node counts samples whose label goes through it to one of its children; the last
    column holds decisions for nodes that are not below it. In a DAG the first of several nodes counts.
    """
    is_known, _ = labelled_nodes(decided.prediction)
    known = chosen(decided, is_known)
    labels, decisions = known.prediction.labels, known.decisions
    assert labels is not None
    return {
        "nodes": list(taxonomy.nodes),
        "n_samples": len(labels),
        "counts": _counts(labels, decisions, taxonomy.n_nodes, taxonomy.n_nodes),
        "costs": Relations(taxonomy).costs.tolist(),
        "levels": [
            _level_table(labels, decisions, taxonomy, level) for level in range(1, taxonomy.height + 1)
        ],
        "parents": [
            _parent_table(labels, decisions, taxonomy, parent, below)
            for parent, below in Relations(taxonomy).children
        ],
    }


def reliability_table(
    decided: Decided, taxonomy: Taxonomy, *, level: float = 0.95, n_bootstrap: int = 400, seed: int = 0
) -> Row:
    """Compare stated probabilities with what happened, in 15 equal-width bins, with intervals over patients.

    `decision` bins the probability of the node decided for and counts right decisions (at the label or below it);
    `nodes` does the same for the probability of each node and the samples that are of it. Bins without a sample are
    left out.
    """
    is_known, _ = labelled_nodes(decided.prediction)
    known = chosen(decided, is_known)
    prediction, relations = known.prediction, Relations(taxonomy)
    labels, everyone = prediction.labels, np.ones(len(known.decisions), dtype=bool)
    assert labels is not None
    read = _BinReader(prediction, taxonomy, level=level, n_bootstrap=n_bootstrap, seed=seed)
    confidence = prediction.probabilities[np.arange(len(labels)), known.decisions]
    is_right = relations.is_right[labels, known.decisions]
    return {
        "level": level,
        "decision": read.bins(confidence, is_right, everyone),
        "nodes": {
            name: read.bins(
                prediction.probabilities[:, node],
                taxonomy.ancestors[labels, node],
                ~relations.unknown[labels, node],
            )
            for node, name in enumerate(taxonomy.nodes)
            if node > 0
        },
    }


def worst_mistakes(decided: Decided, taxonomy: Taxonomy, *, n_mistakes: int = 20) -> list[Row]:
    """Return the wrong decisions of greatest clinical cost, among equals those the model was surest of.

    `position` is the row of the sample in the prediction.
    """
    prediction, relations = decided.prediction, Relations(taxonomy)
    is_known, _ = labelled_nodes(prediction)
    labels = prediction.labels
    assert labels is not None
    is_wrong = is_known & ~relations.is_right[labels, decided.decisions]
    wrong = np.flatnonzero(is_wrong)
    truth, called = labels[wrong], decided.decisions[wrong]
    confidence = prediction.probabilities[wrong, called]
    order = np.lexsort((-confidence, -relations.costs[truth, called]))[:n_mistakes]
    return [_mistake(decided, relations, int(position)) for position in wrong[order]]


def _short(score: Score) -> Row:
    keys = ("value", "low", "high", "n_samples", "n_patients", "note")
    row = {key: getattr(score, key) for key in keys}
    return row | {"value": None if np.isnan(score.value) else score.value}


def _counts(
    rows: Int[np.ndarray, " sample"], columns: Int[np.ndarray, " sample"], n_rows: int, n_columns: int
) -> list[list[int]]:
    flat = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return flat.reshape(n_rows, n_columns).tolist()


def _place_among(
    codes: Int[np.ndarray, " sample"], nodes: Sequence[int], taxonomy: Taxonomy
) -> Int[np.ndarray, " sample"]:
    """Return which of some nodes each node is or is below (the first of several); their number if none."""
    is_at_or_below = taxonomy.ancestors[:, list(nodes)]
    place = np.where(is_at_or_below.any(axis=1), is_at_or_below.argmax(axis=1), len(nodes))
    return place[codes]


def _level_table(
    labels: Int[np.ndarray, " sample"], decisions: Int[np.ndarray, " sample"], taxonomy: Taxonomy, level: int
) -> Row:
    nodes = taxonomy.level_nodes(level)
    rows, columns = (_place_among(codes, nodes, taxonomy) for codes in (labels, decisions))
    is_stated, is_decided = rows < len(nodes), columns < len(nodes)
    both = is_stated & is_decided
    return {
        "level": level,
        "nodes": [taxonomy.nodes[node] for node in nodes],
        "counts": _counts(rows[both], columns[both], len(nodes), len(nodes)),
        "n_stopped_above": int((is_stated & ~is_decided).sum()),
    }


def _parent_table(
    labels: Int[np.ndarray, " sample"],
    decisions: Int[np.ndarray, " sample"],
    taxonomy: Taxonomy,
    parent: int,
    children: Int[np.ndarray, " child"],
) -> Row:
    below = children.tolist()
    rows, columns = (_place_among(codes, below, taxonomy) for codes in (labels, decisions))
    is_asked = rows < len(below)
    return {
        "parent": taxonomy.nodes[parent],
        "children": [taxonomy.nodes[child] for child in below],
        "counts": _counts(rows[is_asked], columns[is_asked], len(below), len(below) + 1),
    }


class _BinReader:
    """Bins of probabilities with intervals over the same resamples of patients."""

    def __init__(
        self, prediction: NodePrediction, taxonomy: Taxonomy, *, level: float, n_bootstrap: int, seed: int
    ):
        names, self.codes = np.unique(prediction.patients, return_inverse=True)
        labels = prediction.labels
        assert labels is not None
        counts = np.zeros((len(names), taxonomy.n_nodes), dtype=np.int64)
        np.add.at(counts, (self.codes, labels), 1)
        self.strata, self.level, self.n_patients = patient_strata(counts), level, len(names)
        self.weights: Float[np.ndarray, "draw patient"] | None = None
        if self.strata.degrees_of_freedom >= 1:
            rng = generator(seed, "bootstrap", len(names))
            self.weights = interval_weights(self.strata, n_bootstrap, rng=rng)

    def bins(
        self,
        probability: Float[np.ndarray, " sample"],
        happened: Bool[np.ndarray, " sample"],
        is_asked: Bool[np.ndarray, " sample"],
    ) -> list[Row]:
        """Return one row for each bin that holds a sample."""
        bins = calibration_bins(probability.astype(np.float64))
        return [
            self._bin(number, is_asked & (bins == number), probability, happened)
            for number in np.unique(bins[is_asked]).tolist()
        ]

    def _bin(
        self,
        number: int,
        inside: Bool[np.ndarray, " sample"],
        probability: Float[np.ndarray, " sample"],
        happened: Bool[np.ndarray, " sample"],
    ) -> Row:
        share = float(happened[inside].mean())
        low, high = None, None
        if self.weights is not None:
            n_all = np.bincount(self.codes[inside], minlength=self.n_patients)
            n_right = np.bincount(self.codes[inside & happened], minlength=self.n_patients)
            drawn = ratio(self.weights @ n_right.astype(np.float64), self.weights @ n_all.astype(np.float64))
            low, high, _ = read_interval(
                share,
                drawn,
                strata=self.strata,
                level=self.level,
                scale=Scale((0.0, 1.0), is_lower_better=True),
            )
        return {
            "from": number / N_CALIBRATION_BINS,
            "to": (number + 1) / N_CALIBRATION_BINS,
            "n_samples": int(inside.sum()),
            "n_patients": len(np.unique(self.codes[inside])),
            "mean_probability": float(probability[inside].mean()),
            "share": share,
            "low": low,
            "high": high,
        }


def _mistake(decided: Decided, relations: Relations, position: int) -> Row:
    prediction, taxonomy = decided.prediction, relations.taxonomy
    assert prediction.labels is not None
    truth, called = int(prediction.labels[position]), int(decided.decisions[position])
    return {
        "position": position,
        "sample": str(prediction.samples[position]),
        "patient": str(prediction.patients[position]),
        "site": None if prediction.sites is None else str(prediction.sites[position]),
        "label": taxonomy.nodes[truth],
        "decision": taxonomy.nodes[called],
        "label_path": [taxonomy.nodes[node] for node in taxonomy.path(truth)],
        "decision_path": [taxonomy.nodes[node] for node in taxonomy.path(called)],
        "cost": float(relations.costs[truth, called]),
        "height": float(relations.heights[truth, called]),
        "p_label": float(prediction.probabilities[position, truth]),
        "p_decision": float(prediction.probabilities[position, called]),
    }
