"""New patients: what the lineages say of them, fused by the weights of a Run and written to a folder."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.core.files import atomic_path, write_atomically
from trilineage.core.manifest import to_json
from trilineage.pipelines._cases.config import Config
from trilineage.pipelines._cases.newcomers import read_newcomers
from trilineage.pipelines._cases.store import (
    EVIDENCE,
    FUSION,
    KIND,
    PATIENTS,
    evidence_table,
    patient_table,
    read_fusion,
)

_UNKNOWN = ("part", "label", "node")
"""Columns of the tables of a Run that new patients do not have."""


class Together(NamedTuple):
    """What `predict` found, and where it lies."""

    patients: dict[str, list[Any]]
    """Decision, way, set, agreement and probabilities of each patient as columns of a table."""
    path: Path
    """Folder with `patients.csv`, `evidence.csv` and `about.json`."""


def predict_to_folder(run: Run | Path | str, given: Mapping[str, Path], *, out: Path) -> Together:
    """See `trilineage.cases.predict`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    _require_usable(opened, given)
    written = opened.read_json(FUSION)
    rows = {row["lineage"]: row for row in written["lineages"]}
    fusion = read_fusion(opened)
    opinions = fusion.apply(read_newcomers(opened, rows, given), {})
    rule = opened.config(Config).tree.rule
    patients, evidence = (
        {name: column for name, column in table.items() if name not in _UNKNOWN}
        for table in (
            patient_table(opinions, fusion, rule, "", {}),
            evidence_table(opinions, fusion, "", {}),
        )
    )
    _write_table(out / PATIENTS, patients)
    _write_table(out / EVIDENCE, evidence)
    about = {
        "disclaimer": "Research use only. Not a medical device.",
        "run": str(opened.path.resolve()),
        "n_patients": len(opinions.fused),
        "read": {name: str(path) for name, path in given.items()},
        "weights": {name: row["weight"] for name, row in rows.items()},
        "conformal": written["conformal"],
    }
    write_atomically(out / "about.json", to_json(about))
    return Together(patients, out)


def _require_usable(run: Run, given: Mapping[str, Path]) -> None:
    if not run.is_complete:
        raise ArtifactError(
            f"{run.path} is not finished",
            seen=run.manifest["status"],
            remedy="run the same fit again: it goes on",
        )
    if not given:
        raise ConfigError(
            "nothing to fuse",
            seen="no predictions of any lineage",
            allowed="what `rna predict`, `images predict` or `concepts predict` wrote",
            remedy="name at least one of them",
        )


def _write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
