"""Patients classified by their barcodes, beside every other way to see a patient, and what marks each disease."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError
from trilineage.core.records import Score
from trilineage.core.seeding import derive_seed
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.evaluation.barcodes.baselines import ATTENTION, MEAN_CLS, MEAN_TOKENS, NEURONS, RANDOM_SAE
from trilineage.evaluation.barcodes.disease import disease_concepts, effect_intervals
from trilineage.evaluation.barcodes.settings import DiseaseSettings, SubtypeSettings
from trilineage.evaluation.barcodes.subtype import (
    OutOfFold,
    SubtypeFolds,
    compare_subtypes,
    fit_subtypes,
    predict_subtypes,
    score_subtypes,
    subtype_folds,
)
from trilineage.evaluation.barcodes.subtype_model import Features, SubtypeModel
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.training.bags import attention_out_of_fold
from trilineage.training.place import Place

BARCODE = "barcode"
"""Subject of the classifier on barcodes."""
MODEL_FILE, DISEASE_FILE = "subtype_model.npz", "disease.json"
COMPETITORS = {
    "cls": MEAN_CLS,
    "tokens": MEAN_TOKENS,
    "raw neurons": NEURONS,
    "random dictionary": RANDOM_SAE,
}
"""Subjects of the scores by what they are made of."""
N_SHOWN = 20
"""Concepts of a disease that get an interval and pictures."""

logger = logging.getLogger(__name__)


class Images(NamedTuple):
    """A vector of each image, for attention over the images of a patient."""

    vectors: Float[np.ndarray, "image width"]
    """CLS tokens, or means of tokens."""
    rows: Int[np.ndarray, " image"]
    """Row of the patient of each."""


class SubtypeOptions(NamedTuple):
    """Options that the classifier, its scores and the tests of diseases take."""

    subtype: SubtypeSettings
    """Folds, penalties, weighting."""
    disease: DiseaseSettings
    """Permutations."""
    evaluation: EvaluationSettings
    """Metrics and intervals."""
    seed: int
    """What everything is derived from."""


def classify_patients(
    run: Run,
    barcodes: Barcodes,
    others: Mapping[str, Features],
    images: Images | None,
    options: SubtypeOptions,
    place: Place,
) -> str:
    """Classify labelled patients out of fold, score, compare, and keep a model of all of them; say why not if not.

    Parameters
    ----------
    barcodes
        Of all patients; those without a label are left out here.
    others
        What else is known of all patients (patient feature), by subject: means of tokens, barcodes of controls.
    images
        Vectors of all images, for attention pooling.
    """
    known = np.flatnonzero(barcodes.labels != "") if barcodes.labels is not None else np.zeros(0, np.int64)
    try:
        if barcodes.labels is None or len(known) == 0:
            raise CohortError("patients without one label each cannot be classified")
        labelled = barcodes.subset(known)
        folds = subtype_folds(
            labelled.names, labelled.require_labels(), settings=options.subtype, seed=options.seed
        )
    except CohortError as error:
        return f"patients were not classified: {error.what}"
    features: dict[str, Features] = {name: values[known] for name, values in others.items()}
    found = {BARCODE: _predict(labelled.values, folds, options, is_barcode=True)}
    for name, values in features.items():
        found[name] = _predict(values, folds, options, is_barcode=name in (NEURONS, RANDOM_SAE))
    if images is not None:
        found[ATTENTION] = _attend(images, known, folds, place)
    _write_scores(run, found, folds, options)
    _write_model(run, labelled, folds, options)
    return ""


def _predict(
    values: Features, folds: SubtypeFolds, options: SubtypeOptions, *, is_barcode: bool
) -> OutOfFold:
    weighting = options.subtype.weighting if is_barcode else "mean"
    return predict_subtypes(values, folds, weighting=weighting, settings=options.subtype, seed=options.seed)


def _attend(
    images: Images, known: Int[np.ndarray, " patient"], folds: SubtypeFolds, place: Place
) -> OutOfFold:
    """Let attention over their images see the same patients in the same folds."""
    row_of = np.full(int(images.rows.max()) + 1, -1)
    row_of[known] = np.arange(len(known))
    rows = row_of[images.rows]
    inside = rows >= 0
    probabilities = attention_out_of_fold(
        images.vectors[inside],
        rows[inside],
        folds.labels,
        folds.folds,
        n_classes=len(folds.classes),
        place=place.stage("attention"),
    )
    return OutOfFold(probabilities)


def _write_scores(
    run: Run, found: Mapping[str, OutOfFold], folds: SubtypeFolds, options: SubtypeOptions
) -> None:
    scores: list[Score] = []
    for name, said in found.items():
        subject = "model" if name == BARCODE else name
        scores += score_subtypes(
            said, folds, subject=subject, evaluation=options.evaluation, seed=options.seed
        )
    run.add_scores(scores)
    named = {"model" if name == BARCODE else name: said for name, said in found.items()}
    run.add_comparisons(compare_subtypes(named, folds, evaluation=options.evaluation, seed=options.seed))
    arrays = {f"probabilities: {name}": said.probabilities for name, said in named.items()}
    run.write_arrays(
        "out_of_fold.npz",
        names=folds.names,
        labels=folds.labels,
        classes=np.array(folds.classes),
        folds=folds.folds,
        **arrays,
    )


def _write_model(run: Run, labelled: Barcodes, folds: SubtypeFolds, options: SubtypeOptions) -> None:
    model = fit_subtypes(
        labelled.values,
        folds,
        weighting=options.subtype.weighting,
        settings=options.subtype,
        seed=options.seed,
    )
    run.write_arrays(MODEL_FILE, **model.to_arrays())


def read_model(run: Run) -> SubtypeModel | None:
    """Return the classifier of patients, or None where there is none."""
    return SubtypeModel.from_arrays(run.read_arrays(MODEL_FILE)) if run.has(MODEL_FILE) else None


# ---- what marks a disease -------------------------------------------------------------------------------------------


def mark_diseases(barcodes: Barcodes, options: SubtypeOptions) -> list[dict[str, Any]]:
    """Test for each label which concepts its patients have more of, as JSON-ready rows; the largest effect first."""
    if barcodes.labels is None or not (barcodes.labels != "").any():
        return []
    labelled = barcodes.subset(np.flatnonzero(barcodes.labels != ""))
    rows: list[dict[str, Any]] = []
    for disease in np.unique(labelled.require_labels()).tolist():
        try:
            rows.append(_marked(labelled, disease, options))
        except CohortError as error:
            rows.append({"disease": disease, "note": error.what, "concepts": []})
    return rows


def _marked(labelled: Barcodes, disease: str, options: SubtypeOptions) -> dict[str, Any]:
    """Return the concepts that the patients of one disease have more of."""
    seed = derive_seed(options.seed, "disease")
    found = disease_concepts(labelled, disease, settings=options.disease, seed=seed)
    specific = found.specific(options.disease.alpha)
    shown = specific[:N_SHOWN]
    ends = effect_intervals(labelled, found, np.sort(shown), settings=options.disease, seed=seed)
    rows, places = np.searchsorted(found.latents, shown), np.searchsorted(ends.latents, shown)
    names = ("effect", "difference", "auroc", "p_value", "p_max", "q_value")
    concepts = [
        {
            "latent": int(latent),
            **{name: float(getattr(found, name)[row]) for name in names},
            "low": float(ends.low[place]),
            "high": float(ends.high[place]),
        }
        for latent, row, place in zip(shown, rows, places, strict=True)
    ]
    return {
        "disease": disease,
        "note": "",
        "n_tested": len(found.latents),
        "n_specific": len(specific),
        "n_patients": list(found.n_patients),
        "concepts": concepts,
    }
