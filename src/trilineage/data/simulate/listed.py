"""Patients of a list: who is to be simulated, with diagnosis, site and part of a split."""

import csv
from pathlib import Path
from typing import NamedTuple

from trilineage.core.errors import ConfigError

_ALIASES = (("patient", "donor_id"), ("diagnosis", "disease"))
"""Names of the columns that every list has."""


class ListedPatient(NamedTuple):
    """One patient of a list."""

    name: str
    """Patient id."""
    diagnosis: str
    """Diagnosis, as the list has it."""
    site: int | None = None
    """Position of the site; None: not said."""
    part: str = ""
    """Part of a split; empty: not said."""


def read_listed(path: Path | str) -> tuple[ListedPatient, ...]:
    """Read patients from a CSV with the columns patient, diagnosis and, if it has them, site (`site-2`, or 2) and part.

    The columns may have the names that simulated expression gives them (donor_id, disease). Rows that repeat a
    patient, as in a table of cells, must agree.

    Raises
    ------
    ConfigError
        If the file cannot be read, lacks a column, or rows of one patient differ.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"cannot read the patients in {path}", seen=error, remedy="check the path"
        ) from None
    found: dict[str, ListedPatient] = {}
    for row in rows:
        name, diagnosis = (next((row[key] for key in keys if row.get(key)), "") for keys in _ALIASES)
        patient = ListedPatient(name, diagnosis, _site(row.get("site")), row.get("part") or "")
        if not patient.name or not patient.diagnosis or found.setdefault(patient.name, patient) != patient:
            raise ConfigError(
                f"{path} is no list of patients",
                seen=row,
                allowed="columns patient, diagnosis and perhaps site and part, the same in every row of a patient",
            )
    return tuple(found.values())


def _site(text: str | None) -> int | None:
    """Read the position of a site from `site-2` or `2`; an empty text is no site."""
    if not text:
        return None
    digits = text.removeprefix("site-")
    if not digits.isdecimal() or int(digits) < 1:
        raise ConfigError("this is no site", seen=text, allowed="site-1, site-2, ... or 1, 2, ...")
    return int(digits) - 1
