"""Where a patient lies in a reference cohort: the nearest patients, and the latents that are out of the common."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.data.barcodes.barcode import Barcodes, require_comparable
from trilineage.evaluation.barcodes.make import weigh

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of the reference patients beside a patient's barcode."""


class NearestPatients(NamedTuple):
    """The nearest reference patients of each patient, nearest first."""

    names: Shaped[np.ndarray, "patient rank"]
    """Their names (str)."""
    labels: Shaped[np.ndarray, "patient rank"] | None
    """Their labels, where known."""
    distances: Float[np.ndarray, "patient rank"]
    """Cosine distance of log(1 + tokens per image), in [0, 1]."""


class Standing(NamedTuple):
    """A patient's barcode beside those of the reference, the most remarkable latents first."""

    latents: Int[np.ndarray, " shown"]
    """The latents."""
    value: Float[np.ndarray, " shown"]
    """Tokens per image of the patient."""
    share_below: Float[np.ndarray, " shown"]
    """Share of the reference patients with less; ties count half."""
    deviation: Float[np.ndarray, " shown"]
    """Difference of log(1 + value) from the reference mean, in standard deviations of the reference."""
    quantiles: Float[np.ndarray, "quantile shown"]
    """Tokens per image of the reference patients at `QUANTILES`."""


def nearest_patients(
    patients: Barcodes, reference: Barcodes, *, n: int = 5, leave_out_self: bool = True
) -> NearestPatients:
    """Find the reference patients with the most similar barcodes.

    Parameters
    ----------
    patients, reference
        Barcodes of the same encoder and dictionary, weighting `mean` or `log1p`.
    n
        How many.
    leave_out_self
        Whether a patient of the same name is left out.

    Raises
    ------
    ArtifactError
        If they are of different encoders or dictionaries, or were made in different ways.
    CohortError
        If the reference has fewer patients than are asked for.
    """
    require_comparable(patients, reference)
    same = patients.names[:, None] == reference.names[None, :]
    n_there = len(reference) - int(same.any(axis=1).any() and leave_out_self)
    if n_there < n:
        raise CohortError(
            "a reference cohort with too few patients",
            seen=f"{n_there} other patients",
            allowed=f"at least {n}",
            remedy="ask for fewer, or take a larger reference",
        )
    one, other = (_directions(barcodes) for barcodes in (patients, reference))
    distances = np.clip(1.0 - (one @ other.T).toarray(), 0.0, 1.0)
    if leave_out_self:
        distances[same] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :n]
    return NearestPatients(
        reference.names[order],
        None if reference.labels is None else reference.labels[order],
        np.take_along_axis(distances, order, axis=1),
    )


def standing(
    patients: Barcodes,
    row: int,
    reference: Barcodes,
    *,
    n: int = 20,
    among: Int[np.ndarray, " latent"] | None = None,
) -> Standing:
    """Compare one patient's barcode with the reference, latent by latent, and return the farthest of them.

    A reference patient of the same name is left out. The deviation is floored by the smallest spread that a tenth of
    the reference patients would make by one token each, so that a latent which nobody has does not win by a trifle.

    Parameters
    ----------
    patients, row
        Where the patient is.
    reference
        The reference cohort.
    n
        How many latents.
    among
        Latents to look at; None for all.

    Raises
    ------
    ArtifactError
        If they are of different encoders or dictionaries, or were made in different ways.
    CohortError
        If the reference has no two other patients.
    ConfigError
        If the barcodes are weighted.
    """
    require_comparable(patients, reference)
    weigh(reference, "mean")
    others = np.flatnonzero(reference.names != patients.names[row])
    if len(others) < 2:
        raise CohortError(
            "a reference cohort with too few patients",
            seen=f"{len(others)} other patients",
            allowed="at least 2",
            remedy="take a larger reference",
        )
    values = sp.csc_array(reference.values[others])
    own = patients.values[[row]].toarray()[0]
    latents = np.flatnonzero((np.diff(values.indptr) > 0) | (own > 0))
    latents = latents if among is None else np.intersect1d(latents, among)
    own, beside = own[latents].astype(np.float64), values[:, latents].toarray().astype(np.float64)
    logs = np.log1p(beside)
    spread = np.maximum(logs.std(axis=0, ddof=1), np.log(2.0) * np.sqrt(0.1 * 0.9))
    deviation = (np.log1p(own) - logs.mean(axis=0)) / spread
    chosen = np.argsort(-np.abs(deviation), kind="stable")[:n]
    own, beside = own[chosen], beside[:, chosen]
    below = ((beside < own).sum(axis=0) + 0.5 * (beside == own).sum(axis=0)) / len(others)
    return Standing(latents[chosen], own, below, deviation[chosen], np.quantile(beside, QUANTILES, axis=0))


def _directions(barcodes: Barcodes) -> sp.csr_array:
    """Return log barcodes of length 1 (a patient without any active latent stays 0, at distance 1 from all)."""
    rows = (weigh(barcodes, "log1p") if barcodes.weighting == "mean" else barcodes).values.astype(np.float64)
    norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    scale = 1.0 / np.where(norms > 0, norms, 1.0)
    return sp.csr_array(
        (rows.data * np.repeat(scale, np.diff(rows.indptr)), rows.indices, rows.indptr), rows.shape
    )
