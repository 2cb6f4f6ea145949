"""Stains of a blood smear as directions of optical density, and the two published ways to give all images one stain."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class StainReference(NamedTuple):
    """A stain that others are compared with or brought to."""

    vectors: Float64[np.ndarray, "2 3"]
    """Direction of each stain (thiazine blue, eosin) in optical density of red, green and blue; of length 1."""
    strengths: Float64[np.ndarray, " 2"]
    """99th percentile of the amount of each stain."""
    means: Float64[np.ndarray, " 3"]
    """Mean of l, alpha and beta (Reinhard)."""
    deviations: Float64[np.ndarray, " 3"]
    """Standard deviation of l, alpha and beta (Reinhard)."""

    @property
    def basis(self) -> Float64[np.ndarray, "3 3"]:
        """The two stains and the direction at right angles to both, for what they leave unexplained."""
        rest = np.cross(self.vectors[0], self.vectors[1])
        return np.vstack([self.vectors, rest / np.linalg.norm(rest)])


MAY_GRUENWALD_GIEMSA = StainReference(
    vectors=np.array([[0.60, 0.74, 0.30], [0.15, 0.63, 0.76]]),
    strengths=np.array([1.0, 0.6]),
    means=np.zeros(3),
    deviations=np.ones(3),
)
