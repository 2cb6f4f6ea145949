"""The barcode of a patient: for each latent, the tokens of an image in which it is active, mean over the images."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import ArtifactError, CohortError, MatrixError
from trilineage.data.cohort import shown
from trilineage.data.tokens.reader import require_same_encoder

Weighting = Literal["mean", "log1p", "tf-idf"]
"""Tokens per image as they are, log(1 + them), or shares weighted by how rare the latent is among patients."""


@dataclass(frozen=True)
class Barcodes:
    """Barcodes of some patients (or of classes, one row each) that were all made with the same encoder and latents.

    Image i has a_i[s] = number of tokens j with f_ij[s] > tau; a patient has the mean of a_i over its images (Dasdelen
    et al. 2025, arXiv 2507.12464, divided by the number of images, so that it does not grow with the cell count).

    Raises
    ------
    CohortError
        Columns of different length, a name twice, or a patient without an image.
    MatrixError
        Values that are negative or no numbers.
    """

    names: Shaped[np.ndarray, " patient"]
    """Patient (or class) of each row (str), each once."""
    values: sp.csr_array
    """patient x latent, float32, at least 0; indices ascending."""
    n_images: Int[np.ndarray, " patient"]
    """Images behind each row, at least 1."""
    labels: Shaped[np.ndarray, " patient"] | None = None
    """Label of each patient (str), where known; an empty text is unknown."""
    sites: Shaped[np.ndarray, " patient"] | None = None
    """Site of each patient (str), where known."""
    tau: float = 0.2
    """Activation above which a latent counts as active in a token."""
    uses_cls: bool = True
    """Whether the CLS token is counted with the patches."""
    weighting: Weighting = "mean"
    """What was done to the mean numbers of tokens."""
    dictionary_key: str = ""
    """Digest of the autoencoder whose latents these are."""
    encoder_key: str = ""
    """Digest of the encoder whose tokens it reads."""

    def __post_init__(self) -> None:
        _require_columns(self)
        empty = self.names[self.n_images < 1]
        if len(empty):
            raise CohortError(
                f"{len(empty)} patients without an image have no barcode",
                seen=shown(empty),
                allowed="at least 1 image per patient",
                remedy="leave these patients out, or look for their images",
            )
        data = self.values.data
        is_bad = ~np.isfinite(data) | (data < 0)
        if is_bad.any():
            row = int(np.searchsorted(self.values.indptr, np.flatnonzero(is_bad)[0], side="right")) - 1
            raise MatrixError(
                "barcode values that are negative or no numbers",
                seen=f"{int(is_bad.sum())} values, the first in the row of {self.names[row]}",
                allowed="finite numbers of at least 0",
                remedy="encode the images again",
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_latents(self) -> int:
        """Latents there are, silent ones included."""
        return int(self.values.shape[1])

    def subset(self, rows: Int[np.ndarray, " chosen"]) -> "Barcodes":
        """Return some rows in the order given."""
        columns = {name: column[rows] for name, column in columns_of(self).items()}
        return replace(self, values=sp.csr_array(self.values[rows]), **columns)

    def dense(self) -> Float[np.ndarray, "patient latent"]:
        """Return the values with their zeros; as large as patients times latents."""
        return self.values.toarray()

    def require_labels(self) -> Shaped[np.ndarray, " patient"]:
        """Return the labels.

        Raises
        ------
        CohortError
            A patient has none.
        """
        unknown = self.names if self.labels is None else self.names[self.labels == ""]
        if self.labels is None or len(unknown):
            raise CohortError(
                f"{len(unknown)} patients without a label",
                seen=shown(unknown),
                allowed="one label per patient",
                remedy="name the label column, or leave these patients out",
            )
        return self.labels


def require_comparable(first: Barcodes, second: Barcodes) -> None:
    """Refuse two sets of barcodes whose columns or numbers do not mean the same.

    Raises
    ------
    ArtifactError
        They come of another encoder or dictionary, or were counted in another way.
    """
    require_same_latents(
        (first.encoder_key, first.dictionary_key, first.n_latents),
        (second.encoder_key, second.dictionary_key, second.n_latents),
    )
    ways = [(one.tau, one.uses_cls, one.weighting) for one in (first, second)]
    if ways[0] != ways[1]:
        told = ["tau {}, CLS {}, {}".format(tau, "on" if cls else "off", how) for tau, cls, how in ways]
        raise ArtifactError(
            "barcodes that were counted in different ways",
            seen=f"{told[0]} and {told[1]}",
            allowed="the same tau, use of the CLS token and weighting",
            remedy="make both with the same options",
        )


def require_same_latents(first: tuple[str, str, int], second: tuple[str, str, int]) -> None:
    """Refuse to compare latents of different encoders or dictionaries: number 7 of one is not number 7 of the other.

    Parameters
    ----------
    first, second
        Key of the encoder, key of the dictionary and number of latents of the two cohorts.

    Raises
    ------
    ArtifactError
        They differ.
    """
    require_same_encoder(first[0], second[0])
    if first[1:] != second[1:]:
        raise ArtifactError(
            "the latents of the two cohorts are those of different autoencoders",
            seen=" and ".join(f"{key[:12] or 'none'} with {n:,} latents" for _, key, n in (first, second)),
            allowed="one autoencoder for both",
            remedy="encode the second cohort with the autoencoder of the first",
        )


def columns_of(barcodes: Barcodes) -> dict[str, np.ndarray]:
    """Return what there is of each patient besides the values, by name."""
    names = ("names", "n_images", "labels", "sites")
    return {name: getattr(barcodes, name) for name in names if getattr(barcodes, name) is not None}


def _require_columns(barcodes: Barcodes) -> None:
    lengths = {name: len(column) for name, column in columns_of(barcodes).items()}
    lengths["values"] = barcodes.values.shape[0]
    if len(set(lengths.values())) > 1:
        raise CohortError(
            "the columns of a table of barcodes differ in length",
            seen=", ".join(f"{name} {length}" for name, length in lengths.items()),
            allowed="one row per patient",
            remedy="take all columns from the same table",
        )
    names, counts = np.unique(barcodes.names, return_counts=True)
    if (counts > 1).any():
        raise CohortError(
            "a patient has several barcodes",
            seen=shown(names[counts > 1]),
            allowed="each patient once",
            remedy="join the images of a patient before its barcode is made",
        )
