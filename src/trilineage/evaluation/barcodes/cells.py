"""The cells that show a concept: of some patients, the images and patches in which a latent is strongest."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64, Shaped

from trilineage.data.codes.image_codes import ImageCodes


class ShowingCells(NamedTuple):
    """Images of one latent, strongest first."""

    latent: int
    """The latent."""
    images: Int64[np.ndarray, " shown"]
    """Rows of the image table."""
    patches: Int32[np.ndarray, " shown"]
    """Patch of the largest activation, from 0 in reading order."""
    peaks: Float32[np.ndarray, " shown"]
    """That activation."""


def cells_that_show(
    parts: Iterable[ImageCodes],
    latents: Int[np.ndarray, " chosen"],
    patients: Shaped[np.ndarray, " table_image"],
    *,
    of: Shaped[np.ndarray, " patient"] | None = None,
    n_cells: int = 8,
    per_patient: int = 2,
) -> list[ShowingCells]:
    """Find the images whose largest patch activation is highest, not more than a few of one patient.

    Parameters
    ----------
    parts
        Codes of images, in any portions; only what may still be shown is kept.
    latents
        Which latents.
    patients
        Patient of each row of the image table, to which `ImageCodes.positions` refer.
    of
        Patients whose images may be shown (those with the disease); None for all.
    n_cells, per_patient
        Images shown per latent, and of one patient.
    """
    names, codes = np.unique(patients, return_inverse=True)
    is_asked = np.ones(len(names), dtype=bool) if of is None else np.isin(names, of)
    kept = {int(latent): _nothing() for latent in latents}
    for part in parts:
        is_wanted = np.isin(part.latents, latents) & (part.peaks > 0)
        rows = part.positions[part.rows[is_wanted]]
        columns = (part.latents[is_wanted], rows, part.peak_patches[is_wanted], part.peaks[is_wanted])
        shown = is_asked[codes[rows]]
        own, *found = (column[shown] for column in columns)
        for latent in np.unique(own):
            here = tuple(column[own == latent] for column in found)
            joined = [np.concatenate(pair) for pair in zip(kept[int(latent)], here, strict=True)]
            kept[int(latent)] = _strongest(joined, codes, n_cells, per_patient)
    return [ShowingCells(latent, *columns) for latent, columns in kept.items()]


def _nothing() -> tuple[np.ndarray, ...]:
    return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)


def _strongest(
    columns: list[np.ndarray], codes: Int[np.ndarray, " table_image"], n_cells: int, per_patient: int
) -> tuple[np.ndarray, ...]:
    """Order by peak, then row; leave out what a patient has beyond its share."""
    images, _, peaks = columns
    order = np.lexsort((images, -peaks))
    owners = codes[images[order]]
    by_owner = np.argsort(owners, kind="stable")
    _, starts, sizes = np.unique(owners[by_owner], return_index=True, return_counts=True)
    turn = np.empty(len(order), dtype=np.int64)
    turn[by_owner] = np.arange(len(order)) - np.repeat(starts, sizes)
    chosen = order[turn < per_patient][:n_cells]
    return tuple(column[chosen] for column in columns)
