"""Which column of the sample table is the diagnosis, patient, cell type or site: asked for, or guessed aloud."""

import difflib
import logging
from typing import Literal, NamedTuple

import pandas as pd

from trilineage.core.errors import ColumnError

logger = logging.getLogger(__name__)

Role = Literal["label", "patient", "cell_type", "site"]

CANDIDATES: dict[str, tuple[str, ...]] = {
    "label": (
        "disease", "disease_label", "diagnosis", "disease_state", "disease_status", "condition", "subtype",
        "phenotype", "status", "label",
    ),
    "patient": (
        "donor_id", "donor", "patient_id", "patient", "individual", "individual_id", "subject_id", "subject",
        "participant_id", "participant", "case_id",
    ),
    "cell_type": (
        "cell_type", "celltype", "cell_types", "cell_type_label", "cell_label", "cell_annotation", "annotation",
        "predicted_celltype", "majority_voting", "lineage",
    ),
    "site": ("study", "site", "center", "centre", "cohort", "dataset", "batch", "assay"),
}  # fmt: skip
"""Names tried in turn, ignoring case, spaces, dots and hyphens."""

_NEEDS_TWO_VALUES = ("label", "site")
"""A constant diagnosis or site says nothing: a candidate that varies is preferred."""


class ChosenKeys(NamedTuple):
    """Columns by role and how they were found."""

    keys: dict[str, str | None]
    """Column of each role; None where there is none."""
    notes: tuple[str, ...]
    """One sentence per guess."""


def choose_keys(obs: pd.DataFrame, asked: dict[str, str | None]) -> ChosenKeys:
    """Return the column of each role: the one asked for, else the best candidate among the columns there are.

    Parameters
    ----------
    obs
        Sample table.
    asked
        Column by role, None where it is to be guessed.

    Raises
    ------
    ColumnError
        If a column asked for is absent; the columns there are and the nearest are named.
    """
    keys: dict[str, str | None] = {}
    notes = []
    for role, candidates in CANDIDATES.items():
        wanted = asked.get(role)
        if wanted is not None:
            require_column(obs, wanted, role)
            keys[role] = wanted
            continue
        found = _candidates(obs, candidates)
        keys[role] = _best(obs, found, role)
        if keys[role] is not None:
            others = [column for column in found if column != keys[role]]
            also = f"; also there: {', '.join(others)}" if others else ""
            notes.append(f"{role}: column '{keys[role]}' (guessed, {role}_key=... chooses{also})")
    for note in notes:
        logger.info(note)
    return ChosenKeys(keys, tuple(notes))


def require_column(obs: pd.DataFrame, column: str, role: str = "asked for") -> None:
    """Check that a column exists.

    Raises
    ------
    ColumnError
        With the columns there are; the nearest one is in the remedy.
    """
    if column in obs.columns:
        return
    names = [str(name) for name in obs.columns]
    nearest = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
    raise ColumnError(
        f"the sample table has no column '{column}' ({role})",
        seen=column,
        allowed=", ".join(names) or "no column at all",
        remedy=f"did you mean '{nearest[0]}'" if nearest else "choose one of these columns",
    )


def _candidates(obs: pd.DataFrame, candidates: tuple[str, ...]) -> list[str]:
    by_plain_name: dict[str, str] = {}
    for column in obs.columns:
        by_plain_name.setdefault(_plain(str(column)), str(column))
    return [by_plain_name[name] for name in map(_plain, candidates) if name in by_plain_name]


def _best(obs: pd.DataFrame, found: list[str], role: str) -> str | None:
    usable = [column for column in found if obs[column].notna().any()]
    if role in _NEEDS_TWO_VALUES:
        varied = [column for column in usable if obs[column].nunique() > 1]
        usable = varied or (usable if role == "label" else [])
    return usable[0] if usable else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
