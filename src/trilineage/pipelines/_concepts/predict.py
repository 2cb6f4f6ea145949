"""Barcodes of new patients: images to codes part by part, resumable; classified, and held against the Run's cohort."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, CohortError
from trilineage.core.files import atomic_path, write_atomically
from trilineage.core.manifest import to_json
from trilineage.core.progress import progress
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.barcodes.files import read_barcodes, write_barcodes
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.codes.store import CodeStore
from trilineage.data.cohort import Cohort
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.evaluation.barcodes.shift import ShiftProfile, shift_report
from trilineage.models.encoder import TokenEncoder
from trilineage.models.extraction import token_source
from trilineage.models.sae.encode_images import code_source, encode_images
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.pipelines._concepts import profiles
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import UNLABELLED
from trilineage.pipelines._concepts.patient_pages import Predicted, describe_patients
from trilineage.pipelines._concepts.patients import BARCODES, make_barcodes
from trilineage.pipelines._concepts.store import KIND, PROFILE, read_dictionary, read_encoder
from trilineage.pipelines._concepts.subtypes import read_model
from trilineage.pipelines._image_cohort import reading_settings
from trilineage.training.distributed import choose_device
from trilineage.training.interruption import interruptible

ABOUT, PATIENTS, IMAGES = "about.json", "patients.json", "images.csv"
N_TOP = 5
"""Latents of an image that its line in the table names."""


class Barcoded(NamedTuple):
    """What `predict` found, and where it lies."""

    barcodes: Barcodes
    """A row per patient."""
    called: dict[str, list[Any]]
    """Subtype and probabilities of each patient as columns of a table; empty where the Run has no classifier."""
    unreadable: tuple[tuple[str, str], ...]
    """Name of each image that could not be read, and why."""
    path: Path
    """Folder with `barcodes.h5ad`, `patients.json`, `images.csv` and `about.json`."""


def predict_to_folder(
    run: Run | Path | str, data: Path, *, out: Path, device: str, options: Mapping[str, Any]
) -> Barcoded:
    """See `trilineage.concepts.predict`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    _require_finished(opened)
    config = opened.config(Config)
    table = open_images(reading_settings(config.data, data, {"verify": "decode", **options}))
    encoder = read_encoder(opened, config).to(choose_device(device))
    member = read_dictionary(opened).to(encoder.device)
    store = _encode(table, encoder, member, out / "codes", config)
    codes = ImageCodes.concatenate(list(store.iterate()))
    cohort = _cohort(table)
    barcodes = make_barcodes(codes, store.source, cohort, uses_cls=config.barcode.with_cls)
    write_barcodes(out / BARCODES, barcodes)
    profile = profiles.profile_of(codes, np.arange(len(codes)), store.source, cohort)
    _write_profile(out / PROFILE, profile)
    called = _called(opened, barcodes)
    write_atomically(out / IMAGES, _image_table(table, cohort, codes).encode())
    found = Predicted(table, cohort, codes, encoder.grid, barcodes, called)
    write_atomically(out / PATIENTS, to_json(describe_patients(opened, found, _reference(opened), out)))
    write_atomically(out / ABOUT, to_json(_about(opened, table, store, profile, config)))
    return Barcoded(barcodes, called, table.unreadable, out)


def _require_finished(run: Run) -> None:
    if not run.is_complete:
        raise ArtifactError(
            f"{run.path} is not finished",
            seen=run.manifest["status"],
            remedy="run the same fit again: it goes on",
        )


def _encode(
    table: ImageTable, encoder: TokenEncoder, member: SparseAutoencoder, folder: Path, config: Config
) -> CodeStore:
    """Encode all images to a folder; parts that are there stay."""
    source = code_source(token_source(encoder, table), member, tau=config.barcode.tau)
    store = CodeStore(folder, source)
    images = ImageBatches(table, workers=1)
    with interruptible() as interruption, progress("images", len(table), "images") as meter:
        meter.advance(len(store))

        def watched() -> Any:
            for batch in encode_images(
                encoder,
                member,
                lambda positions: images.take(positions).pixels,
                len(table),
                tau=config.barcode.tau,
                first=len(store),
                workers=config.data.workers,
                device=encoder.device,
            ):
                yield batch
                meter.advance(len(batch))
                interruption.check("the encoding")

        store.extend(watched())
    return store


def _cohort(table: ImageTable) -> Cohort:
    """Return who the images belong to; images without a patient are one patient each."""
    labels = np.where(table.labels == "", UNLABELLED, table.labels).astype(str)
    patients = table.names if table.patients is None else table.patients
    classes = tuple(np.unique(labels).tolist())
    return Cohort(table.names, patients, labels, classes, sites=table.sites)


def _called(run: Run, barcodes: Barcodes) -> dict[str, list[Any]]:
    """Return what the classifier of the Run calls each patient."""
    model = read_model(run)
    if model is None:
        return {}
    probabilities = model.probabilities(barcodes.values)
    columns: dict[str, list[Any]] = {
        "patient": barcodes.names.tolist(),
        "n_samples": barcodes.n_images.tolist(),
        "predicted": [model.classes[code] for code in probabilities.argmax(axis=1)],
    }
    for number, name in enumerate(model.classes):
        columns[f"probability: {name}"] = probabilities[:, number].tolist()
    return columns


def _reference(run: Run) -> Barcodes:
    """Return the barcodes of the Run's cohort, checked against their digest."""
    run.read_bytes(BARCODES)
    return read_barcodes(run.path / BARCODES)


def _image_table(table: ImageTable, cohort: Cohort, codes: ImageCodes) -> str:
    """Return a line per image: patient, active latents, and those with the largest mean activation."""
    means = codes.matrix("mean", with_cls=codes.has_cls)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    pairs = [f"{what}_{n}" for n in range(1, N_TOP + 1) for what in ("latent", "activation")]
    writer.writerow(["image", "patient", "n_active", *pairs])
    for row, position in enumerate(codes.positions.tolist()):
        own = slice(means.indptr[row], means.indptr[row + 1])
        latents, values = means.indices[own], means.data[own]
        top = np.lexsort((latents, -values))[:N_TOP]
        cells = [cell for place in top for cell in (latents[place], f"{values[place]:.6g}")]
        blank = [""] * (2 * N_TOP - len(cells))
        writer.writerow([table.names[position], cohort.patients[position], len(latents), *cells, *blank])
    return text.getvalue()


def _about(
    run: Run, table: ImageTable, store: CodeStore, profile: ShiftProfile, config: Config
) -> dict[str, Any]:
    """Return what was encoded with what, and how far the cohort has shifted from the training images."""
    facts: dict[str, Any] = {
        "run": str(run.path.resolve()),
        "images": {"path": str(table.settings.path), "n": len(table), "sha256": table.fingerprint},
        "unreadable": [list(pair) for pair in table.unreadable],
        "codes": asdict(store.source),
    }
    first = profiles.from_arrays(run.read_arrays(PROFILE))
    try:
        facts["shift"] = {"note": "", **shift_report(first, profile, seed=config.seed).to_dict()}
    except CohortError as error:
        facts["shift"] = {"note": error.what}
    return facts


def _write_profile(path: Path, profile: ShiftProfile) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        arrays: dict[str, Any] = profiles.to_arrays(profile)
        np.savez_compressed(stream, **arrays)
