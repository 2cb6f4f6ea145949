"""Result records: frozen, and ready for JSON."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from trilineage.core.records import Comparison, Prediction, Score


def test_a_score_is_json_ready_and_complete():
    score = Score("accuracy", 0.9, 0.8, 0.95, n_patients=10)
    assert Score(**json.loads(json.dumps(score.to_dict()))) == score


def test_a_comparison_is_json_ready_and_complete():
    comparison = Comparison("accuracy", "model", "baseline: majority", 0.1, None, None, p_value=0.02)
    assert Comparison(**json.loads(json.dumps(comparison.to_dict()))) == comparison


def test_records_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Score("accuracy", 0.9, 0.8, 0.95).value = 1.0


def test_a_prediction_of_the_wrong_shape_is_noticed_in_tests():
    names = np.array(["a", "b"])
    with pytest.raises(Exception, match="probabilities"):
        Prediction(names, names, ("x", "y"), np.zeros((3, 2)))
