"""What each metric is called on the page, which way it is better, what it means and with which others it is read."""

import re
from typing import NamedTuple


class Metric(NamedTuple):
    """A metric in the words of a reader."""

    name: str
    """As it stands in a sentence."""
    meaning: str = ""
    """One line under the name in the long tables."""
    group: str = ""
    """Heading under which it is listed."""
    is_lower_better: bool = False
    """Whether less of it is better."""


LEAVES = "Leaves: one class among all"
TREE = "Along the tree: how much of the path is right"
LEVELS = "Level by level"
COST = "How bad mistakes are"
PROBABILITIES = "Probabilities"
AGREEMENT = "Agreement beyond chance"
GROUPS = (LEAVES, TREE, LEVELS, COST, PROBABILITIES, AGREEMENT)
"""Groups of the metrics on a tree, in the order in which they are read."""

_SHARED = "nodes of decision and label, ancestors included, the root left out"

CLASS_METRICS = {
    "accuracy": Metric("accuracy"),
    "balanced_accuracy": Metric("balanced accuracy"),
    "macro_f1": Metric("macro F1"),
    "weighted_f1": Metric("weighted F1"),
    "mcc": Metric("MCC"),
    "auroc": Metric("AUROC"),
    "auprc": Metric("AUPRC"),
    "brier": Metric("Brier score", is_lower_better=True),
    "ece": Metric("calibration error", is_lower_better=True),
}
"""Metrics of classes side by side, in the order in which they are shown."""

NODE_METRICS = {
    "leaf_balanced_accuracy": Metric(
        "leaf balanced accuracy",
        "mean over leaves of the share called right: rare leaves count as much",
        LEAVES,
    ),
    "leaf_accuracy": Metric("leaf accuracy", "share whose leaf is called right", LEAVES),
    "leaf_macro_f1": Metric("leaf macro F1", "mean over leaves of the F1", LEAVES),
    "leaf_mcc": Metric("leaf MCC", "correlation of label and decision, 0 for guessing", LEAVES),
    "hierarchical_f1": Metric("hierarchical F1", f"harmonic mean of the next two; {_SHARED}", TREE),
    "hierarchical_precision": Metric(
        "hierarchical precision", "share of the nodes claimed that are true", TREE
    ),
    "hierarchical_recall": Metric("hierarchical recall", "share of the true nodes that are claimed", TREE),
    **{
        f"hierarchical_{part}_{over}_macro": Metric(
            f"hierarchical {word}, mean over {each}s", f"the same, every {each} counting as much", TREE
        )
        for over, each in (("sample", "case"), ("class", "label"))
        for part, word in (("f1", "F1"), ("precision", "precision"), ("recall", "recall"))
    },
    "node_macro_f1": Metric("node F1", "mean over nodes of the F1 of 'this node or below'", TREE),
    "full_path_accuracy": Metric("full-path accuracy", "share whose decision is the label or below it", TREE),
    "path_inconsistency": Metric(
        "path inconsistency", "share whose levels, each read by itself, lie on no one path", TREE, True
    ),
    "hierarchical_distance": Metric(
        "hierarchical distance",
        "levels up to the nearest common ancestor, 0 where right; mean over all",
        COST,
        True,
    ),
    "mistake_severity": Metric(
        "mistake severity", "the same over wrong decisions only: many mild mistakes lower it", COST, True
    ),
    "clinical_cost": Metric(
        "clinical cost", "mean cost of the decisions, by the table of the taxonomy", COST, True
    ),
    "log_loss": Metric("log loss", "mean of −log p(label)", PROBABILITIES, True),
    "kappa": Metric("Cohen's kappa", "agreement of label and decision beyond chance", AGREEMENT),
    "cost_weighted_kappa": Metric(
        "cost-weighted kappa", "the same, disagreement weighed by clinical cost", AGREEMENT
    ),
}
"""Metrics of decisions on a tree of classes, in the order in which they are listed."""

