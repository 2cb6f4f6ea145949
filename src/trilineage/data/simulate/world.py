"""Everything fixed before the first cell: genes, programs, sites, and donors drawn one by one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq

from trilineage.core.errors import ConfigError
from trilineage.core.registry import nearest_remedy
from trilineage.core.seeding import generator
from trilineage.data.simulate.disease import (
    DiseaseProgram,
    dense_effects,
    draw_composition_shifts,
    draw_disease_programs,
)
from trilineage.data.simulate.hematopoiesis import (
    TREE,
    draw_cell_programs,
    lineage_positions,
    parent_positions,
)
from trilineage.data.simulate.listed import ListedPatient, read_listed
from trilineage.data.simulate.settings import SimulationSettings


class AskedDonor(NamedTuple):
    """A donor who is to be simulated."""

    name: str
    """Donor id, unique in the world; it does not tell the class."""
    class_code: int
    """Position of the class in `SimulationSettings.classes`."""
    stream: tuple[int, int] | tuple[str]
    """What names the donor's streams of random numbers: class and number within it, or the name in a list."""
    site: int | None = None
    """Position of the site; None: drawn."""
    part: str = ""
    """Part of a split, as a list has it."""


class World(NamedTuple):
    """What all donors share."""

    log_abundance: Float[np.ndarray, " gene"]
    """Log share of each gene in the counts of a healthy root cell, up to a constant."""
    theta: Float[np.ndarray, " gene"]
    """Inverse dispersion of the negative binomial: variance = mean + mean squared / theta."""
    cell_programs: Float[np.ndarray, "node gene"]
    """Log fold change of each cell type against the root."""
    disease_programs: tuple[DiseaseProgram, ...]
    """One program per disease."""
    disease_effects: Float[np.ndarray, "class lineage gene"]
    """The same, spread over all genes."""
    site_effects: Float[np.ndarray, "site gene"]
    """Log fold change of each site."""
    composition: Float[np.ndarray, "class node"]
    """Mean share of each cell type by class; rows sum to 1."""
    median_library: float
    """Median counts of a cell, chosen so that the share of non-zero counts is `density`."""


class Donor(NamedTuple):
    """One donor, before any cell."""

    name: str
    """Donor id, unique in the world; it does not tell the class."""
    class_code: int
    """Position of the class in `SimulationSettings.classes`."""
    stream: tuple[int, int] | tuple[str]
    """What names the donor's streams of random numbers."""
    site: int
    """Position of the site."""
    part: str
    """Part of a split, or nothing."""
    effect: Float[np.ndarray, " gene"]
    """The donor's own log fold changes."""
    composition: Float[np.ndarray, " node"]
    """The donor's cell-type shares, which sum to 1."""
    median_library: float
    """Median counts of the donor's cells."""


class Profiles(NamedTuple):
    """Expected shares of counts of one donor's cells; rows sum to 1."""

    own: Float32[np.ndarray, "node gene"]
    """A finished cell of the type."""
    origin: Float32[np.ndarray, "node gene"]
    """A cell that has just left the parent type for this one: the parent's programs, the effects of its own lineage."""


def draw_world(settings: SimulationSettings) -> World:
    """Draw genes, programs and sites from the seed.

    Programs hold genes of the more abundant half only: counts of the others say next to nothing.

    Raises
    ------
    ConfigError
        If the wanted density cannot be reached with a library below ten million counts.
    """
    random = generator(settings.seed, "simulate", "genes")
    log_abundance = settings.abundance_spread * random.standard_normal(settings.n_genes)
    theta = np.exp(0.5 * random.standard_normal(settings.n_genes)) / settings.dispersion
    candidates = log_abundance > np.median(log_abundance)
    programs = draw_disease_programs(settings, candidates)
    sites = generator(settings.seed, "simulate", "sites")
    shares = np.log([node.share for node in TREE]) + draw_composition_shifts(settings)
    cell_programs = draw_cell_programs(settings, candidates)
    profiles = _shares(log_abundance + cell_programs)
    return World(
        log_abundance=log_abundance,
        theta=theta,
        cell_programs=cell_programs,
        disease_programs=programs,
        disease_effects=dense_effects(programs, len(settings.classes), settings.n_genes),
        site_effects=settings.site_effect * sites.standard_normal((settings.n_sites, settings.n_genes)),
        composition=_shares(shares),
        median_library=_library_for_density(profiles, _shares(shares[0]), theta, settings),
    )


