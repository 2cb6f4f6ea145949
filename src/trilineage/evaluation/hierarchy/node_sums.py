"""Per-patient sums of decisions and probabilities on a taxonomy, from which every resample follows by one product."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.core.records import NodePrediction
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.patient_sums import chunks

SMALLEST = 1e-12
"""Probability that the log loss does not go below: its worst is 27.6."""


@dataclass(frozen=True)
class NodeTotals:
    """Weighted sums over samples that determine every metric; any leading axes (resamples) are carried along."""

    confusion: Float[np.ndarray, "*resample node node"]
    """Weight of the samples of each label (row) decided for each node (column)."""
    terms: Mapping[str, Float[np.ndarray, "*resample"]] = field(default_factory=dict)
    """Weighted sums of the terms of `probability_terms`."""


@dataclass(frozen=True)
class NodeSums:
    """What each patient adds to the `NodeTotals`."""

    patients: Shaped[np.ndarray, " patient"]
    """Names, sorted (str)."""
    label_counts: Int[np.ndarray, "patient node"]
    """Samples of each patient with each label."""
    pairs: Int[np.ndarray, "pair 2"]
    """Label and decision of the pairs that occur."""
    pair_counts: Float[np.ndarray, "patient pair"]
    """Samples of each patient with each pair."""
    term_names: tuple[str, ...]
    """Names of the terms."""
    terms: Float[np.ndarray, "patient term"]
    """Sum of each term over the samples of each patient."""

    def totals(self, weights: Float[np.ndarray, "resample patient"]) -> NodeTotals:
        """Return the sums over patients under each row of weights."""
        n_nodes = self.label_counts.shape[1]
        confusion = np.zeros((len(weights), n_nodes, n_nodes))
        confusion[:, self.pairs[:, 0], self.pairs[:, 1]] = weights @ self.pair_counts
        terms = weights @ self.terms
        return NodeTotals(confusion, {name: terms[:, place] for place, name in enumerate(self.term_names)})


def node_sums(decided: Decided, relations: Relations, top_k: Sequence[int]) -> NodeSums:
    """Sum over the samples of each patient; every sample must have a label below the root."""
    prediction, n_nodes = decided.prediction, relations.taxonomy.n_nodes
    labels = prediction.labels
    assert labels is not None
    patients, codes = np.unique(prediction.patients, return_inverse=True)
    cells, places = np.unique(labels * n_nodes + decided.decisions, return_inverse=True)
    terms = probability_terms(prediction.probabilities.astype(np.float64), labels, relations, top_k)
    columns = [np.bincount(codes, term, minlength=len(patients)) for term in terms.values()]
    return NodeSums(
        patients=patients,
        label_counts=_counts(codes * n_nodes + labels, (len(patients), n_nodes)),
        pairs=np.stack([cells // n_nodes, cells % n_nodes], axis=1),
        pair_counts=_counts(codes * len(cells) + places, (len(patients), len(cells))).astype(np.float64),
        term_names=tuple(terms),
        terms=np.stack(columns, axis=1),
    )


def added(totals: Sequence[NodeTotals]) -> NodeTotals:
    """Add totals field by field: two models, swapped patient by patient."""
    if len(totals) == 1:
        return totals[0]
    return NodeTotals(
        np.sum([one.confusion for one in totals], axis=0),
        {name: np.sum([one.terms[name] for one in totals], axis=0) for name in totals[0].terms},
    )


def resampled_totals(
    parts: Sequence[tuple[NodeSums, Float[np.ndarray, "resample patient"]]],
) -> Iterator[tuple[slice, NodeTotals]]:
    """Return the totals under each row of weights, piece by piece; the sums of several parts are added."""
    for rows in chunks(len(parts[0][1])):
        yield rows, added([sums.totals(weights[rows]) for sums, weights in parts])


def labelled_nodes(prediction: NodePrediction) -> tuple[Bool[np.ndarray, " sample"], str]:
    """Tell which samples have a label below the root, and note how many have none.

    Raises
    ------
    CohortError
        None has.
    """
    n_samples = len(prediction.samples)
    is_known = np.zeros(n_samples, dtype=bool) if prediction.labels is None else prediction.labels > 0
    if not is_known.any():
        raise CohortError(
            "no sample has a label to score against",
            seen=f"{n_samples} samples",
            allowed="at least one sample with a label below the root",
            remedy="name the label column",
        )
    n_left_out = int((~is_known).sum())
    return is_known, f"{n_left_out} samples without label left out" if n_left_out else ""


def samples_at(
    prediction: NodePrediction, keep: Bool[np.ndarray, " sample"] | Int[np.ndarray, " chosen"]
) -> NodePrediction:
    """Return some of the samples, by a mask or by positions."""
    if keep.dtype == np.bool_ and keep.all():
        return prediction
    return replace(
        prediction,
        samples=prediction.samples[keep],
        patients=prediction.patients[keep],
        probabilities=prediction.probabilities[keep],
        labels=None if prediction.labels is None else prediction.labels[keep],
        sites=None if prediction.sites is None else prediction.sites[keep],
    )


def probability_terms(
    probabilities: Float[np.ndarray, "sample node"],
    labels: Int[np.ndarray, " sample"],
    relations: Relations,
    top_k: Sequence[int],
) -> dict[str, Float[np.ndarray, " sample"]]:
    """Return what each sample adds to the metrics that need more than its decision.

    `log_loss` is -log p(label), the label being a leaf or an inner node. `inconsistent` is 1 where the most probable
    nodes of the levels, each level read on its own, do not lie on one path (a leaf above a level stands in it too).
    `distance k` is the mean height of the lowest common ancestor of the label and each of the k most probable leaves.
    `conditional L` counts the parents of level L that the label goes through, `conditional right L` those whose most
    probable child is true.
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    terms = {
        "log_loss": -np.log(np.clip(own, SMALLEST, 1.0)),
        "inconsistent": _is_inconsistent(probabilities, relations).astype(np.float64),
    }
    leaves = relations.taxonomy.leaf_nodes
    ranked = leaves[np.argsort(-probabilities[:, leaves], axis=1, kind="stable")]
    for k in top_k:
        terms[f"distance {k}"] = relations.heights[labels[:, None], ranked[:, :k]].mean(axis=1)
    return terms | _conditional_terms(probabilities, labels, relations)