OTHER_METRICS = {
    "precision": Metric("precision"),
    "recall": Metric("recall"),
    "f1": Metric("F1"),
    "set_coverage": Metric("sets that hold the truth", "share; each patient weighs the same"),
    "set_size": Metric("leaves in a set", "mean", is_lower_better=True),
    "set_is_leaf": Metric("sets that are one leaf", "the decision stands as it is"),
    "set_is_root": Metric("sets that are the whole tree", "nothing can be said", is_lower_better=True),
    "pointing": Metric("pointing game", "share of maps whose highest point lies in the cell"),
    "pointing_by_chance": Metric("pointing by chance", "share of the image that is cell"),
    "energy_inside": Metric("evidence inside the cell", "share of the map's sum"),
    "energy_by_chance": Metric("evidence inside by chance", "share of the image that is cell"),
    "iou": Metric("overlap with the cell", "intersection over union at the best threshold"),
    "nucleus_share": Metric("evidence in the nucleus", "share of the map's sum"),
    "cytoplasm_share": Metric("evidence in the cytoplasm", "share of the map's sum"),
    "background_share": Metric("evidence in the background", "share of the map's sum", is_lower_better=True),
    "nucleus_area": Metric("nucleus, share of the image"),
    "cytoplasm_area": Metric("cytoplasm, share of the image"),
    "background_area": Metric("background, share of the image"),
    "deletion_auc": Metric(
        "deletion", "area under the probability while the map's highest pixels go first", is_lower_better=True
    ),
    "insertion_auc": Metric(
        "insertion", "area under the probability while the map's highest pixels come first"
    ),
    "cohen_kappa": Metric("Cohen's kappa"),
    "weighted_kappa": Metric("cost-weighted kappa"),
    "fleiss_kappa": Metric("Fleiss' kappa"),
    "loss: clean": Metric("loss on the tokens themselves", "cross entropy", is_lower_better=True),
    "loss: reconstruction": Metric("loss on the reconstruction", "cross entropy", is_lower_better=True),
    "loss: mean": Metric("loss on the mean token", "cross entropy", is_lower_better=True),
    "loss recovered": Metric("loss recovered", "1: nothing is lost; 0: no better than the mean token"),
    "correlation_log_mean_activation": Metric("strength", "correlation of log mean activations"),
    "rank_correlation_mean_activation": Metric("order of strength", "rank correlation of mean activations"),
    "correlation_log_frequency": Metric("frequency", "correlation of log shares of images that are active"),
}
"""Metrics of single nodes, of sets, of maps, of readers and of concepts."""

_KNOWN = {**CLASS_METRICS, **NODE_METRICS, **OTHER_METRICS}
_LEVEL = re.compile(r"accuracy_level_(\d+)_(end_to_end|conditional)")
_DISTANCE = re.compile(r"hierarchical_distance_at_(\d+)")
_LAST = 10_000


def described(metric: str) -> Metric:
    """Return what is known of a metric; one that is not known is called by its name.

    Examples
    --------
    >>> described("accuracy_level_2_end_to_end").name, described("recall@10").name
    ('level 2 accuracy, end to end', 'recall@10')
    """
    if metric in _KNOWN:
        return _KNOWN[metric]
    if level := _LEVEL.fullmatch(metric):
        number, kind = level.groups()
        if kind == "end_to_end":
            return Metric(f"level {number} accuracy, end to end", "whatever went wrong above counts", LEVELS)
        return Metric(
            f"level {number} accuracy, true parent given", "as if the level above were right", LEVELS
        )
    if distance := _DISTANCE.fullmatch(metric):
        k = distance.group(1)
        best = "most probable leaf" if k == "1" else f"{k} most probable leaves"
        return Metric(f"distance of the {best}", "mean over these leaves, whatever was decided", COST, True)
    return Metric(metric.replace("_", " "))


def order_of(metric: str) -> tuple[int, int, str]:
    """Return the key that sorts metrics as they are shown: those of classes, those of trees by group, then others."""
    if metric in CLASS_METRICS:
        return -1, list(CLASS_METRICS).index(metric), metric
    group = described(metric).group
    place = list(NODE_METRICS).index(metric) if metric in NODE_METRICS else _LAST
    level = _LEVEL.fullmatch(metric)
    if level:
        place = 2 * int(level.group(1)) + (level.group(2) == "conditional")
    return (GROUPS.index(group) if group else _LAST), place, metric
