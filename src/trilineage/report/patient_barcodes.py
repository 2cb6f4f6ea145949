"""A page for each patient of a prediction: the barcode beside the reference cohort, top concepts, nearest patients.

Reads the folder that `trilineage concepts predict` wrote: the pictures, and `patients.json`, which holds

* `kind` and `version`; `made` (`run`, `created`, `trilineage`, `seed`); `n_reference`, `tau`, `uses_cls`;
* `names`: by the number of a latent as text, its `name` and whether it `is_draft`; may be left out;
* `stripes`, for the barcode as a picture: `latents`, `full` (95 % quantile of the reference patients), and by the name
  of each of the `classes` the means of these latents in tokens per image; may be left out;
* `patients`: `patient`, `n_images`, and as far as known `note`, `label`, `predicted`, `probabilities` by class,
  `nearest` (`patient`, `label`, `distance`), `stripe` (tokens per image of the latents of `stripes`), `standing`:
  `latent`, `value`, `share_below`, `quantiles` (5, 25, 50, 75, 95 %), `low` and `high`, `pictures` (`file`, `caption`).
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas

from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.core.files import write_atomically
from trilineage.report.blocks import Block, Facts, Figure, Gallery, Notice, Picture, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, MUTED, SECOND, WIDTH_IN, draw
from trilineage.report.numbers import UNDEFINED, counted, moment, number, percent
from trilineage.report.origins import with_sources
from trilineage.report.pictures import MAX_BYTES, png_size
from trilineage.report.rendering import render_page

PATIENTS_NAME = "patients.json"
INDEX_NAME = "patients.html"
KIND = "trilineage patient barcodes"
VERSION = 1
MAX_DRAWN = 24
"""Concepts in the figure of one patient."""

Record = Mapping[str, Any]


def write_patient_pages(folder: Path | str) -> Path:
    """Write a page for each patient of a prediction and a list of them; return the path of the list.

    Raises
    ------
    ArtifactError
        If the folder holds no barcodes of patients, or they are damaged.
    NewerVersionError
        If a newer version wrote them.
    StorageError
        If the folder cannot be written.
    """
    path = Path(folder)
    found = read_patients(path)
    pages = []
    for place, patient in enumerate(found["patients"]):
        name = f"patients/{place + 1:04d}.html"
        try:
            page = render_patient(path, found, patient)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise _damaged(repr(error)) from None
        write_atomically(path / name, page.encode())
        called = str(patient.get("predicted") or "")
        pages.append((name, str(patient["patient"]), str(patient.get("label") or ""), called))
    index = render_page(
        "patients.html.j2", pages=pages, made=found["made"], created=moment(found["made"]["created"])
    )
    write_atomically(path / INDEX_NAME, index.encode())
    return path / INDEX_NAME


def read_patients(folder: Path) -> dict[str, Any]:
    """Return `patients.json`, checked; raises as `write_patient_pages`."""
    path = folder / PATIENTS_NAME
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(f"{path}: {error}") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise _damaged("another kind of file")
    if not isinstance(found.get("version"), int) or found["version"] > VERSION:
        raise NewerVersionError(
            "the barcodes of patients were written by a newer trilineage",
            seen=f"version {found.get('version')}",
            allowed=f"up to {VERSION}",
            remedy="update trilineage",
        )
    missing = {"made", "n_reference", "tau", "uses_cls", "patients"} - found.keys()
    if missing:
        raise _damaged(f"without {', '.join(sorted(missing))}")
    return found


def render_patient(folder: Path, found: Record, patient: Record) -> str:
    """Return the page of one patient as HTML."""
    made = found["made"]
    made_from = (f"../{PATIENTS_NAME}",)
    made_sections = (section for section in patient_sections(folder, found, patient) if section is not None)
    sections = [with_sources(section, made_from) for section in made_sections]
    return render_page(
        "page.html.j2",
        name=str(patient["patient"]),
        title="Barcode of a patient",
        run={"kind": "images.patient", "seed": made["seed"], "trilineage": made["trilineage"]},
        created=moment(made["created"]),
        summary=patient_headline(found, patient),
        summary_sources=made_from,
        warnings=[],
        sections=sections,
    )


def patient_headline(found: Record, patient: Record) -> list[str]:
    """Return what matters in a few sentences."""
    called, n_images = patient.get("predicted"), counted(patient["n_images"], "image")
    if called:
        share = percent(round(patient["probabilities"][called], 2))
        sentences = [f"By the barcode of {n_images}: {called} ({share})."]
    else:
        sentences = [f"The barcode of {n_images}."]
    stands = patient.get("standing", ())
    far = [one for one in stands if not 0.05 < one["share_below"] < 0.95]
    if stands:
        reference = counted(found["n_reference"], "reference patient")
        sentences.append(
            f"{counted(len(far), 'concept')} of those shown lie outside nine in ten of {reference}."
        )
    if patient.get("label"):
        sentences.append(f"The table of images calls this patient {patient['label']}.")
    return sentences


def patient_sections(folder: Path, found: Record, patient: Record) -> list[Section | None]:
    """Return the parts of the page, in order."""
    return [
        barcode_section(found, patient),
        pictures_section(folder, found, patient),
        nearest_section(patient),
        subtype_section(patient),
        made_section(found, patient),
    ]


# ---- barcode --------------------------------------------------------------------------------------------------------


def barcode_section(found: Record, patient: Record) -> Section:
    """Draw the barcode beside the classes, and the most remarkable concepts beside the reference patients."""
    blocks: list[Block] = [Notice(str(patient["note"]), "caution")] if patient.get("note") else []
    if found.get("stripes") and patient.get("stripe"):
        blocks.append(stripes(found["stripes"], patient))
    if patient.get("standing"):
        blocks.append(standing_figure(found, patient))
    blocks.append(
        Text(
            "A concept that stands out says how this patient's cells differ in the eyes of the network; it names no "
            "cause, and a smear of another laboratory may stand out by its stain alone."
        )
    )
    return Section("barcode", "Barcode", tuple(blocks))


def stripes(cohort: Record, patient: Record) -> Figure:
    """Draw a row for the patient and one for each class: a stripe per concept, strong where it is frequent."""
    names = [str(patient["patient"]), *map(str, cohort["classes"])]
    values = np.array([patient["stripe"], *cohort["classes"].values()], float)
    n_concepts = values.shape[1]
    top = np.maximum(np.array(cohort["full"], float), values[1:].max(axis=0, initial=0.0))
    rows = values / np.where(top > 0, top, 1.0)  # row concept

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots(len(names), 1, sharex=True, gridspec_kw={"hspace": 0.12}, squeeze=False)[:, 0]
        for place, (one, name) in enumerate(zip(axes, names, strict=True)):
            _stripe(one, rows[place], MODEL if place else SECOND)
            one.set_ylabel(name, rotation=0, ha="right", va="center")

    return draw(
        "stripes",
        paint,
        title="Barcode beside the classes",
        description=f"{n_concepts} concepts, a stripe each; rows: the patient, then the mean of each class.",
        caption=f"A stripe for each of {counted(n_concepts, 'concept')}, in the same order in every row; the more "
        "tokens hold it, the stronger its colour. Full colour: the 95 % quantile of the reference patients, or the "
        "mean of the class that has most.",
        height_in=0.5 + 0.42 * len(names),
    )


def _stripe(axes: Axes, values: np.ndarray, colour: str) -> None:
    """Draw one row of stripes, transparent where there is nothing, so that it reads on light and on dark."""
    picture = np.empty((1, len(values), 4))
    picture[..., :3] = to_rgb(colour)
    picture[..., 3] = np.clip(values, 0.0, 1.0)
    axes.imshow(picture, aspect="auto", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    for spine in axes.spines.values():
        spine.set(linewidth=0.4, alpha=0.5)


def standing_figure(found: Record, patient: Record) -> Figure:
    """Draw the patient's most remarkable concepts with their intervals on the spread of the reference patients."""
    shown = patient["standing"][:MAX_DRAWN]
    names = [concept_name(found, one["latent"]) for one in shown]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.set_xscale("function", functions=(np.log1p, np.expm1))
        for row, one in enumerate(shown):
            low, quarter, middle, three, high = one["quantiles"]
            axes.plot([low, high], [row, row], color=MUTED, linewidth=5, alpha=0.3, solid_capstyle="butt")
            axes.plot(
                [quarter, three], [row, row], color=MUTED, linewidth=5, alpha=0.55, solid_capstyle="butt"
            )
            axes.plot([middle], [row], "|", color=INK, markersize=9)
            if one.get("low") is not None and one.get("high") is not None:
                axes.plot([one["low"], one["high"]], [row, row], color=SECOND, linewidth=1.4)
            axes.plot([one["value"]], [row], "o", color=SECOND, markersize=5.5)
        axes.set_yticks(range(len(shown)), names)
        axes.set(ylim=(len(shown) - 0.4, -0.6))
        axes.set_xlim(left=0)
        axes.set_xlabel(f"Tokens per image with an activation above {found['tau']:g}")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")

    said = "; ".join(
        f"{name} {number(one['value'], 2)}, reference median {number(one['quantiles'][2], 2)}"
        for one, name in zip(shown, names, strict=True)
    )
    return draw(
        "standing",
        paint,
        title="What stands out",
        description=f"Tokens per image of the concepts that differ most: {said}.",
        caption="Orange: this patient, with the interval over resampled cells where it is known. Grey: nine in ten and "
        "half of the reference patients; tick: their median. Names that nobody has confirmed are drafts.",
        height_in=0.9 + 0.25 * len(shown),
        width_in=WIDTH_IN,
    )


