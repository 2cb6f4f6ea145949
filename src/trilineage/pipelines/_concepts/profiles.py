"""How often and how strongly latents fire in a cohort, kept beside its barcodes, and what shifted in another one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from trilineage.core.errors import CohortError
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.codes.store import CodeSource
from trilineage.data.cohort import Cohort
from trilineage.evaluation.barcodes.shift import ProfileTally, ShiftProfile, shift_report

_MATRICES = ("active", "amounts")
_KEYS = ("encoder_key", "dictionary_key")


def profile_of(
    codes: ImageCodes, positions: Int[np.ndarray, " image"], source: CodeSource, cohort: Cohort
) -> ShiftProfile:
    """Return the profile of some images of a cohort, patient by patient."""
    _, rows = np.unique(cohort.patient_codes[positions], return_inverse=True)
    tally = ProfileTally(int(rows.max()) + 1, codes.n_latents, with_cls=codes.has_cls)
    tally.add(codes.subset(positions), rows.astype(np.int64))
    return tally.profile(encoder_key=source.encoder_key, dictionary_key=source.dictionary_key)


def site_shifts(
    codes: ImageCodes,
    source: CodeSource,
    cohort: Cohort,
    parts: Mapping[str, Int[np.ndarray, " image"]],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Compare the held-out images of every site with the training images, as JSON-ready rows."""
    first = profile_of(codes, parts["train"], source, cohort)
    rows: list[dict[str, Any]] = []
    for name, positions in parts.items():
        if name == "train" or len(positions) == 0:
            continue
        about = {"cohort": name, "n_images": len(positions)}
        try:
            report = shift_report(first, profile_of(codes, positions, source, cohort), seed=seed)
        except CohortError as error:
            rows.append({**about, "note": error.what})
            continue
        rows.append({**about, "note": "", **report.to_dict()})
    return rows


def to_arrays(profile: ShiftProfile) -> dict[str, np.ndarray]:
    """Return a profile as arrays for a file."""
    arrays = {"n_images": profile.n_images, "shape": np.array(profile.active.shape)}
    arrays |= {key: np.array(getattr(profile, key)) for key in _KEYS}
    for name in _MATRICES:
        matrix = sp.csr_array(getattr(profile, name))
        arrays |= {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> ShiftProfile:
    """Return the profile that `to_arrays` was called on."""
    shape = tuple(arrays["shape"].tolist())
    matrices = {
        name: sp.csr_array(
            tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")), shape=shape
        )
        for name in _MATRICES
    }
    keys = {key: str(arrays[key]) for key in _KEYS}
    return ShiftProfile(arrays["n_images"], **matrices, **keys)
