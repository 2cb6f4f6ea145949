"""Exact and near duplicates with what makes them dangerous: two labels, or both sides of a split."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Shaped

from trilineage.data.images.listing import Listing
from trilineage.data.inspection.findings import Duplicates, Finding, NearDuplicate
from trilineage.data.inspection.looking import Looks
from trilineage.data.inspection.perceptual import find_alike
from trilineage.data.inspection.settings import InspectionSettings

MAX_EXAMPLES = 5
SMALL_SIDE = 48
"""Pixels below which an image is small."""


def exact_duplicates(listing: Listing, looks: Looks) -> tuple[Duplicates, ...]:
    """Return the groups of images with the same SHA-256, in the order of the source."""
    by_content: dict[str, list[int]] = {}
    for position in np.flatnonzero(looks.is_readable).tolist():
        by_content.setdefault(str(looks.content[position]), []).append(position)
    return tuple(
        Duplicates(**_told(listing, positions)) for positions in by_content.values() if len(positions) > 1
    )


def near_duplicates(
    listing: Listing, looks: Looks, settings: InspectionSettings
) -> tuple[NearDuplicate, ...]:
    """Return the pairs of images that look alike; of exact duplicates one stands for all."""
    readable = np.flatnonzero(looks.is_readable)
    _, firsts = np.unique(looks.content[readable], return_index=True)
    chosen = readable[np.sort(firsts)]
    alike = find_alike(
        looks.greys[chosen],
        distance=settings.near_distance,
        correlation=min(settings.near_correlation, settings.small_correlation),
        is_turned_searched=settings.is_turned_searched,
    )
    is_small = looks.sizes[chosen].min(axis=1, initial=SMALL_SIDE) < SMALL_SIDE
    needed = np.where(
        is_small[alike.first] | is_small[alike.second], settings.small_correlation, settings.near_correlation
    )
    return tuple(
        NearDuplicate(**_told(listing, [int(i), int(j)]), correlation=float(value), is_turned=bool(is_turned))
        for i, j, value, is_turned, least in zip(
            chosen[alike.first], chosen[alike.second], alike.correlation, alike.is_turned, needed, strict=True
        )
        if value >= least
    )


def duplicate_findings(exact: tuple[Duplicates, ...], near: tuple[NearDuplicate, ...]) -> Iterator[Finding]:
    """Say what is wrong with duplicates: that they are, that labels contradict each other, that parts share them."""
    n_extra = sum(len(group.names) - 1 for group in exact)
    if exact:
        yield _finding(
            "duplicate", f"{_counted(n_extra, 'exact copy', 'exact copies')} of other images", exact
        )
    if near:
        yield _finding(
            "near_duplicate", f"{_counted(len(near), 'pair', 'pairs')} of images that show the same", near
        )
    for groups, one, many in ((exact, "image", "images"), (near, "look-alike pair", "look-alike pairs")):
        conflicting = [group for group in groups if group.is_conflicting]
        if conflicting:
            text = f"{_counted(len(conflicting), one, many)} under different labels"
            yield _finding("conflicting_labels", text, conflicting)
        across = [group for group in groups if group.is_across_parts]
        if across:
            yield _finding("leak", f"{_counted(len(across), one, many)} in two parts of the split", across)


def _told(listing: Listing, positions: list[int]) -> dict[str, tuple[str, ...]]:
    """Return what the listing says of some images."""

    def values(column: Shaped[np.ndarray, " image"] | None) -> tuple[str, ...]:
        return tuple("" if column is None else str(column[position]) for position in positions)

    return {
        "names": values(listing.names),
        "labels": values(listing.labels),
        "parts": values(listing.parts),
        "patients": values(listing.patients),
    }


def _finding(kind: str, text: str, groups: tuple[Duplicates, ...] | list[Duplicates]) -> Finding:
    return Finding(kind, "problem", text, tuple(_shown(group) for group in groups[:MAX_EXAMPLES]))


def _shown(group: Duplicates) -> str:
    is_telling = group.is_conflicting or group.is_across_parts
    words = [
        f"{name} ({', '.join(filter(None, (label, part)))})" if is_telling else name
        for name, label, part in zip(group.names, group.labels, group.parts, strict=True)
    ]
    return (" ~ " if isinstance(group, NearDuplicate) else " = ").join(words)


def _counted(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
