"""Patients as barcodes of concepts: made, kept, classified, and searched for what marks each disease."""

import logging
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError
from trilineage.core.files import atomic_path
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.barcodes.files import write_barcodes
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.codes.store import CodeSource
from trilineage.data.cohort import Cohort
from trilineage.evaluation.barcodes.make import BarcodeTally
from trilineage.evaluation.barcodes.resampling import cells_needed, stability
from trilineage.pipelines._concepts.material import UNLABELLED

BARCODES = "barcodes.h5ad"
AGREEMENT = 0.9
"""Correlation at which the barcode of some cells counts as that of the patient."""
N_DRAWS = 10

logger = logging.getLogger(__name__)


class PatientRows(NamedTuple):
    """The patients of a cohort in the order of their barcodes."""

    names: np.ndarray
    """Patients (str), sorted."""
    rows: Int[np.ndarray, " image"]
    """Row of the patient of each image."""
    labels: np.ndarray | None
    """Label of each (str), "" where it has none; None where patients carry several."""
    sites: np.ndarray | None
    """Site of each (str); None where unknown or several."""


def patient_rows(cohort: Cohort) -> PatientRows:
    """Return the patients with what all their images share."""
    names, rows = cohort.patient_names, cohort.patient_codes
    labels = _shared(np.where(cohort.labels == UNLABELLED, "", cohort.labels), rows, len(names))
    sites = None if cohort.sites is None else _shared(cohort.sites, rows, len(names))
    return PatientRows(names, rows, labels, sites)


def make_barcodes(codes: ImageCodes, source: CodeSource, cohort: Cohort, *, uses_cls: bool) -> Barcodes:
    """Return the barcode of each patient, the mean over its images."""
    patients = patient_rows(cohort)
    tally = BarcodeTally(patients.names, codes.n_latents, tau=codes.tau, uses_cls=uses_cls and codes.has_cls)
    tally.add(codes, patients.rows[codes.positions])
    return tally.barcodes(
        labels=patients.labels,
        sites=patients.sites,
        dictionary_key=source.dictionary_key,
        encoder_key=source.encoder_key,
    )


def cell_curves(codes: ImageCodes, cohort: Cohort, *, uses_cls: bool, seed: int) -> dict[str, Any]:
    """Return how well the barcode of a few cells of a patient agrees with that of its other cells, over patients."""
    patients = patient_rows(cohort)
    counts = codes.matrix("above", with_cls=uses_cls)
    order = np.argsort(patients.rows[codes.positions], kind="stable")
    sizes = np.bincount(patients.rows, minlength=len(patients.names))
    curves: dict[int, list[float]] = {}
    needed: list[int | None] = []
    for own in np.split(order, np.cumsum(sizes)[:-1]):
        try:
            found = stability(csr_array(counts[own]), against="rest", n_draws=N_DRAWS, seed=seed)
        except CohortError:
            continue  # too few cells to say anything
        needed.append(cells_needed(found, agreement=AGREEMENT))
        for step, correlation in zip(found.n_cells.tolist(), found.correlation, strict=True):
            curves.setdefault(step, []).append(float(np.median(correlation)))
    rows = [
        {
            "n_cells": step,
            "n_patients": len(values),
            "correlation": np.percentile(values, (25, 50, 75)).tolist(),
        }
        for step, values in sorted(curves.items())
    ]
    enough = sorted(n for n in needed if n is not None)
    return {
        "against": "the other cells of the patient",
        "agreement": AGREEMENT,
        "steps": rows,
        "n_patients": len(needed),
        "n_reaching": len(enough),
        "median_needed": enough[len(enough) // 2] if enough else None,
    }


def keep_barcodes(run: Run, barcodes: Barcodes) -> None:
    """Write barcodes to a Run."""
    with atomic_path(run.path / BARCODES) as temporary:
        write_barcodes(temporary, barcodes)
    run.register(BARCODES)


def _shared(values: np.ndarray, rows: np.ndarray, n_patients: int) -> np.ndarray | None:
    """Return the value that all images of each patient share, or None if one patient has several."""
    pairs = np.unique(np.stack([rows.astype(str), values.astype(str)], axis=1), axis=0)
    if len(pairs) > n_patients:
        return None
    found = np.full(n_patients, "", dtype=values.astype(str).dtype)
    found[pairs[:, 0].astype(np.int64)] = pairs[:, 1]
    return found
