"""What each lineage says of new patients, read from what its `predict` wrote."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, FormatError
from trilineage.core.records import Prediction
from trilineage.data.barcodes.barcode import require_same_latents
from trilineage.data.barcodes.files import read_barcodes
from trilineage.data.expression.diagnosed import read_diagnosed
from trilineage.evaluation.barcodes.subtype_model import SubtypeModel
from trilineage.evaluation.intervals import aggregate_patients

CONCEPT_MODEL = "concept_model.npz"
"""The classifier of barcodes that the fusion was fitted with, copied from the Run of the concepts."""
PROBABILITY = "probability: "


def read_newcomers(
    run: Run, rows: Mapping[str, Mapping[str, Any]], given: Mapping[str, Path]
) -> dict[str, Prediction]:
    """Return what each lineage says of its patients, over its own classes.

    Parameters
    ----------
    run
        The Run of the fusion.
    rows
        What `fusion.json` says of each lineage, by name.
    given
        What the `predict` of each lineage wrote, by name: an h5ad file for `rna`, else a folder.

    Raises
    ------
    FormatError
        A file or folder is not what that `predict` writes.
    ArtifactError
        It comes of another Run than the one that was fused, or of a lineage that was not.
    """
    strange = sorted(set(given) - set(rows))
    if strange:
        raise ArtifactError(
            f"{run.path} was made without {', '.join(strange)}",
            seen=", ".join(strange),
            allowed=", ".join(rows),
            remedy="fit the cases with a Run of that lineage, or leave it out here",
        )
    readers = {"rna": _read_rna, "images": _read_images, "concepts": _read_concepts}
    return {name: readers[name](run, rows[name], path) for name, path in given.items()}


def _read_rna(_: Run, row: Mapping[str, Any], path: Path) -> Prediction:
    found = read_diagnosed(path)
    _require_origin(row, found.run_config, path)
    table = found.table
    names = [f"{PROBABILITY}{label}" for label in row["classes"]]
    _require_columns(["patient", *names], list(map(str, table.columns)), path)
    return _prediction(table["patient"].tolist(), table[names].to_numpy(dtype=np.float64), row)


def _read_images(_: Run, row: Mapping[str, Any], path: Path) -> Prediction:
    _require_origin(row, str(_about(path).get("run_config_sha256", "")), path)
    table = _require_file(path, "predictions.csv")
    names = [f"{PROBABILITY}{label}" for label in row["classes"]]
    with open(table, newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        _require_columns(["patient", *names], reader.fieldnames or [], path)
        try:
            rows = [(line["patient"], [float(line[name]) for name in names]) for line in reader]
        except (ValueError, TypeError, csv.Error) as error:
            raise FormatError(
                f"{table} holds what is no number", seen=error, remedy="predict again"
            ) from None
    p = np.array([values for _, values in rows], dtype=np.float64).reshape(len(rows), len(names))
    return aggregate_patients(_prediction([patient for patient, _ in rows], p, row))


def _read_concepts(run: Run, row: Mapping[str, Any], path: Path) -> Prediction:
    barcodes = read_barcodes(_require_file(path, "barcodes.h5ad"))
    model = SubtypeModel.from_arrays(run.read_arrays(CONCEPT_MODEL))
    known = (str(row["encoder_key"]), str(row["dictionary_key"]), model.n_features)
    require_same_latents(known, (barcodes.encoder_key, barcodes.dictionary_key, barcodes.n_latents))
    return _prediction(barcodes.names.tolist(), model.probabilities(barcodes.values), row)


def _prediction(
    patients: list[str], probabilities: Float[np.ndarray, "sample class"], row: Mapping[str, Any]
) -> Prediction:
    """Return rows whose probabilities sum to 1 over the classes of the lineage."""
    names = np.array(patients, dtype=str)
    total = probabilities.sum(axis=1, keepdims=True)
    if not np.isfinite(probabilities).all() or (probabilities < 0).any() or (total <= 0).any():
        raise FormatError(
            f"probabilities of {row['lineage']} that are none",
            seen="negative values, or none at all",
            allowed="numbers of at least 0",
            remedy="predict again",
        )
    return Prediction(names, names, tuple(row["classes"]), probabilities / total)


def _about(path: Path) -> dict[str, Any]:
    """Return what `about.json` of a folder says."""
    file = _require_file(path, "about.json")
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {file}", seen=error, remedy="predict again") from None
    return found if isinstance(found, dict) else {}


def _require_file(path: Path, name: str) -> Path:
    if not (path / name).is_file():
        raise FormatError(
            f"{path} is not what a `predict` writes",
            seen=f"no {name}",
            allowed="the folder named by --out of that command",
            remedy="run it first",
        )
    return path / name


def _require_columns(wanted: list[str], there: Any, path: Path) -> None:
    missing = [name for name in wanted if name not in list(there)]
    if missing:
        raise FormatError(
            f"{path} has no column {missing[0]!r}",
            seen=", ".join(map(str, list(there)[:8])),
            allowed=", ".join(wanted[:8]),
            remedy="predict with the Run that was fused, on a table that names the patients",
        )


def _require_origin(row: Mapping[str, Any], digest: str, path: Path) -> None:
    """Refuse what another Run has predicted; older files do not say which it was."""
    if digest and digest != row["config_sha256"]:
        raise ArtifactError(
            f"{path} was predicted by another Run than the one that was fused",
            seen=f"configuration {digest[:12]}",
            allowed=f"configuration {str(row['config_sha256'])[:12]}, that of {row['run']}",
            remedy="predict with that Run",
        )
