"""Simulated smears in memory: pixels, masks and tables of images, labelled objects and patients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8

from trilineage.core.progress import progress
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, UNNAMED
from trilineage.data.simulate.smears.concepts import column_of
from trilineage.data.simulate.smears.patients import (
    PatientTraits,
    SmearPatient,
    checked_patients,
    default_patients,
    draw_patient,
)
from trilineage.data.simulate.smears.render import SmearImage, decode, encode, render_image
from trilineage.data.simulate.smears.settings import SmearSettings

IMAGE_COLUMNS = ("path", "label", "patient", "site", "diagnosis", "cell_type")
"""Columns of the table of images; of a field, `cell_type` is empty."""

OBJECT_COLUMNS = (
    *("file", "object", "x0", "y0", "x1", "y1", "patient", "site", "diagnosis", "cell_type", "is_whole"),
    *("nucleus", "granules", "cell_um2", "nucleus_um2"),
    *ATTRIBUTES,
)
"""Columns of the table of labelled objects; what red cells and platelets of fields do not have stays empty."""

PATIENT_COLUMNS = ("patient", "diagnosis", "presentation", "site", "n_images", "blast_share")
"""Columns of the table of patients."""


def object_columns(settings: SmearSettings) -> tuple[str, ...]:
    """Return the columns of the table of labelled objects, last whether each concept was planted."""
    return (*OBJECT_COLUMNS, *map(column_of, settings.concepts))


def patient_columns(settings: SmearSettings) -> tuple[str, ...]:
    """Return the columns of the table of patients, last the share of cells with each concept among its carriers."""
    return (*PATIENT_COLUMNS, *(f"share_{name}" for name in settings.concepts))


@dataclass(frozen=True)
class SmearCohort:
    """Images with everything that is known about them."""

    settings: SmearSettings
    """What was asked for."""
    pixels: UInt8[np.ndarray, "image size size 3"]
    """Colours as a reader of the files sees them, compression included."""
    codes: UInt8[np.ndarray, "image size size"]
    """What each pixel shows: position in `render.CODES`."""
    planted: Bool[np.ndarray, "image concept size size"]
    """Where each concept of `settings.concepts` was planted."""
    images: pd.DataFrame
    """One row per image: `IMAGE_COLUMNS`."""
    objects: pd.DataFrame
    """One row per labelled object: `object_columns`. Of images of one cell, in the order of the images."""
    patients: pd.DataFrame
    """One row per patient: `patient_columns`."""


def simulate_smears(settings: SmearSettings, patients: Sequence[SmearPatient] | None = None) -> SmearCohort:
    """Simulate smears in memory; for sizes beyond it see `trilineage.data.simulate.smears.write`.

    An image depends on the seed, the patient and its number: neither order nor number of images or patients changes it.

    Parameters
    ----------
    settings
        What to draw.
    patients
        Patients to draw instead of those of the settings, for instance those who have simulated expression too.

    Raises
    ------
    ConfigError
        If the patients or the settings cannot be drawn.

    Examples
    --------
    >>> from trilineage.core.progress import set_quiet
    >>> set_quiet(True)
    >>> few = SmearSettings(n_patients_per_diagnosis=1, n_images_per_patient=2, size=32)
    >>> simulate_smears(few).pixels.shape
    (14, 32, 32, 3)
    >>> set_quiet(False)
    """
    drawn = [draw_patient(settings, patient) for patient in all_patients(settings, patients)]
    pixels, codes, planted, rows, objects = [], [], [], [], []
    with progress("rendering smears", len(drawn) * settings.n_images_per_patient, "images") as meter:
        for traits in drawn:
            for number, image in patient_images(settings, traits):
                pixels.append(decode(encode(image.pixels, settings, traits.site)))
                codes.append(image.codes)
                planted.append(image.planted)
                rows.append(image_row(settings, traits, number, image))
                objects.extend(object_rows(settings, traits, number, image))
                meter.advance()
    return SmearCohort(
        settings=settings,
        pixels=np.stack(pixels),
        codes=np.stack(codes),
        planted=np.stack(planted),
        images=pd.DataFrame(rows, columns=list(IMAGE_COLUMNS)),
        objects=pd.DataFrame(objects, columns=list(object_columns(settings))),
        patients=pd.DataFrame([patient_row(settings, traits) for traits in drawn]),
    )


def all_patients(
    settings: SmearSettings, patients: Sequence[SmearPatient] | None
) -> tuple[SmearPatient, ...]:
    """Return the patients to draw, checked."""
    return checked_patients(default_patients(settings) if patients is None else patients, settings)


def patient_images(settings: SmearSettings, traits: PatientTraits) -> Iterator[tuple[int, SmearImage]]:
    """Draw a patient's images one after the other, with their numbers."""
    for number in range(settings.n_images_per_patient):
        yield number, render_image(settings, traits, number)


def image_stem(traits: PatientTraits, number: int) -> str:
    """Return the name that an image and its masks share."""
    return f"{traits.name}_{number:04d}"


def image_path(settings: SmearSettings, traits: PatientTraits, number: int) -> str:
    """Return the path of an image below the folder of the cohort."""
    suffix = {"jpeg": "jpg", "png": "png"}[settings.image_format]
    return f"images/{traits.name}/{image_stem(traits, number)}.{suffix}"


def image_row(
    settings: SmearSettings, traits: PatientTraits, number: int, image: SmearImage
) -> dict[str, object]:
    """Return the row of one image."""
    cell_type = str(image.objects[-1]["cell_type"]) if settings.product == "cells" else ""
    label = traits.diagnosis if settings.label == "diagnosis" else cell_type
    return {
        "path": image_path(settings, traits, number),
        "label": "" if label in UNNAMED else label,
        "patient": traits.name,
        "site": traits.site.name,
        "diagnosis": traits.diagnosis,
        "cell_type": cell_type,
    }


def object_rows(
    settings: SmearSettings, traits: PatientTraits, number: int, image: SmearImage
) -> list[dict[str, object]]:
    """Return the rows of the labelled objects of one image."""
    shared = {
        "file": image_path(settings, traits, number),
        "patient": traits.name,
        "site": traits.site.name,
        "diagnosis": traits.diagnosis,
    }
    return [shared | {"object": row["cell_type"]} | row for row in image.objects]


def patient_row(settings: SmearSettings, traits: PatientTraits) -> dict[str, object]:
    """Return the row of one patient."""
    return {
        "patient": traits.name,
        "diagnosis": traits.diagnosis,
        "presentation": traits.presentation,
        "site": traits.site.name,
        "n_images": settings.n_images_per_patient,
        "blast_share": traits.blast_share,
        **{f"share_{name}": traits.concepts.get(name, 0.0) for name in settings.concepts},
    }
