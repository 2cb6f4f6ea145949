"""Metrics of decisions and probabilities on a taxonomy, each a function of sums over samples."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.evaluation.agreement import weighted_kappa
from trilineage.evaluation.hierarchy.node_sums import SMALLEST, NodeTotals
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.metrics import Totals, mcc, mean_of_known, ratio
from trilineage.evaluation.resampling import Scale

Values = Float[np.ndarray, "*resample"]
Table = Float[np.ndarray, "node node"]
ByLabel = Float[np.ndarray, "*resample node"]


class NodeMetric(NamedTuple):
    """One metric: how it follows from the sums, and its range."""

    compute: Callable[[NodeTotals], Values]
    """Value under each resample; NaN where it cannot be computed."""
    scale: Scale
    """Range and direction."""


def node_metrics(relations: Relations, metrics: Sequence[str], top_k: Sequence[int]) -> dict[str, NodeMetric]:
    """Return the metrics that were asked for, by name, in their order.

    What each does with labels at inner nodes and with decisions for inner nodes:

    `hierarchical_precision`, `_recall`, `_f1` (Kiritchenko et al. 2006): nodes of decision and label with
    their ancestors but the root; summed over samples. `_sample_macro` is the mean over samples (as hiclass's macro),
    `_class_macro` the mean over labels of the sums within each label. Nodes that may be true below a label are not
    counted as claimed. `node_macro_f1` is the mean over nodes of the F1 of "is it this node or below".
    `full_path_accuracy`: the decision is the label or below it. A decision above the label is wrong.
    `accuracy_level_L_end_to_end`: of samples whose label states a node of level L, those whose decision holds it,
    whatever went wrong above. `accuracy_level_L_conditional`: the same with the true parent given, that is, whether
    its most probable child is true (how the published models of single levels are scored); it does not depend on the
    rule that decides. `path_inconsistency`: share of samples whose levels, each read on its own, are on no one path.
    `hierarchical_distance`: mean height of the lowest common ancestor of label and decision, 0 where right; `_at_k`
    the same over the k most probable leaves (Bertinetto et al. 2020). `mistake_severity`: the mean over
    wrong decisions only; never read it alone, many mild mistakes lower it. `clinical_cost`: mean cost of the decision.
    `leaf_*`, `kappa` and `cost_weighted_kappa`: of samples whose label is a leaf; a decision for an inner node is
    wrong. `cost_weighted_kappa` (Cohen 1968) weighs disagreement by clinical cost. `log_loss`: -log p(label).
    """
    built = dict(_every_metric(relations, top_k))
    chosen: dict[str, NodeMetric] = {}
    for name in metrics:
        chosen |= {full: metric for (group, full), metric in built.items() if group == name}
    return chosen


def _every_metric(relations: Relations, top_k: Sequence[int]) -> Iterator[tuple[tuple[str, str], NodeMetric]]:
    """Yield the metrics by group name and name."""
    unit, lower = Scale((0.0, 1.0)), Scale((0.0, 1.0), is_lower_better=True)
    heights = Scale((0.0, float(relations.taxonomy.height)), is_lower_better=True)
    single: dict[str, tuple[Callable[[NodeTotals], Values], Scale]] = {}
    for place, part in enumerate(("precision", "recall", "f1")):
        single[f"hierarchical_{part}"] = partial(_hierarchical, relations, place), unit
        single[f"hierarchical_{part}_sample_macro"] = partial(_sample_macro, relations, place), unit
        single[f"hierarchical_{part}_class_macro"] = partial(_class_macro, relations, place), unit
    single |= {
        "node_macro_f1": (partial(_node_macro_f1, relations), unit),
        "full_path_accuracy": (partial(_mean_of, relations.is_right.astype(np.float64)), unit),
        "path_inconsistency": (partial(_term_mean, "inconsistent"), lower),
        "hierarchical_distance": (partial(_mean_of, relations.heights), heights),
        "mistake_severity": (partial(_severity, relations), heights),
        "clinical_cost": (
            partial(_mean_of, relations.costs),
            Scale((0.0, float(relations.costs.max())), is_lower_better=True),
        ),
        "leaf_accuracy": (partial(_leaf_accuracy, relations), unit),
        "leaf_balanced_accuracy": (partial(_leaf_balanced_accuracy, relations), unit),
        "leaf_macro_f1": (partial(_leaf_macro_f1, relations), unit),
        "leaf_mcc": (partial(_leaf_mcc, relations), Scale((-1.0, 1.0))),
        "kappa": (partial(_kappa, relations, 1.0 - np.eye(relations.taxonomy.n_nodes)), Scale((-1.0, 1.0))),
        "cost_weighted_kappa": (partial(_kappa, relations, relations.costs), Scale((-np.inf, 1.0))),
        "log_loss": (partial(_term_mean, "log_loss"), Scale((0.0, -np.log(SMALLEST)), is_lower_better=True)),
    }
    for name, (compute, scale) in single.items():
        yield (name, name), NodeMetric(compute, scale)
    for level in range(1, relations.taxonomy.height + 1):
        for kind, compute in (
            ("end_to_end", partial(_level_accuracy, relations, level)),
            ("conditional", partial(_conditional_accuracy, level)),
        ):
            yield (f"level_accuracy_{kind}", f"accuracy_level_{level}_{kind}"), NodeMetric(compute, unit)
    for k in top_k:
        metric = NodeMetric(partial(_term_mean, f"distance {k}"), heights)
        yield ("hierarchical_distance_at_k", f"hierarchical_distance_at_{k}"), metric


def missing_node_reason(name: str) -> str:
    """Say why a metric is NaN."""
    if name == "mistake_severity":
        return "not computable: no mistake"
    if name.startswith(("leaf_", "kappa", "cost_weighted")):
        return "not computable: no sample labelled with a leaf, or one label only"
    return "not computable: no label goes that far"


def _hierarchical_parts(relations: Relations, totals: NodeTotals) -> tuple[ByLabel, ByLabel, ByLabel]:
    """Return, by label, the nodes shared, claimed and stated."""
    return (
        (totals.confusion * relations.shared).sum(axis=-1),
        (totals.confusion * relations.claimed).sum(axis=-1),
        totals.confusion.sum(axis=-1) * relations.sizes,
    )


def _precision_recall_f1(
    place: int, shared: np.ndarray, claimed: np.ndarray, stated: np.ndarray
) -> np.ndarray:
    """Return one of the three; precision is 0 where nothing is claimed but something is stated."""
    if place == 0:
        return np.where((claimed <= 0) & (stated > 0), 0.0, ratio(shared, claimed))
    return ratio(shared, stated) if place == 1 else ratio(2.0 * shared, claimed + stated)


def _hierarchical(relations: Relations, place: int, totals: NodeTotals) -> Values:
    parts = (part.sum(axis=-1) for part in _hierarchical_parts(relations, totals))
    return _precision_recall_f1(place, *parts)


def _class_macro(relations: Relations, place: int, totals: NodeTotals) -> Values:
    return mean_of_known(_precision_recall_f1(place, *_hierarchical_parts(relations, totals)))


def _sample_macro(relations: Relations, place: int, totals: NodeTotals) -> Values:
    stated = np.broadcast_to(relations.sizes[:, None], relations.shared.shape)
    table = _precision_recall_f1(place, relations.shared, relations.claimed, stated)
    return _mean_of(np.nan_to_num(table), totals)


def _node_macro_f1(relations: Relations, totals: NodeTotals) -> Values:
    """Return the mean over nodes (but the root) of 2 true positives / (stated + claimed)."""
    known = relations.known.astype(np.float64)
    claims = totals.confusion @ known
    right = (claims * known).sum(axis=-2)
    claimed = (claims * ~relations.unknown).sum(axis=-2)
    stated = totals.confusion.sum(axis=-1) @ known
    return mean_of_known(ratio(2.0 * right, claimed + stated))


def _mean_of(table: Table, totals: NodeTotals) -> Values:
    """Return the mean over samples of a number given for each label and decision."""
    return ratio((totals.confusion * table).sum(axis=(-2, -1)), totals.confusion.sum(axis=(-2, -1)))


def _term_mean(name: str, totals: NodeTotals) -> Values:
    return ratio(totals.terms[name], totals.confusion.sum(axis=(-2, -1)))


def _severity(relations: Relations, totals: NodeTotals) -> Values:
    wrong = totals.confusion * ~relations.is_right
    return ratio((wrong * relations.heights).sum(axis=(-2, -1)), wrong.sum(axis=(-2, -1)))


def _level_accuracy(relations: Relations, level: int, totals: NodeTotals) -> Values:
    reaching = totals.confusion.sum(axis=-1) * relations.reaches(level)
    return ratio((totals.confusion * relations.is_right_at(level)).sum(axis=(-2, -1)), reaching.sum(axis=-1))


def _conditional_accuracy(level: int, totals: NodeTotals) -> Values:
    return ratio(totals.terms[f"conditional right {level}"], totals.terms[f"conditional {level}"])


def _of_leaves(relations: Relations, totals: NodeTotals) -> Float[np.ndarray, "*resample node node"]:
    """Return the confusion of the samples whose label is a leaf."""
    is_leaf = relations.taxonomy.heights == 0
    return totals.confusion * is_leaf[:, None]


def _diagonal(confusion: Float[np.ndarray, "*resample node node"]) -> ByLabel:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _leaf_accuracy(relations: Relations, totals: NodeTotals) -> Values:
    confusion = _of_leaves(relations, totals)
    return ratio(_diagonal(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def _leaf_balanced_accuracy(relations: Relations, totals: NodeTotals) -> Values:
    confusion = _of_leaves(relations, totals)
    return mean_of_known(ratio(_diagonal(confusion), confusion.sum(axis=-1)))


def _leaf_macro_f1(relations: Relations, totals: NodeTotals) -> Values:
    confusion = _of_leaves(relations, totals)
    f1 = ratio(2.0 * _diagonal(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))
    return mean_of_known(f1[..., relations.taxonomy.leaf_nodes])


def _leaf_mcc(relations: Relations, totals: NodeTotals) -> Values:
    confusion = _of_leaves(relations, totals)
    leading = confusion.shape[:-2]
    return mcc(Totals(confusion, np.zeros(leading), np.zeros((*leading, 1, 3))))


def _kappa(relations: Relations, weights: Table, totals: NodeTotals) -> Values:
    """Return 1 - observed / expected weighted disagreement (Cohen 1968)."""
    return weighted_kappa(_of_leaves(relations, totals), weights)
