"""Temperatures on a taxonomy, fitted on whole patients: one for each softmax, before anything is multiplied."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logsumexp

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.calibration import TEMPERATURE_RANGE, Calibration, calibrate, patient_weights
from trilineage.evaluation.hierarchy.relations import Relations

Scope = Literal["parents", "leaves", "nodes"]
LEAST_LOG = -300.0
"""Stands for the logarithm of a probability that was rounded to 0."""


@dataclass(frozen=True)
class NodeCalibration:
    """Temperatures and what they changed on the samples they were fitted on."""

    scope: Scope
    """What has a temperature: the children of each inner node, all leaves together, or all nodes together."""
    temperatures: dict[str, float]
    """Divisor of the logits, by inner node; by `leaves` or `nodes` where there is one for all."""
    ece_before: dict[str, float]
    """Expected calibration error of the highest probability before, by the same names; NaN without labels."""
    ece_after: dict[str, float]
    """The same after scaling."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values; NaN becomes None."""
        errors = {
            name: {node: None if np.isnan(value) else value for node, value in getattr(self, name).items()}
            for name in ("ece_before", "ece_after")
        }
        return {"scope": self.scope, "temperatures": dict(self.temperatures)} | errors


def fit_node_temperatures(
    log_probabilities: Float[np.ndarray, "sample node"],
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    taxonomy: Taxonomy,
    *,
    scope: Scope | None = None,
) -> NodeCalibration:
    """Find the temperatures of least negative log-likelihood, each patient weighing the same.

    With scope `parents` (the default for a tree) the conditional log p(child | parent) of each inner node gets a
    temperature of its own, fitted on the samples whose label goes through it: focal loss is no proper scoring rule,
    and over-confidence multiplied along a path grows. `leaves` scales one softmax over the leaves, which is what a
    flat model has; samples labelled at inner nodes are left out. `nodes` (the only one for the sigmoids of a DAG)
    divides the logit of every node by the same number, which keeps a parent at least as probable as its children.
    A temperature is 1 where the data do not determine one (as in `trilineage.evaluation.calibration`).

    Parameters
    ----------
    log_probabilities
        Of every node.
    labels
        Node index, which may be an inner node; -1 where unknown.
    patients
        Patient of each sample; not those the model was trained on.
    taxonomy
        Tree or DAG.
    scope
        What has a temperature.

    Raises
    ------
    ConfigError
        Scope `parents` in a DAG, whose children do not sum to their parent.
    """
    scope = scope or ("parents" if taxonomy.is_tree else "nodes")
    _require_tree(scope, taxonomy)
    logs = np.maximum(log_probabilities.astype(np.float64), LEAST_LOG)
    if scope == "nodes":
        return _fit_nodes(logs, labels, patients, taxonomy)
    parts = {}
    for name, columns, codes in _softmaxes(labels, taxonomy, scope):
        has_code = codes >= 0
        logits = logs[has_code][:, columns]
        parts[name] = (
            calibrate(logits - logits.max(axis=1, keepdims=True), codes[has_code], patients[has_code])
            if has_code.any()
            else Calibration(1.0, float("nan"), float("nan"))
        )
    return NodeCalibration(
        scope,
        {name: part.temperature for name, part in parts.items()},
        {name: part.ece_before for name, part in parts.items()},
        {name: part.ece_after for name, part in parts.items()},
    )


def apply_node_temperatures(
    log_probabilities: Float[np.ndarray, "sample node"], calibration: NodeCalibration, taxonomy: Taxonomy
) -> Float[np.ndarray, "sample node"]:
    """Return the log-probabilities of the nodes after scaling; in a tree children sum to their parent again."""
    logs = np.maximum(log_probabilities.astype(np.float64), LEAST_LOG)
    _require_tree(calibration.scope, taxonomy)
    if calibration.scope == "nodes":
        return log_expit(_logits(logs) / calibration.temperatures["nodes"])
    if calibration.scope == "leaves":
        leaves = log_softmax(logs[:, taxonomy.leaf_nodes] / calibration.temperatures["leaves"], axis=1)
        sums = [logsumexp(leaves[:, below], axis=1) for below in taxonomy.leaf_sets]
        return np.minimum(np.stack(sums, axis=1), 0.0)
    scaled = np.zeros_like(logs)
    for parent, children in Relations(taxonomy).children:
        temperature = calibration.temperatures[taxonomy.nodes[parent]]
        conditional = log_softmax(logs[:, children] / temperature, axis=1)
        scaled[:, children] = scaled[:, parent, None] + conditional
    return scaled


