"""In every test, wrong types and shapes are refused wherever a function of the package is called."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from trilineage.core.records import Score
from trilineage.evaluation.metrics import calibration_bins, squared_errors

PROBABILITIES = np.full((3, 2), 0.5)


def test_an_array_of_another_kind_is_refused():
    with pytest.raises(TypeCheckError):
        calibration_bins(np.array([1, 0]))


def test_arrays_that_share_an_axis_have_one_length():
    squared_errors(np.array([0, 1, 1]), PROBABILITIES)
    with pytest.raises(TypeCheckError):
        squared_errors(np.array([0, 1]), PROBABILITIES)


def test_an_axis_may_have_another_length_in_the_next_call():
    assert len(calibration_bins(np.full(3, 0.5))) == 3
    assert len(calibration_bins(np.full(5, 0.5))) == 5


def test_a_field_of_another_type_is_refused():
    with pytest.raises(TypeCheckError):
        Score("accuracy", "0.8", None, None)


def test_a_whole_number_is_welcome_where_a_number_is_asked_for():
    assert Score("accuracy", 1, None, None).value == 1
