"""Many tests at once: p-values adjusted so that the expected share of false discoveries stays below a bound."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from trilineage.core.errors import ConfigError

FdrMethod = Literal["benjamini-hochberg", "benjamini-yekutieli"]


def adjusted_p_values(
    p_values: Float[np.ndarray, "*test"], method: FdrMethod = "benjamini-hochberg"
) -> Float[np.ndarray, "*test"]:
    """Return the least false discovery rate at which each test would be a discovery (its q-value).

    Benjamini and Hochberg (1995) hold the rate for independent tests and for those that depend on each other
    positively (as latents that fire together do); Benjamini and Yekutieli (2001, theorem 1.3) for any dependence, at
    the price of a factor of about ln(n) + 0.58.

    Parameters
    ----------
    p_values
        In [0, 1], of all tests that were made; the shape does not matter.
    method
        Which of the two.

    Raises
    ------
    ConfigError
        A p-value is none.

    Examples
    --------
    >>> adjusted_p_values(np.array([0.01, 0.04, 0.03, 0.5])).round(3).tolist()
    [0.04, 0.053, 0.053, 0.5]
    """
    flat = np.asarray(p_values, dtype=np.float64).ravel()
    is_wrong = ~((flat >= 0) & (flat <= 1))
    if is_wrong.any():
        raise ConfigError(
            f"{int(is_wrong.sum())} of {len(flat)} p-values are none",
            seen=flat[is_wrong][0],
            allowed="numbers from 0 to 1",
            remedy="leave out the tests that could not be made",
        )
    order = np.argsort(flat, kind="stable")
    ranks = np.arange(1, len(flat) + 1)
    factor = len(flat) * (np.sum(1.0 / ranks) if method == "benjamini-yekutieli" else 1.0)
    least_above = np.minimum.accumulate((flat[order] * factor / ranks)[::-1])[::-1]
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(least_above, 1.0)
    return adjusted.reshape(p_values.shape)
