"""How unlike training each held-out patient is, seen in the latent of its cells."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from trilineage.core.artifacts import Run
from trilineage.core.seeding import derive_seed
from trilineage.data.splits import Part
from trilineage.evaluation.hierarchy.novelty import NoveltySettings, fit_novelty
from trilineage.evaluation.patient_novelty import joined_rows, novelty_rows
from trilineage.pipelines._rna.fold import Fold
from trilineage.pipelines._rna.material import Material
from trilineage.pipelines._runs import UNLIKE

MOST_DIMENSIONS = 1024
"""Width of the latent up to which a covariance is estimated; wider ones (all genes) take the nearest samples."""


def write_unlike_training(run: Run, material: Material, folds: Sequence[Fold], *, seed: int) -> None:
    """Write how far the validation and test patients of every split lie from its training patients.

    Where nobody validates there is nothing to place a patient among, and nothing is written.
    """
    tables = [
        _of_fold(material, fold, seed=seed)
        for fold in folds
        if len(np.unique(material.cohort.patients[fold.split.positions("train")])) > 1
        and len(fold.split.positions("valid"))
    ]
    if tables:
        run.write_table(UNLIKE, joined_rows(tables))


def _of_fold(material: Material, fold: Fold, *, seed: int) -> dict[str, list[object]]:
    patients = material.cohort.patients
    learned = fold.split.positions("train")
    is_wide = fold.latent.shape[1] > MOST_DIMENSIONS
    settings = NoveltySettings(
        method="neighbours" if is_wide else "mahalanobis", max_reference=2000 if is_wide else 20_000
    )
    novelty = fit_novelty(
        _latent(fold, "train"),
        patients[learned],
        labels=material.cohort.label_codes[learned],
        held_out=(_latent(fold, "valid"), patients[fold.split.positions("valid")]),
        settings=settings,
        seed=derive_seed(seed, "novelty"),
    )
    valid, test = (
        (novelty.score(_latent(fold, part)).distance, patients[fold.split.positions(part)])
        for part in ("valid", "test")
    )
    return novelty_rows(fold.split.name, valid, test)


def _latent(fold: Fold, part: Part) -> Float[np.ndarray, "chosen latent"]:
    return fold.latent[np.searchsorted(fold.used, fold.split.positions(part))]