def draw_donor(world: World, settings: SimulationSettings, asked: AskedDonor) -> Donor:
    """Draw one donor from streams of its own, whatever other donors are drawn.

    The site is drawn independently of the class. Dealing the sites out evenly inside each class would make training and
    test donors of a class avoid each other's sites, and a model without any signal score below chance.
    """
    random = generator(settings.seed, "simulate", "donor", *asked.stream)
    effect = settings.donor_effect * random.standard_normal(settings.n_genes)
    composition = random.dirichlet(settings.composition_concentration * world.composition[asked.class_code])
    factor = np.exp(settings.donor_library_spread * random.standard_normal())
    drawn = int(random.integers(settings.n_sites))
    return Donor(
        name=asked.name,
        class_code=asked.class_code,
        stream=asked.stream,
        site=drawn if asked.site is None else asked.site,
        part=asked.part,
        effect=effect,
        composition=composition,
        median_library=float(world.median_library * factor),
    )


def asked_donors(
    settings: SimulationSettings, patients: Iterable[ListedPatient] | None = None
) -> list[AskedDonor]:
    """List the donors to simulate: these patients, those that the settings name, or so many of each class in turn.

    Raises
    ------
    ConfigError
        If the list cannot be read, or names a class or a site that there is not.
    """
    if patients is None and settings.patients is not None:
        patients = read_listed(settings.patients)
    if patients is not None:
        return [_listed_donor(patient, settings) for patient in patients]
    n_classes = len(settings.classes)
    numbers = range(settings.first_donor, settings.first_donor + settings.n_donors_per_class)
    return [
        AskedDonor(f"D{number * n_classes + code + 1:04d}", code, (code, number))
        for number in numbers
        for code in range(n_classes)
    ]


def _listed_donor(patient: ListedPatient, settings: SimulationSettings) -> AskedDonor:
    if patient.diagnosis not in settings.classes:
        raise ConfigError(
            f"{patient.name} has a diagnosis that is no class of the simulation",
            seen=patient.diagnosis,
            allowed=", ".join(settings.classes),
            remedy=nearest_remedy(patient.diagnosis, settings.classes),
        )
    if patient.site is not None and patient.site >= settings.n_sites:
        raise ConfigError(
            f"the site of {patient.name} does not exist",
            seen=f"site-{patient.site + 1}",
            allowed=f"site-1 to site-{settings.n_sites}",
            remedy="set n_sites",
        )
    code = settings.classes.index(patient.diagnosis)
    return AskedDonor(patient.name, code, (patient.name,), patient.site, patient.part)


def donor_profiles(world: World, donor: Donor) -> Profiles:
    """Return the expected shares of counts of each cell type of a donor."""
    lineage = lineage_positions()
    common = world.log_abundance + world.site_effects[donor.site] + donor.effect
    disease = world.disease_effects[donor.class_code][lineage]
    own = _shares(common + disease + world.cell_programs)
    origin = _shares(common + disease + world.cell_programs[parent_positions()])
    return Profiles(own.astype(np.float32), origin.astype(np.float32))


def _shares(log_rates: Float[np.ndarray, "*row column"]) -> Float[np.ndarray, "*row column"]:
    rates = np.exp(log_rates - log_rates.max(axis=-1, keepdims=True))
    return rates / rates.sum(axis=-1, keepdims=True)


def _library_for_density(
    profiles: Float[np.ndarray, "node gene"],
    composition: Float[np.ndarray, " node"],
    theta: Float[np.ndarray, " gene"],
    settings: SimulationSettings,
) -> float:
    """Solve E[share of non-zeros] = density for the median library size of healthy cells.

    NB: P(0) = (1 + mean/theta)^-theta. The expectation runs over cell types and, by Gauss-Hermite quadrature, over the
    log-normal library sizes.
    """
    spread = np.hypot(settings.library_spread, settings.donor_library_spread)
    nodes, weights = hermegauss(3)

    def excess(log_library: float) -> float:
        found = 0.0
        for factor, weight in zip(np.exp(spread * nodes), weights / weights.sum(), strict=True):
            zeros = np.exp(-theta * np.log1p(np.exp(log_library) * factor * profiles / theta))
            found += weight * float(composition @ (1 - zeros.mean(axis=1)))
        return found - settings.density

    low, high = 0.0, float(np.log(1e7))
    if excess(low) > 0 or excess(high) < 0:
        raise ConfigError(
            "the density cannot be reached",
            seen=settings.density,
            allowed="what a library of 1 to 10,000,000 counts gives",
            remedy="choose another density, more genes, or a smaller abundance_spread",
        )
    return float(np.exp(brentq(excess, low, high, xtol=1e-3)))
