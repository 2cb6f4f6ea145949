"""The cohort to a folder: patients, smears with masks and truth, expression, and the new patients apart."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from trilineage.core.errors import ConfigError
from trilineage.core.files import write_atomically
from trilineage.data.simulate.cohort.patients import CohortPatient, draw_cohort
from trilineage.data.simulate.cohort.settings import NEW, CohortSettings
from trilineage.data.simulate.listed import ListedPatient
from trilineage.data.simulate.smears.patients import SmearPatient
from trilineage.data.simulate.smears.write import simulate_to_folder
from trilineage.data.simulate.write import simulate_to_h5ad

SETTINGS, PATIENTS, IMAGES, BLOOD, SMEARS = (
    "settings.toml",
    "patients.csv",
    "images.csv",
    "blood.h5ad",
    "smears",
)
"""Files and folders of a cohort; those of the new patients lie in a folder of their own."""


def simulate_cohort(
    settings: CohortSettings, out: Path | str, *, workers: int = 1
) -> tuple[CohortPatient, ...]:
    """Write a cohort whose patients have smears, expression or both; return the patients.

    `patients.csv` lists everybody. `smears/images.csv` lists the images with diagnosis, part and what was planted
    (masks and more of the truth beside it), `blood.h5ad` holds the cells with their truth. `new/` holds the same for
    the patients whose diagnosis no model has learned. Called again after an interruption, it goes on.

    Parameters
    ----------
    settings
        Who and what to draw.
    out
        Folder, made if need be.
    workers
        Processes that draw smears; the files do not depend on it.

    Raises
    ------
    ConfigError
        If the patients cannot be drawn, or the folder holds another cohort.
    StorageError
        If the disk is full or the folder cannot be written; what is finished stays.
    """
    folder, patients = Path(out), draw_cohort(settings)
    _claim(folder, settings)
    _write_table(folder / PATIENTS, [one._asdict() for one in patients])
    known = [one for one in patients if one.part != NEW]
    new = [one for one in patients if one.part == NEW]
    for place, members in ((folder, known), (folder / NEW, new)):
        if members:
            _write_smears(place / SMEARS, [one for one in members if one.has_smears], settings, workers)
            _write_blood(place / BLOOD, [one for one in members if one.has_expression], settings)
    return patients


def _claim(folder: Path, settings: CohortSettings) -> None:
    """Write what was asked for into the folder, or check that it is what is there."""
    path, text = folder / SETTINGS, settings.to_toml().encode()
    if not path.exists():
        write_atomically(path, text)
    if path.read_bytes() != text:
        raise ConfigError(
            f"{folder} holds a cohort of other settings",
            seen=path,
            allowed="the same settings, to go on where the work stopped",
            remedy="choose another folder",
        )


def _write_smears(
    folder: Path, patients: Sequence[CohortPatient], settings: CohortSettings, workers: int
) -> None:
    """Draw the smears, and list them with diagnosis and part beside what the simulator lists."""
    drawn = tuple(dict.fromkeys(one.subtype for one in draw_cohort(settings)))
    asked = settings.smears.replace(seed=settings.seed, diagnoses=drawn, n_sites=settings.n_sites)
    listed = [SmearPatient(one.patient, one.subtype, one.site_position) for one in patients]
    simulate_to_folder(asked, folder, patients=listed, workers=workers)
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    truth = pd.read_csv(folder / "truth.csv", dtype=str, keep_default_na=False)
    planted = truth[["file", *(name for name in truth.columns if name.startswith("has_"))]]
    table = manifest.rename(columns={"diagnosis": "subtype"}).merge(planted, left_on="path", right_on="file")
    by_name = {one.patient: one for one in patients}
    table["label"] = [by_name[name].diagnosis for name in table["patient"]]
    table["part"] = [by_name[name].part for name in table["patient"]]
    write_atomically(folder / IMAGES, table.drop(columns="file").to_csv(index=False).encode())


def _write_blood(path: Path, patients: Sequence[CohortPatient], settings: CohortSettings) -> None:
    if path.exists():
        return
    labels = (*settings.diagnoses, *dict.fromkeys(settings.new_diagnoses))
    asked = settings.expression.replace(seed=settings.seed, labels=labels, n_sites=settings.n_sites)
    listed = [ListedPatient(one.patient, one.diagnosis, one.site_position, one.part) for one in patients]
    simulate_to_h5ad(asked, path, patients=listed)


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    write_atomically(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())
