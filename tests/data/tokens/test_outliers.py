"""Outlier norms: class and patch tokens are each measured by their own median."""

import numpy as np

from trilineage.data.tokens.outliers import is_ordinary, norm_bounds
from trilineage.data.tokens.settings import OutlierSettings


def test_a_large_class_token_is_no_outlier_among_class_tokens():
    norms = np.ones((4, 3), np.float32)
    norms[:, 0] = 100
    norms[2, 1] = 50
    ordinary = is_ordinary(norms, OutlierSettings(norm_factor=4), n_prefix=1)
    assert np.argwhere(~ordinary).tolist() == [[2, 1]]


def test_a_factor_of_0_keeps_all():
    assert np.isinf(norm_bounds(np.ones((2, 3)), OutlierSettings(), n_prefix=1)).all()


def test_no_image_bounds_nothing():
    bounds = norm_bounds(np.ones((0, 3)), OutlierSettings(norm_factor=2), n_prefix=1)
    assert np.isinf(bounds).all()
