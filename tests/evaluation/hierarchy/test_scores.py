"""Scores on a taxonomy: the reference values, hiclass, scikit-learn, inner labels, intervals that cover."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from trilineage.core.errors import CohortError, UnknownOptionError
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.scores import compare_nodes, score_decided, score_nodes
from trilineage.evaluation.hierarchy.settings import METRIC_NAMES, NodeEvaluationSettings

QUICK = NodeEvaluationSettings(n_bootstrap=200)


def values(scores) -> dict[str, float]:
    return {score.metric: score.value for score in scores}


@pytest.fixture
def decided(sure, leukemia):
    """Return the scores of decisions for labels, both by name."""

    def make(labels, decisions, metrics=METRIC_NAMES):
        prediction = sure(labels, ["normal"] * len(labels))
        settings = QUICK.replace(metrics=metrics)
        return values(
            score_decided(
                Decided(prediction, leukemia.codes(np.array(decisions))), leukemia, settings=settings
            )
        )

    return make


@pytest.mark.parametrize(
    ("label", "decision", "expected"),
    [
        ("ALL", "AML", (2 / 3, 2 / 3, 2 / 3)),
        ("ALL", "CLL", (1 / 3, 1 / 3, 1 / 3)),
        ("ALL", "normal", (0, 0, 0)),
        ("ALL", "acute", (1, 2 / 3, 0.8)),
        ("normal", "ALL", (0, 0, 0)),
        ("acute", "ALL", (1, 1, 1)),
        ("acute", "CLL", (1 / 3, 1 / 2, 0.4)),
        ("ALL", "diagnosis", (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("average", ["", "_sample_macro", "_class_macro"])
def test_precision_recall_and_f1_of_one_decision_are_those_counted_by_hand(
    decided, label, decision, expected, average
):
    found = decided([label], [decision])
    parts = [found[f"hierarchical_{part}{average}"] for part in ("precision", "recall", "f1")]
    assert parts == pytest.approx(expected)
