"""Who belongs to the cohort: diagnosis, subtype, site, part, and what kinds of data each patient has."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from trilineage.core.seeding import generator
from trilineage.data.simulate.cohort.settings import NEW, PARTS, CohortSettings

SUBTYPES: Mapping[str, tuple[str, ...]] = {
    "AML": ("NPM1", "RUNX1::RUNX1T1"),
    "APML": ("PML::RARA",),
}
"""Genetic subtypes that smears of a diagnosis are drawn as, in turn."""


class CohortPatient(NamedTuple):
    """One patient of the cohort."""

    patient: str
    """Patient id; it does not tell the diagnosis."""
    diagnosis: str
    """Diagnosis that models are to find."""
    subtype: str
    """What the smears are drawn as: a genetic subtype, or the diagnosis."""
    site: str
    """Laboratory, `site-1` and so on."""
    part: str
    """train, valid, test, or new."""
    has_smears: bool
    """Whether there are smears."""
    has_expression: bool
    """Whether there is expression."""

    @property
    def site_position(self) -> int:
        """Position of the laboratory, from 0."""
        return int(self.site.removeprefix("site-")) - 1


def draw_cohort(settings: CohortSettings) -> tuple[CohortPatient, ...]:
    """Draw the patients, in the order of their names.

    Sites and missing kinds of data are dealt by lot and tell nothing of the diagnosis; new patients have both kinds.

    Examples
    --------
    >>> patients = draw_cohort(CohortSettings())
    >>> len(patients), sum(one.part == "test" for one in patients)
    (87, 28)
    """
    places = list(_places(settings))
    random = generator(settings.seed, "cohort", "patients")
    numbers = random.permutation(len(places)) + 1
    sites = random.integers(settings.n_sites, size=len(places)) + 1
    lacks = _missing_kinds([part for _, _, part in places], settings)
    drawn = (
        CohortPatient(
            f"C{number:04d}", *names[:2], f"site-{site}", names[2], lack != "smears", lack != "expression"
        )
        for names, number, site, lack in zip(places, numbers, sites, lacks, strict=True)
    )
    return tuple(sorted(drawn))


def _places(settings: CohortSettings) -> Iterator[tuple[str, str, str]]:
    """List diagnosis, subtype and part of every patient."""
    sizes = (settings.n_train, settings.n_valid, settings.n_test)
    for diagnosis in settings.diagnoses:
        kinds = SUBTYPES.get(diagnosis, (diagnosis,)) if settings.subtypes else (diagnosis,)
        for part, size in zip(PARTS, sizes, strict=True):
            yield from ((diagnosis, kinds[number % len(kinds)], part) for number in range(size))
    yield from ((diagnosis, diagnosis, NEW) for diagnosis in settings.new_diagnoses)


def _missing_kinds(parts: list[str], settings: CohortSettings) -> list[str]:
    """Draw what each patient lacks: nothing, smears or expression, so many in each part, both in turn."""
    lacks = [""] * len(parts)
    for part in PARTS:
        members = [place for place, name in enumerate(parts) if name == part]
        random = generator(settings.seed, "cohort", "missing", part)
        chosen = random.permutation(members)[: round(settings.one_kind * len(members))]
        for turn, place in enumerate(chosen):
            lacks[place] = ("smears", "expression")[turn % 2]
    return lacks
