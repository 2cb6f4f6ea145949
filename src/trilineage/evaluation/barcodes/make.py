"""Make barcodes of patients from the codes of their images, in a stream; of classes from those of patients."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import ConfigError, DataError
from trilineage.data.barcodes.barcode import Barcodes, Weighting
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.barcodes.sums import GroupSums, require_groups


class BarcodeTally:
    """Counts of active tokens per patient and latent; images come in any order and any portions.

    Parameters
    ----------
    names
        The patients (str), each once.
    n_latents
        Latents there are.
    tau
        Activation above which a latent counts as active in a token; the codes must have been counted at it.
    uses_cls
        Whether the CLS token counts, as in the published barcode, or the patches alone.
    """

    def __init__(
        self,
        names: Shaped[np.ndarray, " patient"],
        n_latents: int,
        *,
        tau: float = 0.2,
        uses_cls: bool = True,
    ):
        self.names, self.tau, self.uses_cls = np.asarray(names).astype(str), float(tau), uses_cls
        self.n_images = np.zeros(len(names), dtype=np.int64)
        self.peak = 0.0
        self._sums = GroupSums(len(names), n_latents)

    def add(self, codes: ImageCodes, patients: Int[np.ndarray, " image"]) -> None:
        """Count the codes of some images.

        Parameters
        ----------
        codes
            Codes of images, each image once over all calls.
        patients
            Row of each image's patient in `names`.

        Raises
        ------
        ConfigError
            If they were counted at another tau, have another number of latents, or lack tokens that are asked for.
        DataError
            If activations are no numbers.
        CohortError
            If an image belongs to none of the patients.
        """
        self._require_fitting(codes)
        require_groups(patients, len(codes), len(self.names))
        self._sums.add(codes.matrix("above", with_cls=self.uses_cls), patients)
        self.n_images += np.bincount(patients, minlength=len(self.names))
        peaks = np.maximum(codes.peaks, codes.cls) if self.uses_cls else codes.peaks
        self.peak = max(self.peak, float(peaks.max(initial=0.0)))

    def merge(self, other: "BarcodeTally") -> None:
        """Add what another tally, of other images, has counted.

        Raises
        ------
        ConfigError
            If it counts other patients, other latents or in another way.
        """
        mine, its = (
            (tally.names.tolist(), tally._sums.shape, tally.tau, tally.uses_cls) for tally in (self, other)
        )
        if mine != its:
            raise ConfigError(
                "two tallies of barcodes that cannot be added",
                seen=f"{its[1][0]} patients, {its[1][1]} latents, tau {its[2]}, CLS {its[3]}",
                allowed=f"{mine[1][0]} patients, {mine[1][1]} latents, tau {mine[2]}, CLS {mine[3]}, the same names",
                remedy="count all parts with the same options",
            )
        self._sums.add_sums(other._sums.total())
        self.n_images = self.n_images + other.n_images
        self.peak = max(self.peak, other.peak)

    def barcodes(
        self,
        *,
        labels: Shaped[np.ndarray, " patient"] | None = None,
        sites: Shaped[np.ndarray, " patient"] | None = None,
        dictionary_key: str = "",
        encoder_key: str = "",
    ) -> Barcodes:
        """Return the barcodes: counts divided by the number of images of the patient.

        Raises
        ------
        CohortError
            If a patient has no image.
        DataError
            If no latent exceeds tau anywhere.
        """
        total = self._sums.total()
        if total.nnz == 0 and self.n_images.any():
            raise DataError(
                f"no latent exceeds tau = {self.tau:g} in any token",
                seen=f"largest activation {self.peak:.4g}, in {int(self.n_images.sum()):,} images",
                allowed="a tau below the largest activation",
                remedy="lower tau and encode the images again",
            )
        rows = np.repeat(np.arange(len(self.names)), np.diff(total.indptr))
        values = (total.data / np.maximum(self.n_images, 1)[rows]).astype(np.float32)
        return Barcodes(
            names=self.names,
            values=sp.csr_array((values, total.indices, total.indptr), shape=total.shape),
            n_images=self.n_images,
            labels=labels,
            sites=sites,
            tau=self.tau,
            uses_cls=self.uses_cls,
            dictionary_key=dictionary_key,
            encoder_key=encoder_key,
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything that was counted, by name."""
        total = self._sums.total()
        return {
            "names": self.names,
            "n_images": self.n_images,
            "about": np.array([self.tau, self.uses_cls, self.peak, self._sums.shape[1]]),
            "data": total.data,
            "indices": total.indices,
            "indptr": total.indptr,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the tally that `to_arrays` was called on."""
        tau, uses_cls, peak, n_latents = arrays["about"].tolist()
        tally = cls(arrays["names"], int(n_latents), tau=tau, uses_cls=bool(uses_cls))
        tally.n_images, tally.peak = arrays["n_images"].copy(), peak
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        tally._sums.add_sums(sp.csr_array(parts, shape=tally._sums.shape))
        return tally

    def _require_fitting(self, codes: ImageCodes) -> None:
        if not np.isclose(codes.tau, self.tau, rtol=1e-6, atol=0.0):
            side = "below" if self.tau < codes.tau else "above"
            raise ConfigError(
                f"a barcode at a tau {side} the one the codes were counted at",
                seen=f"tau = {self.tau:g}",
                allowed=f"tau = {codes.tau:g}: how many tokens exceed another one was not kept",
                remedy=f"encode the images again with tau = {self.tau:g}",
            )
        if codes.n_latents != self._sums.shape[1]:
            raise ConfigError(
                "codes of another autoencoder",
                seen=f"{codes.n_latents:,} latents",
                allowed=f"{self._sums.shape[1]:,} latents",
                remedy="encode all images with the same autoencoder",
            )
        is_bad = ~(np.isfinite(codes.peaks) & np.isfinite(codes.cls))
        if is_bad.any():
            image = int(np.searchsorted(codes.indptr, np.flatnonzero(is_bad)[0], side="right")) - 1
            raise DataError(
                "codes that are no numbers",
                seen=f"NaN or infinity in the image at position {int(codes.positions[image])}",
                allowed="finite activations",
                remedy="extract the tokens of that image again in float32, or leave it out",
            )


def class_barcodes(barcodes: Barcodes) -> Barcodes:
    """Return the barcode of each label (disease, class): the mean over its patients, every patient weighing the same.

    Raises
    ------
    CohortError
        A patient has no label.
    """
    classes, codes = np.unique(barcodes.require_labels(), return_inverse=True)
    sums = GroupSums(len(classes), barcodes.n_latents)
    sums.add(barcodes.values, codes)
    total, n_patients = sums.total(), np.bincount(codes)
    rows = np.repeat(np.arange(len(classes)), np.diff(total.indptr))
    values = (total.data / n_patients[rows]).astype(np.float32)
    return replace(
        barcodes,
        names=classes,
        values=sp.csr_array((values, total.indices, total.indptr), shape=total.shape),
        n_images=np.bincount(codes, barcodes.n_images).astype(np.int64),
        labels=classes,
        sites=None,
    )


def inverse_frequencies(barcodes: Barcodes) -> Float[np.ndarray, " latent"]:
    """Return ln((1 + n) / (1 + m)) + 1 of each latent, m of the n patients having it (smoothed idf of scikit-learn)."""
    n_with = np.bincount(barcodes.values.indices[barcodes.values.data > 0], minlength=barcodes.n_latents)
    return np.log((1.0 + len(barcodes)) / (1.0 + n_with)) + 1.0


def weigh(
    barcodes: Barcodes, weighting: Weighting, *, idf: Float[np.ndarray, " latent"] | None = None
) -> Barcodes:
    """Return barcodes with the weighting that is asked for.

    Parameters
    ----------
    barcodes
        With weighting `mean`.
    weighting
        `log1p`: log(1 + tokens per image); `tf-idf`: share of the patient's active tokens times `idf`.
    idf
        From `inverse_frequencies` of the reference patients; None takes these patients.

    Raises
    ------
    ConfigError
        The barcodes carry another weighting already.
    """
    if barcodes.weighting != "mean" and barcodes.weighting != weighting:
        raise ConfigError(
            "barcodes that are weighted already",
            seen=barcodes.weighting,
            allowed="mean",
            remedy="start from the mean numbers of tokens",
        )
    if weighting == barcodes.weighting:
        return barcodes
    values = barcodes.values.astype(np.float64)
    if weighting == "log1p":
        data = np.log1p(values.data)
    else:
        rows = np.repeat(np.arange(len(barcodes)), np.diff(values.indptr))
        totals = np.bincount(rows, values.data, minlength=len(barcodes))
        known = inverse_frequencies(barcodes) if idf is None else idf
        data = values.data / np.where(totals > 0, totals, 1.0)[rows] * known[values.indices]
    weighed = sp.csr_array((data.astype(np.float32), values.indices, values.indptr), shape=values.shape)
    return replace(barcodes, values=weighed, weighting=weighting)
