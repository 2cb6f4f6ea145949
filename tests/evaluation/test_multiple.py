"""Adjusted p-values are those of SciPy, whatever the shape, and refuse what is no p-value."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from trilineage.core.errors import ConfigError
from trilineage.evaluation.multiple import adjusted_p_values


@pytest.mark.parametrize(("method", "short"), [("benjamini-hochberg", "bh"), ("benjamini-yekutieli", "by")])
def test_adjusted_p_values_are_those_of_scipy(method, short):
    p_values = np.random.default_rng(0).beta(0.3, 2.0, size=(40, 7)).round(3)  # rounded: with ties, and zeros
    expected = false_discovery_control(p_values.ravel(), method=short)
    assert adjusted_p_values(p_values, method) == pytest.approx(expected.reshape(40, 7))


def test_no_test_needs_no_adjustment():
    assert adjusted_p_values(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ConfigError, match="1 of 2 p-values are none"):
        adjusted_p_values(np.array([0.5, wrong]))
