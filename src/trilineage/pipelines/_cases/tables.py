"""Tables of Runs row by row, with numbers where numbers are meant."""

from collections.abc import Sequence
from typing import Any

from trilineage.core.artifacts import Run


def rows_by_patient(run: Run, name: str, numbers: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Read a CSV table of a Run; an empty cell of a column of numbers is None.

    Parameters
    ----------
    name
        File in the Run; it has a column `patient`.
    numbers
        Columns that hold numbers.
    """
    table = run.read_table(name)
    found: dict[str, list[dict[str, Any]]] = {}
    for values in zip(*table.values(), strict=True):
        row: dict[str, Any] = dict(zip(table, values, strict=True))
        row |= {key: float(row[key]) if row[key] else None for key in numbers if key in row}
        found.setdefault(str(row["patient"]), []).append(row)
    return found
