"""The plain way to see a patient: the mean of the vectors of its images (CLS tokens, or means of tokens)."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int, Shaped

from trilineage.core.errors import CohortError, ConfigError, MatrixError
from trilineage.data.cohort import shown
from trilineage.evaluation.barcodes.sums import require_groups

MEAN_CLS = "baseline: mean-pooled CLS"
MEAN_TOKENS = "baseline: mean-pooled tokens"
NEURONS = "baseline: barcode of raw neurons"
RANDOM_SAE = "baseline: barcode of a random autoencoder"
ATTENTION = "baseline: attention pooling"


class MeanTally:
    """Means of the vectors of each patient's images; images come in any order and any portions.

    Parameters
    ----------
    names
        The patients (str), each once.
    width
        Axes of the vectors.
    """

    def __init__(self, names: Shaped[np.ndarray, " patient"], width: int):
        self.names, self.width = np.asarray(names).astype(str), width
        self.n_images = np.zeros(len(names), dtype=np.int64)
        self._sums = np.zeros((len(names), width))

    def add(self, vectors: Float[np.ndarray, "image width"], patients: Int[np.ndarray, " image"]) -> None:
        """Add the vectors of some images.

        Raises
        ------
        ConfigError
            If they have another width.
        MatrixError
            If they are no numbers; the first image concerned is named by its place.
        CohortError
            If an image belongs to none of the patients.
        """
        require_groups(patients, len(vectors), len(self.names))
        if vectors.shape[1] != self.width:
            raise ConfigError(
                "vectors of another width",
                seen=vectors.shape[1],
                allowed=self.width,
                remedy="take all vectors from the same encoder",
            )
        is_bad = ~np.isfinite(vectors).all(axis=1)
        if is_bad.any():
            raise MatrixError(
                f"{int(is_bad.sum())} of {len(vectors)} images have vectors that are no numbers",
                seen=f"NaN or infinity in the image at place {int(np.flatnonzero(is_bad)[0])}",
                allowed="finite numbers",
                remedy="extract the tokens of that image again in float32, or leave it out",
            )
        np.add.at(self._sums, patients, vectors.astype(np.float64))
        self.n_images += np.bincount(patients, minlength=len(self.names))

    def merge(self, other: "MeanTally") -> None:
        """Add what another tally, of other images of the same patients, has seen."""
        if not np.array_equal(self.names, other.names) or self.width != other.width:
            raise ConfigError("two tallies of means of different patients or widths")
        self._sums = self._sums + other._sums
        self.n_images = self.n_images + other.n_images

    def features(self) -> Float64[np.ndarray, "patient width"]:
        """Return the mean vector of each patient.

        Raises
        ------
        CohortError
            If a patient has no image.
        """
        empty = self.names[self.n_images == 0]
        if len(empty):
            raise CohortError(
                f"{len(empty)} patients without an image have no mean",
                seen=shown(empty),
                allowed="at least 1 image per patient",
                remedy="leave these patients out, or look for their images",
            )
        means: Any = self._sums / self.n_images[:, None]
        return means
