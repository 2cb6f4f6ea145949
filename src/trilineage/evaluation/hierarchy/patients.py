"""From the images of a patient to one decision: the mode of the images, or their mean (log) probability."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError, ConfigError
from trilineage.core.records import NodePrediction
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.decoding import decode, leaf_shares
from trilineage.evaluation.hierarchy.relations import require_nodes

SMALLEST = 1e-12
"""Probability below which a logarithm is not followed: one image cannot veto a diagnosis on its own."""


@dataclass(frozen=True)
class Decided:
    """Probabilities of the nodes and the node decided for, of the same observations."""

    prediction: NodePrediction
    """Probabilities, patients and truth; one row per image or per patient."""
    decisions: Int[np.ndarray, " sample"]
    """Node index decided for."""


def decide(prediction: NodePrediction, taxonomy: Taxonomy, *, rule: str = "leaf_argmax") -> Decided:
    """Decide for a node in each sample.

    Raises
    ------
    CohortError
        The prediction is of another taxonomy.
    """
    require_nodes(prediction, taxonomy)
    return Decided(prediction, decode(prediction.probabilities, taxonomy, rule))


def decide_patients(
    prediction: NodePrediction, taxonomy: Taxonomy, *, rule: str = "mode", decoding: str = "leaf_argmax"
) -> Decided:
    """Decide for a node in each patient; the patients come sorted by name.

    Parameters
    ----------
    prediction
        Probabilities of the images. The label of a patient is the deepest of its images' labels, which must lie on
        one way to the root; images of unknown label (-1) say nothing.
    taxonomy
        Tree or DAG of the nodes.
    rule
        `mode` the node that most images are decided for, as published (Hamdi et al. 2023); of equals the one of
        greatest mean probability. The probabilities that come with it are means.
        `mean` decodes the mean probability. `mean_log` decodes the normalised geometric mean over the leaves of a
        tree (every image an independent witness); in a DAG the geometric mean of each node.
    decoding
        Rule of `decode`.

    Raises
    ------
    CohortError
        The images of a patient have labels of different branches, or the prediction is of another taxonomy.
    ConfigError
        There is no such rule.
    """
    require_nodes(prediction, taxonomy)
    if rule not in ("mode", "mean", "mean_log"):
        raise ConfigError(
            f"there is no rule {rule!r} for patients",
            allowed="mode, mean, mean_log",
            remedy="choose one of these",
        )
    names, codes = np.unique(prediction.patients, return_inverse=True)
    joined = replace(
        prediction,
        samples=names,
        patients=names,
        probabilities=_means(prediction.probabilities.astype(np.float64), codes),
        labels=patient_node_labels(prediction, taxonomy),
        sites=_patient_sites(prediction, codes, len(names)),
    )
    if rule == "mode":
        votes = decode(prediction.probabilities, taxonomy, decoding)
        return Decided(joined, _mode(votes, codes, joined.probabilities))
    if rule == "mean_log":
        joined = replace(joined, probabilities=_geometric_means(prediction, taxonomy, codes))
    return Decided(joined, decode(joined.probabilities, taxonomy, decoding))


def patient_node_labels(prediction: NodePrediction, taxonomy: Taxonomy) -> Int[np.ndarray, " patient"] | None:
    """Return the deepest label of each patient, in the order of their sorted names; -1 where no image has one.

    Raises
    ------
    CohortError
        The labels of a patient do not lie on one way to the root.
    """
    if prediction.labels is None:
        return None
    names, codes = np.unique(prediction.patients, return_inverse=True)
    labels = np.full(len(names), -1, dtype=np.int64)
    is_known = prediction.labels >= 0
    order = np.argsort(np.where(is_known, prediction.labels, 0), kind="stable")
    labels[codes[order]] = np.where(is_known, prediction.labels, -1)[
        order
    ]  # the last one written is the deepest
    of_patient = labels[codes[is_known]]
    fits = taxonomy.ancestors[of_patient, prediction.labels[is_known]]
    if not fits.all():
        several = np.unique(codes[is_known][~fits])
        raise CohortError(
            "patients with several labels have no score of their own",
            seen=", ".join(map(str, names[several][:8])),
            allowed="one label per patient, or labels on one way to the root",
            remedy="score samples instead",
        )
    return labels


def _means(
    values: Float[np.ndarray, "sample node"], codes: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "patient node"]:
    counts = np.bincount(codes)
    return np.stack([np.bincount(codes, column) / counts for column in values.T], axis=1)


def _geometric_means(
    prediction: NodePrediction, taxonomy: Taxonomy, codes: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "patient node"]:
    logs = np.log(np.maximum(prediction.probabilities.astype(np.float64), SMALLEST))
    means = _means(logs, codes)
    if not taxonomy.is_tree:
        return np.exp(means)
    means -= means[:, taxonomy.leaf_nodes].max(axis=1, keepdims=True)
    return leaf_shares(np.exp(means), taxonomy) @ taxonomy.leaf_sets.T.astype(np.float64)


def _mode(
    votes: Int[np.ndarray, " sample"],
    codes: Int[np.ndarray, " sample"],
    probabilities: Float[np.ndarray, "patient node"],
) -> Int[np.ndarray, " patient"]:
    shape = probabilities.shape
    counts = np.bincount(codes * shape[1] + votes, minlength=shape[0] * shape[1]).reshape(shape)
    is_mode = counts == counts.max(axis=1, keepdims=True)
    return np.where(is_mode, probabilities, -1.0).argmax(axis=1).astype(np.int64)


def _patient_sites(
    prediction: NodePrediction, codes: Int[np.ndarray, " sample"], n_patients: int
) -> Shaped[np.ndarray, " patient"] | None:
    """Return the site of each patient: that of its first image."""
    if prediction.sites is None:
        return None
    first = np.full(n_patients, len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    return prediction.sites[first]
