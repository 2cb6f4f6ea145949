"""Simulated smears to a folder: images, masks, manifest and truth, patient by patient, resumable, in processes."""

import io
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from trilineage.core.errors import ConfigError, StorageError
from trilineage.core.files import write_atomically
from trilineage.core.progress import Meter, progress
from trilineage.data.simulate.smears.cohort import (
    IMAGE_COLUMNS,
    all_patients,
    image_path,
    image_row,
    image_stem,
    object_columns,
    object_rows,
    patient_columns,
    patient_images,
    patient_row,
)
from trilineage.data.simulate.smears.patients import SmearPatient, draw_patient
from trilineage.data.simulate.smears.render import CODES, CYTOPLASM, NUCLEUS, SmearImage, encode
from trilineage.data.simulate.smears.settings import SmearSettings

SETTINGS_NAME, REQUEST_NAME = "settings.toml", "asked_patients.csv"
"""What was asked for; they are written first, and a folder with others is left alone."""

TABLES = ("patients.csv", "truth.csv", "manifest.csv")
"""Tables of the folder; the manifest is written last: a folder that has it is complete."""

_PARTS = ".parts"
"""Folder of the finished patients' tables while others are still to come."""

_PALETTE = (
    255,
    255,
    255,
    232,
    150,
    140,
    240,
    200,
    80,
    120,
    160,
    230,
    60,
    20,
    140,
    190,
    205,
    220,
    140,
    130,
    170,
)
"""Colours in which a viewer shows the codes of a mask."""


def simulate_to_folder(
    settings: SmearSettings,
    out: Path | str,
    *,
    patients: Sequence[SmearPatient] | None = None,
    workers: int = 1,
) -> int:
    """Write the images that `simulate_smears` returns, with their truth; return how many there are.

    `manifest.csv` lists the images, `truth.csv` the labelled objects with boxes and attributes, `patients.csv` the
    patients. `masks/codes` holds what each pixel shows (a PNG with a palette, numbers as in `render.CODES`),
    `masks/cell` and `masks/nucleus` are white where the labelled cell and its nucleus are, `masks/<concept>` where a
    planted concept is, for the images that show it. Called again after an interruption, it goes on with the next
    patient; called on a complete folder, it does nothing.

    Parameters
    ----------
    settings
        What to draw.
    out
        Folder, made if need be.
    patients
        Patients to draw instead of those of the settings.
    workers
        Processes; the files do not depend on it.

    Raises
    ------
    ConfigError
        If the patients cannot be drawn, or the folder holds smears of other settings or patients.
    StorageError
        If the disk is full or the folder cannot be written; finished patients stay.
    """
    folder = Path(out)
    chosen = all_patients(settings, patients)
    n_images = len(chosen) * settings.n_images_per_patient
    _claim(folder, settings, chosen)
    if (folder / "manifest.csv").exists():
        return n_images
    missing = [patient for patient in chosen if not _part(folder, patient.name, "manifest.csv").exists()]
    with progress("rendering smears", n_images, "images") as meter:
        meter.advance(n_images - len(missing) * settings.n_images_per_patient)
        _write_all(folder, settings, missing, workers, meter)
    for name, columns in columns_of(settings).items():
        write_atomically(folder / name, _joined(folder, [patient.name for patient in chosen], name, columns))
    shutil.rmtree(folder / _PARTS)
    return n_images


def _claim(folder: Path, settings: SmearSettings, patients: Sequence[SmearPatient]) -> None:
    """Write what was asked for into the folder, or check that it is what is there."""
    listed = [
        {"patient": one.name, "diagnosis": one.diagnosis, "site": "" if one.site is None else one.site + 1}
        for one in patients
    ]
    asked = {
        REQUEST_NAME: pd.DataFrame(listed).to_csv(index=False, lineterminator="\n"),
        SETTINGS_NAME: settings.to_toml(),
    }
    if not (folder / SETTINGS_NAME).exists():
        for name, text in asked.items():
            write_atomically(folder / name, text.encode())
    for name, text in asked.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != text.encode():
            raise ConfigError(
                f"{folder} holds smears of other settings or patients",
                seen=folder / name,
                allowed="the same settings and patients, to go on where the work stopped",
                remedy="choose another folder",
            )