def concept_name(found: Record, latent: int) -> str:
    """Return a concept as it stands beside a row; a name that nobody has confirmed is called a draft."""
    known = found.get("names", {}).get(str(latent))
    if not known or not known["name"]:
        return f"latent {latent}"
    return f"{known['name']} ({'draft, ' * bool(known['is_draft'])}{latent})"


# ---- pictures, neighbours, subtype ----------------------------------------------------------------------------------


def pictures_section(folder: Path, found: Record, patient: Record) -> Section | None:
    """Show cells of the patient that hold the top concepts, and reference cells beside them."""
    pictures: list[Picture] = []
    room = MAX_BYTES
    for one in patient.get("standing", ()):
        for picture in one.get("pictures", ()):
            line = f"{concept_name(found, one['latent'])}: {picture['caption']}"
            made = _picture(folder, str(picture["file"]), line, room)
            if made is not None:
                room -= len(made.data_uri)
                pictures.append(made)
    if not pictures:
        return None
    how = "Cells that hold the concepts that stand out most, strongest first."
    return Section("cells", "Cells", (Gallery(how, tuple(pictures), is_wide=True),))


def _picture(folder: Path, file: str, line: str, room: int) -> Picture | None:
    """Return a PNG of the folder; None where it is missing, none, too large, or outside the folder."""
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    data = path.read_bytes()
    size = png_size(data)
    if size is None or len(data) > room:
        return None
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return Picture(line, uri, *size, (line,))


