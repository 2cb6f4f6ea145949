"""Patients held out by the split of a Run, classified by a model of its training patients only."""

import numpy as np
from jaxtyping import Float, Shaped

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction
from trilineage.core.seeding import derive_seed
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.cohort import Cohort
from trilineage.data.splits import Split
from trilineage.evaluation.barcodes.subtype import fit_subtypes, subtype_folds
from trilineage.evaluation.barcodes.subtype_model import SubtypeModel
from trilineage.pipelines._concepts.subtypes import SubtypeOptions
from trilineage.pipelines._runs import write_validation

TRAINED_FILE = "held_out_model.npz"
"""The classifier of the training patients; `subtype_model.npz` is that of all patients, for new ones."""
_PARTS = ("test", "valid")


def write_held_out(
    run: Run, barcodes: Barcodes, cohort: Cohort, split: Split, options: SubtypeOptions
) -> str:
    """Classify test and validation patients by training patients, and write both; say why not if not.

    The scores of the Run come from repeated folds over all patients, which use more of them. What is combined with
    other lineages must not: a patient that tests there may not have taught here. `predictions.npz` and
    `validation.npz` get a row for each labelled patient of the part, with probabilities that are not calibrated.
    """
    parts = patient_parts(barcodes, cohort, split)
    known = np.zeros(len(barcodes), dtype=bool) if barcodes.labels is None else barcodes.labels != ""
    learned = barcodes.subset(np.flatnonzero(known & (parts == "train")))
    try:
        model = _fit(learned, options)
    except CohortError as error:
        return f"held-out patients were not classified: {error.what}"
    run.write_arrays(TRAINED_FILE, **model.to_arrays())
    found = {part: predict_patients(model, barcodes.subset(np.flatnonzero(parts == part))) for part in _PARTS}
    if len(found["test"].samples):
        run.write_predictions(found["test"])
    write_validation(run, {split.name: found["valid"]})
    return ""


def read_trained(run: Run) -> SubtypeModel | None:
    """Return the classifier of the training patients, or None where there is none."""
    return SubtypeModel.from_arrays(run.read_arrays(TRAINED_FILE)) if run.has(TRAINED_FILE) else None


def predict_patients(model: SubtypeModel, barcodes: Barcodes) -> Prediction:
    """Return the probabilities of patients; labels that the model does not know are -1."""
    classes = {name: code for code, name in enumerate(model.classes)}
    p: Float[np.ndarray, "patient class"] = np.zeros((0, len(classes)))
    if len(barcodes):
        p = model.probabilities(barcodes.values)
    labels = np.full(len(barcodes), "") if barcodes.labels is None else barcodes.labels
    codes = np.array([classes.get(str(name), -1) for name in labels], dtype=np.int64)
    return Prediction(barcodes.names, barcodes.names, model.classes, p, codes)


def patient_parts(barcodes: Barcodes, cohort: Cohort, split: Split) -> Shaped[np.ndarray, " patient"]:
    """Return the part of each patient, in the order of the barcodes."""
    part_of = dict(zip(cohort.patients.tolist(), split.parts.tolist(), strict=True))
    return np.array([part_of[name] for name in barcodes.names.tolist()], dtype=str)


def _fit(learned: Barcodes, options: SubtypeOptions) -> SubtypeModel:
    """Fit the classifier to the labelled training patients, the penalty chosen among them."""
    seed = derive_seed(options.seed, "held out")
    if len(learned) == 0:
        raise CohortError("no training patient has a label")
    folds = subtype_folds(learned.names, learned.require_labels(), settings=options.subtype, seed=seed)
    return fit_subtypes(
        learned.values, folds, weighting=options.subtype.weighting, settings=options.subtype, seed=seed
    )
