"""What the rna recipe works on: an opened file and its usable samples, their patients, labels and populations."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from trilineage.core.errors import ColumnError, EmptyPopulationError
from trilineage.data.cohort import Cohort
from trilineage.data.expression.open import Expression, open_expression
from trilineage.data.expression.populations import select_population
from trilineage.data.splits import Split, make_splits
from trilineage.pipelines._rna.config import Config

DISEASED = "diseased"
EVERYTHING = "all"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """Samples with a patient and a label, as positions in an opened file."""

    expression: Expression
    """The file."""
    rows: Int[np.ndarray, " sample"]
    """Position in the file of each sample of the cohort."""
    cohort: Cohort
    """Patient, label and site of each sample."""
    cell_types: Shaped[np.ndarray, " sample"] | None
    """Cell type of each sample (str); None where the file has none."""
    notes: tuple[str, ...]
    """What was left out or assumed, one sentence each."""

    def is_in(self, populations: tuple[str, ...]) -> Bool[np.ndarray, " sample"]:
        """Tell which samples belong to the populations; everything where the file has no cell types.

        Raises
        ------
        EmptyPopulationError
            No sample does; the message names the cell types there are.
        """
        if self.cell_types is None or EVERYTHING in populations:
            return np.ones(len(self.rows), dtype=bool)
        return select_population(self.cell_types, populations)

    def column(self, name: str | None) -> Shaped[np.ndarray, " sample"] | None:
        """Return a column of the sample table as texts."""
        if name is None:
            return None
        return named_column(self.expression, name)[self.rows]


def gather(config: Config) -> Material:
    """Open the file and keep the samples that have a patient and a label of the task.

    Raises
    ------
    DataError
        The file cannot be read, a column is absent, or patients and labels cannot answer the question.
    """
    return gather_from(open_expression(config.data), config)


def gather_from(expression: Expression, config: Config) -> Material:
    """Keep the samples of an opened file that have a patient and a label of the task."""
    label, patient = _required(expression, "label"), expression.keys.get("patient")
    obs = expression.obs
    usable = obs[label].notna().to_numpy()
    notes = [f"{int((~usable).sum())} samples without a {label} were left out"] if not usable.all() else []
    if patient is not None:
        has_patient = obs[patient].notna().to_numpy()
        if not has_patient[usable].all():
            notes.append(f"{int((usable & ~has_patient).sum())} samples without a {patient} were left out")
        usable &= has_patient
    for condition in config.keep:
        is_kept = _holds(expression, condition)
        notes.append(f"{int((usable & ~is_kept).sum())} samples without {condition} were left out")
        usable &= is_kept
    if config.classes:
        is_kept = obs[label].astype(str).isin(config.classes).to_numpy()
        notes.append(f"{int((usable & ~is_kept).sum())} samples of other classes were left out")
        usable &= is_kept
    rows = np.flatnonzero(usable)
    table = obs.iloc[rows].copy()
    if config.task == "binary":
        table[label] = np.where(
            table[label].astype(str) == config.healthy_label, config.healthy_label, DISEASED
        )
    content = expression.content_hashes(rows) if config.check_content else None
    cohort = Cohort.from_table(
        table, label=label, patient=patient, site=expression.keys.get("site"), content=content
    )
    return _without_small_classes(expression, rows, cohort, config, tuple(notes))


def _holds(expression: Expression, condition: str) -> Bool[np.ndarray, " row"]:
    """Tell which samples meet a condition `column=value|value`."""
    name, _, written = condition.partition("=")
    column, values = named_column(expression, name.strip()), [value.strip() for value in written.split("|")]
    absent = sorted(set(values) - set(np.unique(column).tolist()))
    if absent:
        raise ColumnError(
            f"column {name!r} has no such value",
            seen=", ".join(absent),
            allowed=", ".join(np.unique(column).tolist()[:40]),
            remedy="correct `keep`, written as column=value or column=value|value",
        )
    return np.isin(column, values)


def named_column(expression: Expression, name: str) -> Shaped[np.ndarray, " row"]:
    """Return a column of the sample table as texts.

    Raises
    ------
    ColumnError
        There is none of that name; the columns there are, are named.
    """
    if name not in expression.obs.columns:
        raise ColumnError(
            f"no column {name!r} in the sample table",
            allowed=", ".join(map(str, expression.obs.columns)),
            remedy="name one of these",
        )
    return expression.obs[name].astype(str).to_numpy(dtype=str)


def _required(expression: Expression, role: str) -> str:
    key = expression.keys.get(role)
    if key is None:
        raise ColumnError(
            f"no {role} column was named and none could be guessed",
            allowed=", ".join(map(str, expression.obs.columns)),
            remedy=f"set data.{role}_key to one of these",
        )
    return key


def _without_small_classes(
    expression: Expression, rows: np.ndarray, cohort: Cohort, config: Config, notes: tuple[str, ...]
) -> Material:
    if config.min_patients > 0:
        kept = cohort.classes_with(config.min_patients)
        dropped = [name for name in cohort.classes if name not in kept]
        if dropped:
            notes += (
                f"classes with fewer than {config.min_patients} patients were left out: {', '.join(dropped)}",
            )
            chosen = cohort.positions_of(kept)
            rows, cohort = rows[chosen], cohort.restricted_to(kept)
    if cohort.note:
        notes += (cohort.note,)
    key = expression.keys.get("cell_type")
    cell_types = None if key is None else expression.obs[key].astype(str).to_numpy(dtype=str)[rows]
    for note in notes:
        logger.info("%s", note)
    return Material(expression, rows, cohort, cell_types, notes)


def split_patients(material: Material, config: Config) -> tuple[Split, ...]:
    """Divide the patients; a sample outside the training and test populations is unused everywhere.

    The division itself looks at the training population only, so that every part has patients to learn from.
    """
    is_train = material.is_in(config.population.train)
    is_test = material.is_in(config.population.test or config.population.train)
    inside = np.flatnonzero(is_train | is_test)
    column = material.column(config.split.column)
    splits = make_splits(
        material.cohort.subset(inside),
        config.split,
        seed=config.seed,
        column_values=None if column is None else column[inside],
    )
    return tuple(_spread(split, inside, is_train, is_test) for split in splits)


def _spread(split: Split, inside: np.ndarray, is_train: np.ndarray, is_test: np.ndarray) -> Split:
    """Write a split of some samples over all of them, each part holding its own population only."""
    parts = np.full(len(is_train), "unused", dtype="<U6")
    parts[inside] = split.parts
    parts[~is_train & np.isin(parts, ("train", "valid"))] = "unused"
    parts[~is_test & (parts == "test")] = "unused"
    if not (parts == "test").any():
        raise EmptyPopulationError(
            f"no sample of the test population in the test part of '{split.name}'",
            remedy="choose another population.test",
        )
    return Split(parts, split.name, split.note)


def describe_material(material: Material) -> dict[str, Any]:
    """Return what the report says of the cohort, as JSON-ready values."""
    expression, cohort = material.expression, material.cohort
    return {
        "n_samples": len(cohort),
        "n_patients": len(cohort.patient_names),
        "n_genes": expression.n_vars,
        "classes": cohort.class_table(),
        "populations": _counted(material.cell_types),
        "sites": _counted(cohort.sites),
        "keys": dict(expression.keys),
        "matrix_state": {"kind": expression.state.kind, "evidence": list(expression.state.evidence)},
        "notes": list(material.notes),
    }


def _counted(names: np.ndarray | None) -> list[dict[str, Any]]:
    if names is None:
        return []
    values, counts = np.unique(names, return_counts=True)
    return [{"name": str(v), "n_samples": int(c)} for v, c in zip(values, counts, strict=True)]
