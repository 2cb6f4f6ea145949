"""Look through a set of images and say what to mend, or to know, before anything is learned from it."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Shaped

from trilineage.data.images.listing import Listing, filtered
from trilineage.data.images.open import list_images
from trilineage.data.inspection.acquisitions import (
    acquisition_findings,
    describe_groups,
    find_groups,
    group_name,
    shown_size,
)
from trilineage.data.inspection.duplicates import duplicate_findings, exact_duplicates, near_duplicates
from trilineage.data.inspection.findings import Finding, Group, Inspection
from trilineage.data.inspection.leaks import class_shares, name_findings, patient_findings, site_findings
from trilineage.data.inspection.looking import Looks, look_through
from trilineage.data.inspection.settings import InspectionSettings

_WEIGHTS = ("problem", "warning", "note")
_MAX_EXAMPLES = 5


def inspect_images(settings: InspectionSettings) -> Inspection:
    """Look through images of any layout that `open_images` reads.

    Raises
    ------
    FormatError
        If the source is absent, empty or damaged.
    ColumnError
        If a column asked for is absent or unusable.
    ConfigError
        If no path is given.
    """
    listing = filtered(list_images(settings.data), settings.data)
    looks = look_through(listing, settings.data)
    exact = exact_duplicates(listing, looks)
    near = near_duplicates(listing, looks, settings)
    codes = find_groups(looks, settings)
    groups = describe_groups(codes, listing, looks)
    found_sites = _found_sites(codes)
    findings = [
        *_unreadable_findings(listing, looks),
        *duplicate_findings(exact, near),
        *patient_findings(listing),
        *acquisition_findings(groups),
        *_site_findings(listing, found_sites, groups, settings),
        *name_findings(listing),
    ]
    return Inspection(
        path=str(settings.data.path),
        n_images=len(listing),
        labels=_counted(listing.labels),
        n_patients=None if listing.patients is None else len(set(listing.patients.tolist()) - {""}),
        sites=None if listing.sites is None else _counted(listing.sites),
        parts=None if listing.parts is None else _counted(listing.parts),
        sizes=dict(
            Counter(shown_size((w, h)) for w, h in looks.sizes[looks.is_readable].tolist()).most_common()
        ),
        unreadable=_unreadable(listing, looks),
        duplicates=exact,
        near_duplicates=near,
        groups=groups,
        site_shares=class_shares(found_sites if listing.sites is None else listing.sites, listing.labels),
        findings=tuple(sorted(findings, key=lambda finding: _WEIGHTS.index(finding.weight))),
        notes=listing.notes,
        group_of=dict(zip(listing.names.tolist(), found_sites.tolist(), strict=True))
        if len(groups) > 1
        else {},
    )


def _site_findings(
    listing: Listing,
    found_sites: Shaped[np.ndarray, " image"],
    groups: tuple[Group, ...],
    settings: InspectionSettings,
) -> Iterator[Finding]:
    """Look for confounding with the sites of the table, or else with the groups that were found."""
    if listing.sites is not None:
        yield from site_findings(listing.sites, listing.labels, what="site", threshold=settings.confounding)
    elif len(groups) > 1:
        told = np.where(found_sites == "odd", "", found_sites)
        yield from site_findings(told, listing.labels, what="acquisition", threshold=settings.confounding)


def _found_sites(codes: Int[np.ndarray, " image"]) -> Shaped[np.ndarray, " image"]:
    return np.array([group_name(code) for code in codes.tolist()], dtype=str)


def _unreadable(listing: Listing, looks: Looks) -> tuple[tuple[str, str], ...]:
    positions = np.flatnonzero(~looks.is_readable).tolist()
    return tuple((str(listing.names[position]), str(looks.reasons[position])) for position in positions)


def _unreadable_findings(listing: Listing, looks: Looks) -> Iterator[Finding]:
    unreadable = _unreadable(listing, looks)
    if unreadable:
        examples = tuple(f"{name}: {reason}" for name, reason in unreadable[:_MAX_EXAMPLES])
        yield Finding("unreadable", "problem", f"{len(unreadable):,} images cannot be read", examples)


def _counted(values: Shaped[np.ndarray, " image"]) -> dict[str, int]:
    return dict(sorted(Counter(values.tolist()).items()))
