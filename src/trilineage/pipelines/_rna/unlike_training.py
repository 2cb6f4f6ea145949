"""How unlike training each held-out patient is, seen in the mean expression of its samples over all genes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

from trilineage.core.artifacts import Run
from trilineage.data.expression.dataset import Expression
from trilineage.data.splits import Part
from trilineage.evaluation.patient_novelty import joined_rows
from trilineage.evaluation.patient_profiles import Profiles, patient_classes, profile_rows, profiles_of
from trilineage.pipelines._rna.fold import Fold
from trilineage.pipelines._rna.material import Material
from trilineage.pipelines._runs import UNLIKE


def write_unlike_training(run: Run, material: Material, folds: Sequence[Fold]) -> None:
    """Write how far the validation and test patients of every split lie from its training patients.

    Where nobody validates there is nothing to place a patient among, and nothing is written.
    """
    tables = [
        _of_fold(material, fold)
        for fold in folds
        if len(np.unique(material.cohort.patients[fold.split.positions("train")])) > 1
        and len(fold.split.positions("valid"))
    ]
    if tables:
        run.write_table(UNLIKE, joined_rows(tables))


def expression_profiles(
    expression: Expression, rows: Int[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"]
) -> Profiles:
    """Return the mean normalised expression of each patient over these rows of a file.

    All genes are looked at, not the latent: a change that no training patient has shown lies outside of what a latent
    fitted on these keeps.
    """
    names, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    by_patient = np.split(rows[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])
    means, squares = [], []
    for own in by_patient if len(names) else ():
        values = expression.to_csr(own).astype(np.float64)
        means.append(np.asarray(values.mean(axis=0)).ravel())
        squares.append(float((values.data**2).sum()) / (len(own) * expression.n_vars))
    return profiles_of(names, counts, means, squares, expression.n_vars)


def _of_fold(material: Material, fold: Fold) -> dict[str, list[object]]:
    learned, cohort = fold.split.positions("train"), material.cohort
    classes = patient_classes(cohort.label_codes[learned], cohort.patients[learned])
    held_out = {part: _profiles(material, fold, part) for part in ("valid", "test")}  # type: ignore[arg-type]
    return profile_rows(fold.split.name, _profiles(material, fold, "train"), classes, held_out)


def _profiles(material: Material, fold: Fold, part: Part) -> Profiles:
    positions = fold.split.positions(part)
    return expression_profiles(
        material.expression, material.rows[positions], material.cohort.patients[positions]
    )
