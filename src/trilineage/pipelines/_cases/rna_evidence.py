"""What expression shows of each patient: the genes for and against, from `rna explain`."""

from typing import Any

from trilineage.core.artifacts import Run
from trilineage.pipelines._cases.tables import rows_by_patient

FILE = "explain/patient_genes.csv"
REMEDY = "trilineage rna explain RUN"
N_SHOWN = 10
"""Genes for, and as many against, on a page."""
_NUMBERS = ("attribution", "expression", "training_mean", "training_deviation", "class_mean", "n_samples")
_KEPT = ("symbol", "gene", *_NUMBERS[:-1])


def read_genes(run: Run) -> dict[str, dict[str, Any]]:
    """Return, by patient, the decision of the Run and its strongest genes; empty if it was not explained."""
    if not run.has(FILE):
        return {}
    return {patient: _described(rows) for patient, rows in rows_by_patient(run, FILE, _NUMBERS).items()}


def _described(rows: list[dict[str, Any]]) -> dict[str, Any]:
    speaking, against = (
        [{key: row[key] for key in _KEPT} for row in rows if row["speaks"] == side][:N_SHOWN]
        for side in ("for", "against")
    )
    n_samples = int(rows[0]["n_samples"])
    return {"decision": rows[0]["decision"], "n_samples": n_samples, "for": speaking, "against": against}
