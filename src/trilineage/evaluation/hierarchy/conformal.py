"""Sets of diagnoses with guaranteed coverage over new patients: the node to which the argmax leaf must be widened."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from trilineage.core.errors import ConfigError
from trilineage.core.records import NodePrediction, Score, Unit
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.node_sums import labelled_nodes
from trilineage.evaluation.hierarchy.relations import require_nodes
from trilineage.evaluation.means import mean_scores
from trilineage.evaluation.resampling import Scale

ConformalScore = Literal["below", "node"]
"""What a threshold is held against; `fit_conformal` says how the two differ."""

SHIFT_WARNING = (
    "the coverage holds for new patients like those of the calibration; another stain, scanner, site or mix of "
    "diagnoses breaks it"
)
"""Must be shown wherever sets are."""


@dataclass(frozen=True)
class Conformal:
    """A threshold that was calibrated on patients the model has not seen."""

    coverage: float
    """Share of new patients (or of images, each new patient weighing the same) whose set holds the truth, at least."""
    score: ConformalScore
    """What the threshold is held against."""
    threshold: float
    """Probability up to which sets are widened; infinite where every set must be the root."""
    n_patients: int
    """Patients behind the threshold."""
    n_samples: int
    """Samples behind the threshold."""
    warning: str = SHIFT_WARNING
    """What breaks the promise."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values; an infinite threshold becomes None."""
        return asdict(self) | {"threshold": self.threshold if np.isfinite(self.threshold) else None}


def fit_conformal(
    prediction: NodePrediction, taxonomy: Taxonomy, *, coverage: float = 0.9, score: ConformalScore = "below"
) -> Conformal:
    """Find the threshold of the sets on patients that were neither trained nor tuned on.

    From the most probable leaf climb to the root over nodes n_0, n_1, ... of growing probability; n_j is the first
    that holds the truth. With score `node` the sample scores p(n_j), and the set of a new sample is the last node
    with p(n) <= threshold. With score `below` it scores p(n_j-1), or 0 for n_0, and the set is the first node with
    p(n) > threshold: climb until sure enough. Both sets hold exactly the truths whose score is at most the
    threshold. With `node` the root, whose probability is always 1, is the set of everybody or of nobody: where more
    than 1 - coverage of the mistakes go wrong below the root, all sets are the root; `below` widens the unsure ones.

    The threshold is the `coverage` quantile of the scores, where each of the K patients weighs 1 / (K + 1), shared
    by its samples, and 1 / (K + 1) lies at infinity. With one sample per patient this is split conformal prediction
    (Vovk et al. 2005); with several it is the hierarchical one of Lee, Barber and Willett (2023), whose coverage is
    that of a random sample of a new patient. Either is at least `coverage` on average over calibrations if patients
    are exchangeable. A shift breaks it.

    Parameters
    ----------
    prediction
        Probabilities and labels; for sets of patients give the prediction of `patients.decide_patients`. A label at
        an inner node is held by a set that holds the whole node, which is on the safe side.
    taxonomy
        Tree or DAG.
    coverage
        Share of patients to cover.
    score
        What the threshold is held against.

    Raises
    ------
    ConfigError
        A coverage that is not between 0 and 1.
    CohortError
        No sample has a label, or the nodes are not those of the taxonomy.
    """
    if not 0.0 < coverage < 1.0:
        raise ConfigError(
            "a coverage that cannot be promised",
            seen=coverage,
            allowed="above 0 and below 1",
            remedy="0.9 is usual",
        )
    require_nodes(prediction, taxonomy)
    is_known, _ = labelled_nodes(prediction)
    assert prediction.labels is not None
    scores = conformal_scores(
        prediction.probabilities[is_known], prediction.labels[is_known], taxonomy, score=score
    )
    _, codes, counts = np.unique(prediction.patients[is_known], return_inverse=True, return_counts=True)
    weights = 1.0 / ((len(counts) + 1) * counts[codes])
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= coverage - 1e-12
    threshold = float(scores[order][reached.argmax()]) if reached.any() else float("inf")
    return Conformal(coverage, score, threshold, len(counts), len(scores))