def _require_tree(scope: Scope, taxonomy: Taxonomy) -> None:
    if scope == "parents" and not taxonomy.is_tree:
        raise ConfigError(
            "temperatures of parents need a tree",
            seen=f"{taxonomy.name}, whose children do not sum to their parent",
            allowed="leaves, nodes",
            remedy="choose one of these",
        )


def _softmaxes(
    labels: Int[np.ndarray, " sample"], taxonomy: Taxonomy, scope: Scope
) -> list[tuple[str, Int[np.ndarray, " column"], Int[np.ndarray, " sample"]]]:
    """Return name, columns and true column (-1: not asked) of each softmax."""
    if scope == "leaves":
        return [("leaves", taxonomy.leaf_nodes, _codes_below(labels, taxonomy.leaf_nodes, taxonomy))]
    return [
        (taxonomy.nodes[parent], children, _codes_below(labels, children, taxonomy))
        for parent, children in Relations(taxonomy).children
    ]


def _codes_below(
    labels: Int[np.ndarray, " sample"], columns: Int[np.ndarray, " column"], taxonomy: Taxonomy
) -> Int[np.ndarray, " sample"]:
    """Return which of the columns each label is or is below; -1 for none."""
    is_below = taxonomy.ancestors[:, columns]
    codes = np.where(is_below.any(axis=1), is_below.argmax(axis=1), -1)
    return np.where(labels >= 0, codes[labels], -1)


def _logits(logs: Float[np.ndarray, "sample node"]) -> Float[np.ndarray, "sample node"]:
    """Return log p - log(1 - p), finite where p is rounded to 1."""
    return logs - np.log(np.maximum(-np.expm1(logs), np.exp(LEAST_LOG)))


def _fit_nodes(
    logs: Float[np.ndarray, "sample node"],
    labels: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    taxonomy: Taxonomy,
) -> NodeCalibration:
    """Fit one temperature to the yes-or-no questions of all nodes that a label answers."""
    is_known = labels > 0
    if not is_known.any():
        nothing = {"nodes": float("nan")}
        return NodeCalibration("nodes", {"nodes": 1.0}, nothing, nothing)
    logits, truth = _logits(logs[is_known])[:, 1:], taxonomy.ancestors[labels[is_known]][:, 1:]
    weight = patient_weights(patients[is_known])[:, None]
    weight = weight * ~Relations(taxonomy).unknown[labels[is_known]][:, 1:]
    signed = np.where(truth, logits, -logits)

    def loss(log_temperature: float) -> float:
        return float(-(weight * log_expit(signed / np.exp(log_temperature))).sum())

    low, high = np.log(TEMPERATURE_RANGE)
    found = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    is_useless = min(found - low, high - found) < 1e-3 or loss(found) >= loss(0.0)
    temperature = 1.0 if is_useless else float(np.exp(found))
    errors = [_node_error(expit(logits / t), truth.astype(np.float64), weight) for t in (1.0, temperature)]
    return NodeCalibration("nodes", {"nodes": temperature}, {"nodes": errors[0]}, {"nodes": errors[1]})


def _node_error(
    probabilities: Float[np.ndarray, "sample node"],
    truth: Float[np.ndarray, "sample node"],
    weight: Float[np.ndarray, "sample node"],
) -> float:
    """Return the mean over nodes of the calibration error of their probabilities."""
    bins = np.clip(np.ceil(probabilities * 15).astype(np.int64) - 1, 0, 14)
    errors = []
    for node in range(probabilities.shape[1]):
        gaps = np.bincount(bins[:, node], weight[:, node] * (truth - probabilities)[:, node])
        errors.append(np.abs(gaps).sum() / max(weight[:, node].sum(), 1e-12))
    return float(np.mean(errors))