def _is_inconsistent(
    probabilities: Float[np.ndarray, "sample node"], relations: Relations
) -> Bool[np.ndarray, " sample"]:
    taxonomy = relations.taxonomy
    is_inconsistent = np.zeros(len(probabilities), dtype=bool)
    above = np.zeros(len(probabilities), dtype=np.int64)
    for level in range(1, taxonomy.height + 1):
        nodes = np.array(taxonomy.level_nodes(level), dtype=np.int64)
        here = nodes[probabilities[:, nodes].argmax(axis=1)]
        is_inconsistent |= ~taxonomy.ancestors[here, above]
        above = here
    return is_inconsistent


def _conditional_terms(
    probabilities: Float[np.ndarray, "sample node"], labels: Int[np.ndarray, " sample"], relations: Relations
) -> dict[str, Float[np.ndarray, " sample"]]:
    depths = relations.taxonomy.depth
    levels = range(1, relations.taxonomy.height + 1)
    n_asked = {level: np.zeros(len(labels)) for level in levels}
    n_right = {level: np.zeros(len(labels)) for level in levels}
    for parent, children in relations.children:
        level = int(depths[parent]) + 1
        called = children[probabilities[:, children].argmax(axis=1)]
        goes_through = relations.taxonomy.ancestors[labels, parent]
        is_asked = goes_through & relations.known[labels][:, children].any(axis=1)
        n_asked[level] += is_asked
        n_right[level] += is_asked & relations.known[labels, called]
    terms = {f"conditional {level}": n_asked[level] for level in levels}
    return terms | {f"conditional right {level}": n_right[level] for level in levels}


def _counts(flat: Int[np.ndarray, " sample"], shape: tuple[int, int]) -> Int[np.ndarray, "patient column"]:
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
