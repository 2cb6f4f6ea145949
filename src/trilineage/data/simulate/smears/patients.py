"""Patients: diagnosis, laboratory, differential count and traits of their own, each from a stream of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.core.errors import ConfigError
from trilineage.core.seeding import derive_seed, generator
from trilineage.data.simulate.listed import read_listed
from trilineage.data.simulate.smears.cell_types import ATTRIBUTES, BLASTS, CELL_TYPES, NAMES
from trilineage.data.simulate.smears.diagnoses import (
    SHARED_BLOOD,
    canonical,
    concepts_of,
    mixture_of,
    presentation_of,
    shifts_of,
)
from trilineage.data.simulate.smears.settings import SmearSettings
from trilineage.data.simulate.smears.stains import Site, draw_site

_MEANS = np.stack([cell_type.means() for cell_type in CELL_TYPES])
_SPREADS = np.stack([cell_type.spreads() for cell_type in CELL_TYPES])

_CONCENTRATION = 12.0
"""Of the Beta distribution of a patient's share of cells with a concept: a share of .4 varies by .14."""


class SmearPatient(NamedTuple):
    """Who is to be drawn."""

    name: str
    """Patient id."""
    diagnosis: str
    """One of `diagnoses.KNOWN`, or a synonym."""
    site: int | None = None
    """Position of the laboratory; None: drawn."""


class PatientTraits(NamedTuple):
    """Everything about one patient, before any image."""

    name: str
    """Patient id."""
    diagnosis: str
    """Diagnosis, by its name in the taxonomy of leukemia where it has one."""
    presentation: str
    """Presentation of the diagnosis; "normal" where the signal is 0."""
    site: Site
    """Laboratory."""
    shares: Float[np.ndarray, " cell_type"]
    """Differential count; sums to 1."""
    means: Float[np.ndarray, "cell_type attribute"]
    """Mean of every attribute of the patient's cells of each type."""
    dyes: Float[np.ndarray, " dye"]
    """Factors of the slide on the amounts of dye."""
    red_cells: float
    """Red cells per 1,000 square micrometres."""
    red_cell_um: float
    """Mean diameter of the red cells."""
    red_cell_habit: Float[np.ndarray, " 4"]
    """Mean pallor, spread of the size, share of odd shapes, share of crenated cells."""
    platelets: float
    """Platelets per 1,000 square micrometres."""
    white_cells: float
    """Factor on the number of white cells beside the labelled one."""
    concepts: Mapping[str, float] = {}
    """Share of the cells that can carry a planted concept which do, by the name of the concept."""

    @property
    def blast_share(self) -> float:
        """Share of blasts and their equivalents in the differential count."""
        return float(sum(self.shares[NAMES.index(name)] for name in BLASTS))


def default_patients(settings: SmearSettings) -> tuple[SmearPatient, ...]:
    """List the patients that the settings ask for, diagnoses taking turns; a name does not tell the diagnosis."""
    if settings.patients is not None:
        return read_patients(settings.patients)
    n_diagnoses = len(settings.diagnoses)
    numbers = range(settings.first_patient, settings.first_patient + settings.n_patients_per_diagnosis)
    return tuple(
        SmearPatient(f"P{number * n_diagnoses + code + 1:04d}", diagnosis)
        for number in numbers
        for code, diagnosis in enumerate(settings.diagnoses)
    )


def checked_patients(patients: Sequence[SmearPatient], settings: SmearSettings) -> tuple[SmearPatient, ...]:
    """Return the patients with canonical diagnoses.

    Raises
    ------
    ConfigError
        If there are none, a name is empty, appears twice or cannot be a folder, or a diagnosis or site is unknown.
    """
    names = [patient.name for patient in patients]
    odd = [name for name in names if not name or name in {".", ".."} or set(name) & set('/\\:*?"<>|\0')]
    if not names or odd or len(set(names)) < len(names):
        raise ConfigError(
            "this is no list of patients",
            seen=f"names {odd[:3]}" if odd else f"{len(names)} names, {len(set(names))} of them different",
            allowed="at least one patient, each once, with names that can be names of folders",
        )
    sites = [patient.site for patient in patients if patient.site is not None]
    if sites and not 0 <= min(sites) <= max(sites) < settings.n_sites:
        raise ConfigError(
            "a patient's site does not exist",
            seen=f"sites {min(sites) + 1} to {max(sites) + 1}",
            allowed=f"1 to {settings.n_sites}",
            remedy="set n_sites",
        )
    known = tuple(patient._replace(diagnosis=canonical(patient.diagnosis)) for patient in patients)
    untold = [patient for patient in known if set(concepts_of([patient.diagnosis])) - set(settings.concepts)]
    if settings.planted and untold:
        raise ConfigError(
            "the truth has no column for the concepts of a patient",
            seen=f"{untold[0].name}, {untold[0].diagnosis}",
            allowed=f"diagnoses with planted concepts that `diagnoses` names too: {', '.join(settings.diagnoses)}",
            remedy=f"add {untold[0].diagnosis} to `diagnoses`, or set planted=false",
        )
    return known


