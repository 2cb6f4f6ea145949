"""What cell images show of each patient: the cells that tell, beside their maps, from `images explain`."""

from typing import Any

from trilineage.core.artifacts import Run
from trilineage.pipelines._cases.tables import rows_by_patient

FILE = "explain/patients.csv"
REMEDY = "trilineage images explain RUN --per-patient 4"
_NUMBERS = ("probability", "patient_probability", "influence")
_KEPT = ("image", "picture", "speaks", "called", "node", "probability", "influence")


def read_cells(run: Run) -> dict[str, dict[str, Any]]:
    """Return, by patient, the decision of the Run and the cells that tell; empty if none were asked for."""
    if not run.has(FILE):
        return {}
    return {
        patient: {
            "decision": rows[0]["decision"],
            "node": rows[0]["node"],
            "patient_probability": rows[0]["patient_probability"],
            "cells": [{key: row[key] for key in _KEPT} for row in rows],
        }
        for patient, rows in rows_by_patient(run, FILE, _NUMBERS).items()
    }


def take_cells(source: Run, found: dict[str, Any], run: Run, folder: str) -> dict[str, Any]:
    """Copy the pictures of a patient's cells into the Run of the cases, and name them there."""
    cells = []
    for number, cell in enumerate(found["cells"]):
        name = f"{folder}/cell_{number:02d}.png"
        run.write_bytes(name, source.read_bytes(cell["picture"]))
        cells.append({**cell, "picture": name})
    return {**found, "cells": cells}