def conformal_sets(
    probabilities: Float[np.ndarray, "sample node"], taxonomy: Taxonomy, conformal: Conformal
) -> Int[np.ndarray, " sample"]:
    """Return the node whose leaves are the set of each sample; at least the most probable leaf.

    With score `node`, and even that leaf more probable than the threshold, the set would be empty; giving the leaf
    covers no less.
    """
    way, reached = climb(probabilities, taxonomy)
    n_passed = (reached <= conformal.threshold).sum(axis=1)
    last = (
        np.minimum(n_passed, way.shape[1] - 1) if conformal.score == "below" else np.maximum(n_passed - 1, 0)
    )
    return np.take_along_axis(way, last[:, None], axis=1)[:, 0]


def conformal_scores(
    probabilities: Float[np.ndarray, "sample node"],
    labels: Int[np.ndarray, " sample"],
    taxonomy: Taxonomy,
    *,
    score: ConformalScore = "below",
) -> Float[np.ndarray, " sample"]:
    """Return the probability of the first node on the climb that holds the label, or of the one below it."""
    way, reached = climb(probabilities, taxonomy)
    first = taxonomy.ancestors[labels[:, None], way].argmax(axis=1)
    if score == "below":
        reached = np.concatenate([np.zeros((len(reached), 1)), reached[:, :-1]], axis=1)
    return np.take_along_axis(reached, first[:, None], axis=1)[:, 0]


def climb(
    probabilities: Float[np.ndarray, "sample node"], taxonomy: Taxonomy
) -> tuple[Int[np.ndarray, "sample step"], Float[np.ndarray, "sample step"]]:
    """Return the nodes from the most probable leaf to the root, and their probabilities made to grow.

    In a DAG the climb goes to the least probable parent, which widens the set least. The root has probability 1, is
    reached by everyone and repeated where the way is short. A node that is less probable than one below it (a model
    whose nodes contradict each other) counts as probable as that one, so that sets grow with the threshold.
    """
    here = taxonomy.leaf_nodes[probabilities[:, taxonomy.leaf_nodes].argmax(axis=1)]
    rows, way = np.arange(len(here)), [here]
    for _ in range(taxonomy.height):
        above = np.zeros_like(here)
        for node in np.unique(here).tolist():
            parents = np.array(taxonomy.parents[node] or (0,), dtype=np.int64)
            at = here == node
            above[at] = parents[probabilities[np.ix_(at, parents)].argmin(axis=1)]
        here = above
        way.append(here)
    nodes = np.stack(way, axis=1)
    reached = probabilities[rows[:, None], nodes].astype(np.float64)
    reached = np.where(nodes == 0, 1.0, np.minimum(reached, 1.0))
    return nodes, np.maximum.accumulate(reached, axis=1)


def score_sets(
    prediction: NodePrediction,
    taxonomy: Taxonomy,
    conformal: Conformal,
    *,
    unit: Unit = "sample",
    level: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[Score]:
    """Score sets on other patients: share covered, mean number of leaves, share of single leaves, share of roots.

    Give the patients' prediction for unit `patient`. Each patient weighs the same, as in the promise.

    Raises
    ------
    CohortError
        No sample has a label, or the nodes are not those of the taxonomy.
    """
    require_nodes(prediction, taxonomy)
    is_known, note = labelled_nodes(prediction)
    assert prediction.labels is not None
    labels, sets = (
        prediction.labels[is_known],
        conformal_sets(prediction.probabilities[is_known], taxonomy, conformal),
    )
    sizes = taxonomy.leaf_sets.sum(axis=1)[sets].astype(np.float64)
    share, n_leaves = (0.0, 1.0), float(len(taxonomy.leaves))
    terms: dict[str, tuple[np.ndarray, Scale]] = {
        "set_coverage": (taxonomy.ancestors[labels, sets], Scale(share)),
        "set_size": (sizes, Scale((1.0, n_leaves), is_lower_better=True)),
        "set_is_leaf": (sizes == 1.0, Scale(share)),
        "set_is_root": (sets == 0, Scale(share, is_lower_better=True)),
    }
    scores = mean_scores(
        {name: (numbers.astype(np.float64), scale) for name, (numbers, scale) in terms.items()},
        prediction.patients[is_known],
        labels,
        unit=unit,
        level=level,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    return [replace(score, note="; ".join(filter(None, (score.note, note)))) for score in scores]
