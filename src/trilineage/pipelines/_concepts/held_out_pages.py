"""What marks each test patient: its barcode beside the training patients, what speaks for the decision, its cells."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from trilineage.core.artifacts import Run
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.barcodes.files import read_barcodes
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.cohort import Cohort
from trilineage.models.encoder import TokenEncoder
from trilineage.models.sae.encode_images import encode_images
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.held_out import patient_parts, predict_patients, read_trained
from trilineage.pipelines._concepts.material import Material, loader_of
from trilineage.pipelines._concepts.patient_pages import Predicted, describe_patients
from trilineage.pipelines._concepts.patients import BARCODES

HELD_OUT = "explain/patients.json"
FOLDER = "explain/patients"
MOST_IMAGES = 200
"""Images of a patient that are encoded for its pictures and intervals, evenly over them; the barcode has all."""
N_EVIDENCE = 8
"""Concepts that speak for, and as many that speak against, the decision for a patient."""


def write_held_out_patients(
    run: Run,
    material: Material,
    made: tuple[TokenEncoder, SparseAutoencoder, Config],
    shown: Int[np.ndarray, " card"],
    *,
    n_pictured: int,
) -> None:
    """Write `explain/patients.json` and draw the cells of each test patient that hold what stands out.

    The file is that of `concepts predict`, read by the same pages; the reference are the training patients.
    `evidence`, in addition, names the concepts that move the decision of the classifier of training patients.

    Parameters
    ----------
    shown
        Latents with a card, among which is looked for what stands out.
    n_pictured
        Concepts of a patient whose cells are drawn.
    """
    encoder, _, _ = made
    run.read_bytes(BARCODES)
    barcodes = read_barcodes(run.path / BARCODES)
    parts = patient_parts(barcodes, material.cohort, material.split)
    test, train = (barcodes.subset(np.flatnonzero(parts == part)) for part in ("test", "train"))
    if len(test) == 0:
        return
    codes = _encoded(material, made)
    found = Predicted(material.table, material.cohort, codes, encoder.grid, test, {})
    described = describe_patients(run, found, train, run.path / FOLDER, among=shown, n_pictured=n_pictured)
    evidence = decision_evidence(run, test)
    for patient in described["patients"]:
        patient["evidence"] = evidence.get(patient["patient"])
        for one in patient.get("standing", ()):
            for picture in one["pictures"]:
                picture["file"] = f"{FOLDER}/{picture['file']}"
                run.register(picture["file"])
    run.write_json(HELD_OUT, described)


def decision_evidence(run: Run, patients: Barcodes) -> dict[str, dict[str, Any]]:
    """Return, by patient, the decision of the classifier of training patients and the latents that move it most.

    A contribution is what a latent adds to the logit of the class decided for, relative to the mean training patient.
    """
    model = read_trained(run)
    if model is None:
        return {}
    decided = predict_patients(model, patients)
    added = model.contributions(patients.values)
    found = {}
    for row, code in enumerate(decided.probabilities.argmax(axis=1).tolist()):
        own: Float[np.ndarray, " used"] = added[row, code]
        order = np.argsort(-own, kind="stable").tolist()
        speaking = [place for place in order[:N_EVIDENCE] if own[place] > 0]
        against = [place for place in order[::-1][:N_EVIDENCE] if own[place] < 0]
        found[str(patients.names[row])] = {
            "decision": model.classes[code],
            "probability": float(decided.probabilities[row, code]),
            "for": [_added(model.features, own, place) for place in speaking],
            "against": [_added(model.features, own, place) for place in against],
        }
    return found


def _added(
    latents: Int[np.ndarray, " used"], contributions: Float[np.ndarray, " used"], place: int
) -> Mapping[str, Any]:
    return {"latent": int(latents[place]), "contribution": float(contributions[place])}


def _encoded(material: Material, made: tuple[TokenEncoder, SparseAutoencoder, Config]) -> ImageCodes:
    """Return the codes of the images of the test patients."""
    encoder, member, config = made
    positions = _evenly_each(material.cohort, material.split.positions("test"))
    batches = encode_images(
        encoder,
        member,
        loader_of(material),
        positions,
        tau=config.barcode.tau,
        workers=config.data.workers,
        device=encoder.device,
    )
    return ImageCodes.concatenate(list(batches))


def _evenly_each(cohort: Cohort, positions: Int[np.ndarray, " image"]) -> Int[np.ndarray, " chosen"]:
    """Return at most `MOST_IMAGES` positions of each patient, evenly over them, ascending."""
    chosen = []
    for patient in np.unique(cohort.patients[positions]):
        own = positions[cohort.patients[positions] == patient]
        chosen.append(own[np.linspace(0, len(own) - 1, min(len(own), MOST_IMAGES)).astype(np.int64)])
    return np.sort(np.concatenate(chosen))
