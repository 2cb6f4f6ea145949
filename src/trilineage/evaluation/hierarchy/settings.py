"""Options of decisions on a taxonomy and of their scores."""

from typing import Literal, Self

from pydantic import Field, model_validator

from trilineage.core.config import Settings
from trilineage.core.errors import UnknownOptionError
from trilineage.core.registry import nearest_remedy

Rule = Literal["leaf_argmax", "top_down", "expected_cost", "majority_path", "optimal_hf"]
"""How node probabilities become one node; `decoding.decode` says what each does."""

PatientRule = Literal["mode", "mean", "mean_log"]
"""How the images of a patient become one decision; `patients.decide_patients` says what each does."""

METRIC_NAMES = (
    "hierarchical_precision",
    "hierarchical_recall",
    "hierarchical_f1",
    "hierarchical_precision_sample_macro",
    "hierarchical_recall_sample_macro",
    "hierarchical_f1_sample_macro",
    "hierarchical_precision_class_macro",
    "hierarchical_recall_class_macro",
    "hierarchical_f1_class_macro",
    "node_macro_f1",
    "full_path_accuracy",
    "level_accuracy_end_to_end",
    "level_accuracy_conditional",
    "path_inconsistency",
    "hierarchical_distance",
    "hierarchical_distance_at_k",
    "mistake_severity",
    "clinical_cost",
    "leaf_accuracy",
    "leaf_balanced_accuracy",
    "leaf_macro_f1",
    "leaf_mcc",
    "kappa",
    "cost_weighted_kappa",
    "log_loss",
)
"""Metrics of `node_metrics`; the two of a level and the one at k become one score for each level and each k."""


class NodeEvaluationSettings(Settings):
    """Options of decisions on a taxonomy, of their scores and of the intervals over patients."""

    rule: Rule = "leaf_argmax"
    """How node probabilities become a decision."""
    patient_rule: PatientRule = "mode"
    """How the images of a patient become one decision; the mode is what was published."""
    metrics: tuple[str, ...] = METRIC_NAMES
    """Metrics to report."""
    top_k: tuple[int, ...] = (1, 3)
    """Numbers of most probable leaves whose distance from the truth is averaged (`hierarchical_distance_at_k`)."""
    n_bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the patients behind each interval."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Nominal coverage of the intervals."""
    n_permutations: int = Field(default=1000, ge=99)
    """Swaps of the two models behind the p-value of a comparison."""

    @model_validator(mode="after")
    def _refuse_unknown_metrics(self) -> Self:
        for name in self.metrics:
            if name not in METRIC_NAMES:
                raise UnknownOptionError(
                    f"there is no metric {name!r} of nodes",
                    allowed=", ".join(METRIC_NAMES),
                    remedy=nearest_remedy(name, METRIC_NAMES),
                )
        return self
