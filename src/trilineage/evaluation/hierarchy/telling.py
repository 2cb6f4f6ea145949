"""The images that tell: those that speak most for and most against the decision for their patient."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from trilineage.core.records import NodePrediction
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.decoding import leaf_shares
from trilineage.evaluation.hierarchy.patients import SMALLEST, Decided
from trilineage.evaluation.hierarchy.relations import require_nodes

AGAINST_SHARE = 3
"""One in so many of the images of a patient may speak against the decision."""


class TellingImages(NamedTuple):
    """Images of patients in the order of the patients; of each those for the decision first, the strongest first."""

    images: Int[np.ndarray, " shown"]
    """Row of the prediction."""
    patients: Int[np.ndarray, " shown"]
    """Row of the decisions."""
    nodes: Int[np.ndarray, " shown"]
    """Node decided for; where that is the root, the most probable leaf of the patient."""
    probability: Float[np.ndarray, " shown"]
    """Probability of that node in the image, in [0, 1]."""
    of_patient: Float[np.ndarray, " shown"]
    """Probability of that node in the patient, in [0, 1]."""
    influence: Float[np.ndarray, " shown"]
    """Probability in the patient less what it would be without the image, in [-1, 1]; NaN for an only image."""
    speaks_for: Bool[np.ndarray, " shown"]
    """Whether the image was chosen among those that speak for the decision."""


def telling_images(
    prediction: NodePrediction, decided: Decided, taxonomy: Taxonomy, *, n_images: int, rule: str = "mode"
) -> TellingImages:
    """Choose, for each patient, the images that move the probability of its decision most.

    An image moves it by what the probability would lose without the image. Under a mean over images the order is that
    of their own probabilities: most of the images shown are the most probable ones (of equals the first); up to a
    third are the least probable ones, as far as they speak against the decision at all.

    Parameters
    ----------
    prediction
        Probabilities of the images.
    decided
        Decisions for the patients, sorted by name, as `decide_patients` gives them.
    taxonomy
        Tree or DAG of the nodes.
    n_images
        Images of a patient, at most.
    rule
        How images were joined to patients: `mean_log` joins by geometric means, `mode` and `mean` by means.

    Raises
    ------
    CohortError
        The prediction is of another taxonomy.
    """
    require_nodes(prediction, taxonomy)
    nodes = _explained_nodes(decided, taxonomy)
    order = np.argsort(prediction.patients, kind="stable")
    names, starts = np.unique(prediction.patients[order], return_index=True)
    assert np.array_equal(names, decided.prediction.patients)
    columns: list[tuple[np.ndarray, ...]] = []
    for row, own in enumerate(np.split(order, starts[1:])):
        node = int(nodes[row])
        values = prediction.probabilities[own, node].astype(np.float64)
        pooled, influence = _influence(prediction.probabilities[own], node, taxonomy, rule)
        chosen, speaks_for = _chosen(values, influence, n_images)
        same = np.full(len(chosen), row), np.full(len(chosen), node)
        numbers = values[chosen], np.full(len(chosen), pooled), influence[chosen]
        columns.append((own[chosen], *same, *numbers, speaks_for))
    return TellingImages(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _explained_nodes(decided: Decided, taxonomy: Taxonomy) -> Int[np.ndarray, " patient"]:
    """Return the decisions; the root, of which everything is certain, gives way to the most probable leaf."""
    leaves = taxonomy.leaf_nodes
    likeliest = leaves[decided.prediction.probabilities[:, leaves].argmax(axis=1)]
    return np.where(decided.decisions == 0, likeliest, decided.decisions)


def _influence(
    probabilities: Float[np.ndarray, "image node"], node: int, taxonomy: Taxonomy, rule: str
) -> tuple[float, Float[np.ndarray, " image"]]:
    """Return the probability of a node in a patient, and what it would lose without each image."""
    n_images = len(probabilities)
    if rule == "mean_log" and taxonomy.is_tree:
        logs = np.log(np.maximum(leaf_shares(probabilities, taxonomy), SMALLEST))
        below = taxonomy.leaf_sets[node]
        total = logs.sum(axis=0)
        pooled = float(softmax(total / n_images)[below].sum())
        without = softmax((total - logs) / max(n_images - 1, 1), axis=1)[:, below].sum(axis=1)
    else:
        values = probabilities[:, node].astype(np.float64)
        pooled = float(values.mean())
        without = (values.sum() - values) / max(n_images - 1, 1)
    return pooled, pooled - without if n_images > 1 else np.full(1, np.nan)


def _chosen(
    values: Float[np.ndarray, " image"], influence: Float[np.ndarray, " image"], n_images: int
) -> tuple[Int[np.ndarray, " shown"], Bool[np.ndarray, " shown"]]:
    """Return the images shown, those for the decision first, and which these are."""
    order = np.argsort(-values, kind="stable")
    n_against = min(n_images // AGAINST_SHARE, int((influence < 0).sum()), len(values) - 1)
    first = order[: n_images - n_against][: len(values) - n_against]
    last = order[::-1][:n_against]
    chosen = np.concatenate([first, last])
    return chosen, np.arange(len(chosen)) < len(first)