def nearest_section(patient: Record) -> Section | None:
    """List the nearest reference patients."""
    if not patient.get("nearest"):
        return None
    rows = tuple(
        (str(one["patient"]), str(one["label"] or UNDEFINED), number(one["distance"], 3))
        for one in patient["nearest"]
    )
    caption = (
        "Cosine distance of log(1 + tokens per image): 0 for the same proportions, 1 for nothing in common."
    )
    return Section(
        "nearest", "Nearest patients", (Table(caption, ("Patient", "Class", "Distance"), rows, 2),)
    )


def subtype_section(patient: Record) -> Section | None:
    """List the probability of each class."""
    if not patient.get("probabilities"):
        return None
    ranked = sorted(patient["probabilities"].items(), key=lambda pair: -pair[1])
    rows = tuple((str(name), number(share, 3)) for name, share in ranked)
    caption = "Probability of each class by the classifier of barcodes; it knows no other classes."
    return Section("classes", "Classes", (Table(caption, ("Class", "Probability"), rows),))


def made_section(found: Record, patient: Record) -> Section:
    """Say what the barcode was made from."""
    tokens = "patches and the class token" if found["uses_cls"] else "patches"
    rows = (
        ("Images", f"{patient['n_images']:,}"),
        ("Tokens", f"{tokens} with an activation above {found['tau']:g}, mean over the images"),
        ("Reference cohort", counted(found["n_reference"], "patient")),
        ("Run", str(found["made"]["run"])),
    )
    return Section("made", "What it was made from", (Facts(rows),))


def _damaged(seen: str) -> ArtifactError:
    return ArtifactError(
        "these are no barcodes of patients, or they are damaged",
        seen=seen,
        allowed=f"a folder with {PATIENTS_NAME}, written by `trilineage concepts predict`",
        remedy="predict again",
    )
