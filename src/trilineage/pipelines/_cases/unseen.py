"""What the models have not seen before: how far each patient lies from the training patients of every lineage."""

from typing import Any

from trilineage.core.artifacts import Run
from trilineage.pipelines._cases.tables import rows_by_patient
from trilineage.pipelines._runs import UNLIKE

FAR = 95.0
"""Percentile of the validation patients from which a patient is called unlike training."""
_NUMBERS = ("distance", "percentile", "n_samples")


def read_unseen(run: Run) -> dict[str, dict[str, Any]]:
    """Return, by test patient, its place among the validation patients; empty where the Run has no such table."""
    if not run.has(UNLIKE):
        return {}
    found = rows_by_patient(run, UNLIKE, _NUMBERS)
    n_valid = sum(row["part"] == "valid" for rows in found.values() for row in rows)
    return {
        patient: {
            "percentile": row["percentile"],
            "distance": row["distance"],
            "n_reference": n_valid,
            "is_far": row["percentile"] is not None and row["percentile"] >= FAR,
            "file": UNLIKE,
        }
        for patient, rows in found.items()
        for row in rows
        if row["part"] == "test"
    }
