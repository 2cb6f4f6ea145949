"""What a page about a patient holds: the barcode beside the reference cohort, what stands out, cells that show it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from PIL import Image

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError
from trilineage.core.files import write_atomically
from trilineage.core.provenance import now, package_version
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.cohort import Cohort
from trilineage.data.images.table import ImageTable
from trilineage.evaluation.barcodes.cells import cells_that_show
from trilineage.evaluation.barcodes.make import class_barcodes
from trilineage.evaluation.barcodes.neighbours import nearest_patients, standing
from trilineage.evaluation.barcodes.resampling import cell_interval
from trilineage.explain.concepts.crops import outlined, patch_box, strip

KIND, VERSION = "trilineage patient barcodes", 1
N_NEAREST, N_STANDING, N_PICTURED, N_CELLS, N_STRIPES = 5, 12, 4, 6, 96
MOST_PICTURED = 50
"""Patients whose cells are drawn; the tables have all."""


class Predicted(NamedTuple):
    """New patients with all that is known of their images."""

    table: ImageTable
    """The images."""
    cohort: Cohort
    """Patient of each."""
    codes: ImageCodes
    """Their codes."""
    grid: tuple[int, int]
    """Rows and columns of patches."""
    barcodes: Barcodes
    """A row per patient."""
    called: Mapping[str, list[Any]]
    """What the classifier calls each; empty where there is none."""


class _Asked(NamedTuple):
    """What the description of a patient needs."""

    found: Predicted
    """The patients."""
    reference: Barcodes
    """Barcodes they are held against."""
    out: Path
    """Where pictures go."""
    among: Int[np.ndarray, " latent"] | None
    """Latents that may stand out; None for all."""
    n_pictured: int
    """Latents whose cells are drawn."""


def describe_patients(
    run: Run,
    found: Predicted,
    reference: Barcodes,
    out: Path,
    *,
    among: Int[np.ndarray, " latent"] | None = None,
    n_pictured: int = N_PICTURED,
) -> dict[str, Any]:
    """Return what the pages are made of, and draw the cells that show what stands out.

    Parameters
    ----------
    run
        The Run of the dictionary; its cards name the concepts, if it was explained.
    found
        The new patients.
    reference
        Barcodes of the Run's cohort.
    out
        Folder of the prediction; pictures go to `pictures/` in it.
    among
        Latents among which is looked for what stands out; None for all.
    n_pictured
        Latents whose cells are drawn.
    """
    stripes = _stripes(reference)
    asked = _Asked(found, reference, out, among, n_pictured)
    rows = [_patient(row, asked, stripes) for row in range(len(found.barcodes))]
    return {
        "kind": KIND,
        "version": VERSION,
        "made": {
            "run": run.path.resolve().name,
            "created": now(),
            "trilineage": package_version(),
            "seed": run.seed,
        },
        "n_reference": len(reference),
        "tau": found.barcodes.tau,
        "uses_cls": found.barcodes.uses_cls,
        "names": _names(run),
        **({} if stripes is None else {"stripes": stripes}),
        "patients": rows,
    }


def _patient(row: int, asked: _Asked, stripes: Mapping[str, Any] | None) -> dict[str, Any]:
    found, barcodes = asked.found, asked.found.barcodes
    known: dict[str, Any] = {
        "patient": str(barcodes.names[row]),
        "n_images": int(barcodes.n_images[row]),
        "note": "",
        "label": "" if barcodes.labels is None else str(barcodes.labels[row]),
    }
    if stripes is not None:
        known["stripe"] = barcodes.values[[row]][:, stripes["latents"]].toarray()[0].tolist()
    if found.called:
        known["predicted"] = found.called["predicted"][row]
        known["probabilities"] = {
            key.removeprefix("probability: "): values[row]
            for key, values in found.called.items()
            if key.startswith("probability: ")
        }
    try:
        known |= _beside(row, asked)
    except CohortError as error:
        known["note"] = error.what
    return known


def _beside(row: int, asked: _Asked) -> dict[str, Any]:
    """Return the nearest reference patients, and the latents that are out of the common with their intervals."""
    found, reference, barcodes = asked.found, asked.reference, asked.found.barcodes
    n = max(1, min(N_NEAREST, len(reference) - 1))
    near = nearest_patients(barcodes.subset(np.array([row])), reference, n=n)
    stands = standing(barcodes, row, reference, n=N_STANDING, among=asked.among)
    own = np.flatnonzero(found.cohort.patients[found.codes.positions] == barcodes.names[row])
    codes = found.codes.subset(own)
    counts = codes.matrix("above", with_cls=barcodes.uses_cls)
    order = np.argsort(stands.latents)
    ends = cell_interval(counts, latents=stands.latents[order])
    pictures = _pictures(row, codes, stands.latents[: asked.n_pictured], found, asked.out)
    shown = []
    for place, latent in enumerate(stands.latents.tolist()):
        at = int(np.searchsorted(ends.latents, latent))
        shown.append(
            {
                "latent": latent,
                "value": float(stands.value[place]),
                "low": None if ends.low is None else float(ends.low[at]),
                "high": None if ends.high is None else float(ends.high[at]),
                "share_below": float(stands.share_below[place]),
                "deviation": float(stands.deviation[place]),
                "quantiles": stands.quantiles[:, place].tolist(),
                "pictures": pictures.get(latent, []),
            }
        )
    nearest = [
        {
            "patient": str(near.names[0, rank]),
            "label": "" if near.labels is None else str(near.labels[0, rank]),
            "distance": float(near.distances[0, rank]),
        }
        for rank in range(n)
    ]
    return {"nearest": nearest, "standing": shown}


def _pictures(
    row: int, codes: ImageCodes, latents: Int[np.ndarray, " shown"], found: Predicted, out: Path
) -> dict[int, list[dict[str, str]]]:
    """Draw the cells of a patient in which each latent is strongest, its patch outlined."""
    if row >= MOST_PICTURED or codes.n_patches == 0:
        return {}
    made = {}
    for one in cells_that_show([codes], latents, found.cohort.patients, n_cells=N_CELLS, per_patient=N_CELLS):
        drawn = []
        for image, patch in zip(one.images.tolist(), one.patches.tolist(), strict=True):
            pixels = found.table.read_sized(image)
            drawn.append(outlined(pixels, patch_box(patch, found.grid, pixels.shape[:2])))
        if drawn:
            name = f"pictures/{row + 1:04d}_{one.latent}.png"
            stream = io.BytesIO()
            Image.fromarray(strip(drawn)).save(stream, format="PNG", optimize=True)
            write_atomically(out / name, stream.getvalue())
            caption = f"largest activation {one.peaks[0]:.3g}"
            made[one.latent] = [{"file": name, "caption": caption}]
    return made


def _stripes(reference: Barcodes) -> dict[str, Any] | None:
    """Choose the latents that vary most between the reference patients, and return the means of the classes."""
    if reference.labels is None or not (reference.labels != "").any():
        return None
    labelled = reference.subset(np.flatnonzero(reference.labels != ""))
    logs = labelled.values.astype(np.float64).copy()
    logs.data = np.log1p(logs.data)
    mean = np.asarray(logs.mean(axis=0)).ravel()
    variance = np.asarray(logs.multiply(logs).mean(axis=0)).ravel() - mean**2
    latents = np.sort(np.argsort(-variance, kind="stable")[:N_STRIPES])
    classes = class_barcodes(labelled)
    shown = labelled.values[:, latents].toarray()
    means = classes.values[:, latents].toarray()
    return {
        "latents": latents.tolist(),
        "full": np.quantile(shown, 0.95, axis=0).tolist(),
        "classes": {str(name): means[place].tolist() for place, name in enumerate(classes.names)},
    }


def _names(run: Run) -> dict[str, dict[str, Any]]:
    """Return the names of the concepts, if the Run was explained."""
    if not run.has("explain/cards.json"):
        return {}
    cards = run.read_json("explain/cards.json")["cards"]
    return {
        str(card["latent"]): {"name": card["name"], "is_draft": card["is_draft"]}
        for card in cards
        if card["name"]
    }