def read_patients(path: Path | str) -> tuple[SmearPatient, ...]:
    """Read patients from a CSV with the columns patient, diagnosis and, if it has one, site; see `read_listed`.

    Raises
    ------
    ConfigError
        As `read_listed`.
    """
    return tuple(SmearPatient(one.name, one.diagnosis, one.site) for one in read_listed(path))


def draw_patient(settings: SmearSettings, patient: SmearPatient) -> PatientTraits:
    """Draw one patient from streams that depend on the name alone, whoever else is drawn.

    What a diagnosis does is added in the end, times the signal: without signal a patient is the same under every
    diagnosis.
    """
    random = generator(settings.seed, "smears", "patient", patient.name)
    normal, presentation = presentation_of("normal", 0.0), presentation_of(patient.diagnosis, random.random())
    blood = SHARED_BLOOD if settings.shared_mixture else presentation
    site = draw_site(settings, _site_of(settings, patient, random))
    mixture = (1 - settings.signal) * mixture_of(normal) + settings.signal * mixture_of(blood)
    own = settings.patient_effect * _own_traits(settings, patient)
    dyes = np.exp(settings.stain_spread * random.standard_normal(4))
    red, diameter, habit, platelets, white = _background(settings, random)
    shown = settings.signal * settings.background_signal
    return PatientTraits(
        name=patient.name,
        diagnosis=patient.diagnosis,
        presentation=presentation.name if settings.signal > 0 else normal.name,
        site=site,
        shares=_dirichlet(settings.composition_concentration * mixture, settings, patient.name),
        means=_MEANS + _SPREADS * (own + settings.signal * shifts_of(blood)),
        dyes=dyes,
        red_cells=red * blood.red_cells**shown,
        red_cell_um=diameter,
        red_cell_habit=habit,
        platelets=platelets * blood.platelets**shown,
        white_cells=white * blood.white_cells**shown,
        concepts=_planted_shares(settings, patient, presentation.concepts),
    )


def _planted_shares(
    settings: SmearSettings, patient: SmearPatient, typical: Mapping[str, float]
) -> dict[str, float]:
    """Draw a patient's own share of each concept around the typical one, from a Beta distribution."""
    shares: dict[str, float] = {}
    for name, share in typical.items() if settings.planted and settings.signal > 0 else ():
        random, mean = (
            generator(settings.seed, "smears", "share", name, patient.name),
            settings.signal * share,
        )
        shares[name] = float(random.beta(_CONCENTRATION * mean, _CONCENTRATION * (1 - mean)))
    return shares


def _own_traits(settings: SmearSettings, patient: SmearPatient) -> Float[np.ndarray, "cell_type attribute"]:
    """Draw a patient's shifts: half of their variance is common to all cell types, half belongs to each type."""
    random = generator(settings.seed, "smears", "traits", patient.name)
    common = random.standard_normal((1, len(ATTRIBUTES)))
    return np.sqrt(0.5) * (common + random.standard_normal((len(NAMES), len(ATTRIBUTES))))


def _site_of(settings: SmearSettings, patient: SmearPatient, random: np.random.Generator) -> int:
    """Draw the laboratory, or, with the chance `site_confounding`, take the one that belongs to the diagnosis."""
    drawn, is_confounded = int(random.integers(settings.n_sites)), random.random() < settings.site_confounding
    if patient.site is not None:
        return patient.site
    if not is_confounded:
        return drawn
    order = [canonical(name) for name in settings.diagnoses]
    if patient.diagnosis in order:
        return order.index(patient.diagnosis) % settings.n_sites
    return derive_seed(settings.seed, "smears", "confounded", patient.diagnosis) % settings.n_sites


def _dirichlet(
    concentrations: Float[np.ndarray, " cell_type"], settings: SmearSettings, name: str
) -> Float[np.ndarray, " cell_type"]:
    """Draw shares; types that cannot occur get none. The stream does not depend on which types can."""
    random = generator(settings.seed, "smears", "composition", name)
    shares = np.array([random.gamma(amount) if amount > 0 else 0.0 for amount in concentrations])
    return shares / shares.sum()


def _background(
    settings: SmearSettings, random: np.random.Generator
) -> tuple[float, float, Float[np.ndarray, " 4"], float, float]:
    """Draw what surrounds the white cells: red cells, their size and habit, platelets, white cells."""
    normals = random.standard_normal(4)
    habit = np.array(
        [random.uniform(0.35, 0.75), random.uniform(0.04, 0.09), random.beta(1, 14), random.beta(0.5, 12)]
    )
    return (
        settings.red_cell_density * float(np.exp(0.22 * normals[0])),
        7.3 + 0.35 * float(normals[1]),
        habit,
        settings.platelet_density * float(np.exp(0.4 * normals[2])),
        float(np.exp(0.4 * normals[3])),
    )
