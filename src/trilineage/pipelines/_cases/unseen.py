"""What the models have not seen before: how far each patient lies from the training patients of every lineage."""

from typing import Any

from trilineage.core.artifacts import Run
from trilineage.pipelines._cases.tables import rows_by_patient
from trilineage.pipelines._runs import UNLIKE

ALPHA = 0.05
"""Share of patients like those of the validation part who may be called unlike training, at most."""
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
            "is_far": is_far(row["percentile"], n_valid),
            "file": UNLIKE,
        }
        for patient, rows in found.items()
        for row in rows
        if row["part"] == "test"
    }


def is_far(percentile: float | None, n_valid: int) -> bool:
    """Tell whether a patient is farther from training than chance would put one of the validation patients' kind.

    Its rank p-value is (1 + validation patients at least as far) / (1 + validation patients): with fewer than 19 of
    them it cannot fall to `ALPHA`, and nobody is called far.

    Examples
    --------
    >>> is_far(100.0, 19), is_far(100.0, 6), is_far(95.0, 20), is_far(98.0, 100)
    (True, False, False, True)
    """
    if percentile is None:
        return False
    n_farther = n_valid - round(percentile * n_valid / 100.0)
    return (1 + n_farther) / (1 + n_valid) <= ALPHA + 1e-12
