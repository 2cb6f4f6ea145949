"""Tokens with norms far above the others: bounds from medians, the mask, and their number."""

import numpy as np
from jaxtyping import Bool, Float

from trilineage.data.tokens.settings import OutlierSettings


def norm_bounds(
    norms: Float[np.ndarray, "image token"], settings: OutlierSettings, *, n_prefix: int
) -> Float[np.ndarray, " token"]:
    """Return the largest norm a token may have at each place of an image.

    Parameters
    ----------
    norms
        Norm of each token of some images.
    settings
        How far above the median a norm may be.
    n_prefix
        Tokens before the patches; they have a median of their own.

    Examples
    --------
    >>> norms = np.array([[9.0, 1.0, 1.0], [11.0, 1.0, 7.0]])
    >>> norm_bounds(norms, OutlierSettings(norm_factor=3), n_prefix=1).tolist()
    [30.0, 3.0, 3.0]
    """
    bounds = np.full(norms.shape[1], np.inf)
    if settings.norm_factor > 0 and norms.size:
        for part in (slice(0, n_prefix), slice(n_prefix, None)):
            if norms[:, part].size:
                bounds[part] = settings.norm_factor * float(np.median(norms[:, part]))
    return bounds


def is_ordinary(
    norms: Float[np.ndarray, "image token"], settings: OutlierSettings, *, n_prefix: int
) -> Bool[np.ndarray, "image token"]:
    """Tell which tokens are no outliers; all of them where the settings keep all.

    Examples
    --------
    >>> norms = np.array([[1.0, 1.0], [1.0, 7.0]])
    >>> is_ordinary(norms, OutlierSettings(norm_factor=3), n_prefix=0).tolist()
    [[True, True], [True, False]]
    """
    return norms <= norm_bounds(norms, settings, n_prefix=n_prefix)