def _write_all(
    folder: Path, settings: SmearSettings, patients: list[SmearPatient], workers: int, meter: Meter
) -> None:
    """Write patients here or in other processes."""
    if workers <= 1 or len(patients) <= 1:
        for patient in patients:
            meter.advance(write_patient(folder, settings, patient))
        return
    context = multiprocessing.get_context("spawn")  # a forked process could inherit a held lock of a thread
    with ProcessPoolExecutor(min(workers, len(patients)), mp_context=context) as pool:
        jobs = [pool.submit(write_patient, folder, settings, patient) for patient in patients]
        try:
            for job in as_completed(jobs):
                meter.advance(job.result())
        except BaseException:  # leave after the patients at hand, not after all of them
            pool.shutdown(cancel_futures=True)
            raise


def write_patient(folder: Path, settings: SmearSettings, patient: SmearPatient) -> int:
    """Write one patient's images and masks, then its rows of the tables; return the number of images."""
    traits = draw_patient(settings, patient)
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    for number, image in patient_images(settings, traits):
        _put(folder / image_path(settings, traits, number), encode(image.pixels, settings, traits.site))
        if settings.write_masks:
            for kind, data in mask_files(image, settings.concepts):
                _put(folder / "masks" / kind / f"{image_stem(traits, number)}.png", data)
        rows["manifest.csv"].append(image_row(settings, traits, number, image))
        rows["truth.csv"].extend(object_rows(settings, traits, number, image))
    rows["patients.csv"].append(patient_row(settings, traits))
    for name, columns in columns_of(settings).items():
        table = pd.DataFrame(rows[name], columns=list(columns))
        text = table.to_csv(index=False, header=False, float_format="%.5g", lineterminator="\n")
        write_atomically(_part(folder, patient.name, name), text.encode())
    return settings.n_images_per_patient


def columns_of(settings: SmearSettings) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table."""
    columns = (patient_columns(settings), object_columns(settings), IMAGE_COLUMNS)
    return dict(zip(TABLES, columns, strict=True))


def mask_files(image: SmearImage, concepts: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Encode the masks of one image: the codes, the labelled cell, its nucleus, and each concept that it shows."""
    codes = image.codes
    picture = Image.fromarray(codes).convert("L")
    picture.putpalette(_PALETTE)
    yield "codes", _png(picture)
    is_nucleus = codes == NUCLEUS
    yield "cell", _png(Image.fromarray(is_nucleus | (codes == CYTOPLASM)))
    yield "nucleus", _png(Image.fromarray(is_nucleus))
    for concept, mask in zip(concepts, image.planted, strict=True):
        if mask.any():
            yield concept, _png(Image.fromarray(mask))


def read_codes(path: Path | str) -> UInt8[np.ndarray, "height width"]:
    """Read what each pixel shows (position in `render.CODES`) from a file of `masks/codes`."""
    with Image.open(path) as picture:
        codes = np.array(picture, dtype=np.uint8)
    if codes.ndim != 2 or codes.max() >= len(CODES):
        raise ConfigError(f"{path} holds no codes", allowed="a file of masks/codes", remedy="check the path")
    return codes


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def _put(path: Path, data: bytes) -> None:
    """Write a file that takes its name when it is whole.

    The disk is not flushed after each of thousands of small files, as `write_atomically` would: the patient's rows,
    which make its files count, are.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}",
            seen=error.strerror or error,
            allowed="a folder that can be written and has free space",
            remedy="free space or choose another place, then run the same command again: it goes on",
        ) from error


def _part(folder: Path, patient: str, name: str) -> Path:
    return folder / _PARTS / patient / name


def _joined(folder: Path, patients: list[str], name: str, columns: tuple[str, ...]) -> bytes:
    """Put the patients' rows below one header."""
    parts = (_part(folder, patient, name).read_bytes() for patient in patients)
    return b"".join([",".join(columns).encode() + b"\n", *parts])
