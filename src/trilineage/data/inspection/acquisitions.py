"""Hidden acquisitions: groups of images that another camera, stain or site has made, by background colour and size."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int, Shaped
from sklearn.cluster import DBSCAN

from trilineage.data.images.listing import Listing
from trilineage.data.inspection.findings import Finding, Group
from trilineage.data.inspection.looking import Looks
from trilineage.data.inspection.settings import InspectionSettings

ODD = -1
"""Code of an image that belongs to no group."""
MAX_GROUPS = 20
"""More groups than letters of a report: then images differ one by one (crops), and sizes say nothing."""
_MAX_SIZES = 10
_CELL = 2.0
"""Grey levels that are taken for one colour while groups are sought."""
_LEAST = 10
"""Images that make a group, however few there are."""


def find_groups(looks: Looks, settings: InspectionSettings) -> Int[np.ndarray, " image"]:
    """Give each readable image the code of its acquisition: 0 for the largest, -1 for odd and unreadable ones.

    Groups are the clusters of background colours that a gap without any image separates; where all backgrounds are
    alike, exact image sizes decide, if there are few of them.
    """
    readable = np.flatnonzero(looks.is_readable)
    codes = np.full(len(looks.reasons), ODD, dtype=np.int64)
    least = max(_LEAST, int(settings.smallest_group * len(readable)))
    if len(readable) >= _LEAST:
        by_colour = colour_groups(looks.backgrounds[readable], settings.colour_gap, least)
        is_told_by_colour = by_colour.max(initial=ODD) > 0
        codes[readable] = by_colour if is_told_by_colour else size_groups(looks.sizes[readable], least)
    return codes


def colour_groups(
    backgrounds: Float32[np.ndarray, "image 3"], gap: float, least: int
) -> Int[np.ndarray, " image"]:
    """Cluster colours that lie within `gap` of each other (DBSCAN over distinct colours, weighted by their images)."""
    rounded = np.round(backgrounds / _CELL).astype(np.int64)
    colours, inverse, counts = np.unique(rounded, axis=0, return_inverse=True, return_counts=True)
    clusters = (
        DBSCAN(eps=gap / _CELL, min_samples=min(least, _LEAST)).fit(colours, sample_weight=counts).labels_
    )
    return _by_size(clusters[inverse.ravel()], least)


def size_groups(sizes: Int[np.ndarray, "image 2"], least: int) -> Int[np.ndarray, " image"]:
    """Group images by their exact size; all are one group where there are too many sizes to mean anything."""
    _, inverse = np.unique(sizes, axis=0, return_inverse=True)
    codes = _by_size(inverse.ravel(), least)
    is_telling = codes.max(initial=ODD) < MAX_GROUPS and np.mean(codes == ODD) < 0.05
    return codes if is_telling else np.zeros(len(sizes), dtype=np.int64)


def describe_groups(codes: Int[np.ndarray, " image"], listing: Listing, looks: Looks) -> tuple[Group, ...]:
    """Describe each group, the largest first and the odd images last."""
    present = [code for code in np.unique(codes[looks.is_readable]).tolist() if code != ODD]
    if (codes[looks.is_readable] == ODD).any():
        present.append(ODD)
    return tuple(
        _group(code, np.flatnonzero((codes == code) & looks.is_readable), listing, looks) for code in present
    )


def group_name(code: int) -> str:
    """Return the letter of a group.

    Examples
    --------
    >>> group_name(0), group_name(27), group_name(-1)
    ('A', 'B2', 'odd')
    """
    if code == ODD:
        return "odd"
    return chr(ord("A") + code % 26) + (str(code // 26 + 1) if code >= 26 else "")


def acquisition_findings(groups: tuple[Group, ...]) -> Iterator[Finding]:
    """Say that there are several acquisitions, unless the sites of the table tell them apart already."""
    told = [group for group in groups if group.name != "odd"]
    if len(told) > 1:
        is_known = all(_is_one_site(group) for group in told)
        words = [
            f"{group.name}: {group.n_images:,} images, background rgb{group.colour}, {', '.join(list(group.sizes)[:3])}"
            for group in told
        ]
        yield Finding(
            "acquisition",
            "note" if is_known else "warning",
            f"the images were taken in {len(told)} ways"
            + (", as the sites say" if is_known else "; nothing in the table says so"),
            tuple(words),
        )


def shown_size(size: tuple[int, int]) -> str:
    """Return a size as "width x height"."""
    return f"{size[0]} x {size[1]}"


def _group(code: int, positions: Int[np.ndarray, " member"], listing: Listing, looks: Looks) -> Group:
    colour = np.median(looks.backgrounds[positions], axis=0)
    sizes = Counter(shown_size((int(width), int(height))) for width, height in looks.sizes[positions])
    return Group(
        name=group_name(code),
        n_images=len(positions),
        colour=(int(colour[0]), int(colour[1]), int(colour[2])),
        sizes=dict(sizes.most_common(_MAX_SIZES)),
        labels=_counted(listing.labels[positions]),
        sites={} if listing.sites is None else _counted(listing.sites[positions]),
        examples=tuple(listing.names[positions[:3]].tolist()),
    )


def _counted(values: Shaped[np.ndarray, " member"]) -> dict[str, int]:
    return dict(sorted(Counter(values.tolist()).items()))


def _is_one_site(group: Group) -> bool:
    """Tell whether nearly all images of a group come from one site, so that the table tells it already."""
    return bool(group.sites) and max(group.sites.values()) >= 0.95 * group.n_images


def _by_size(clusters: Int[np.ndarray, " image"], least: int) -> Int[np.ndarray, " image"]:
    """Number clusters by their size, the largest 0; those with fewer than `least` images are odd."""
    names, counts = np.unique(clusters[clusters >= 0], return_counts=True)
    order = [name for count, name in sorted(zip(-counts, names, strict=True)) if -count >= least]
    codes = np.full(len(clusters), ODD, dtype=np.int64)
    for code, name in enumerate(order):
        codes[clusters == name] = code
    return codes
