"""Scores of maps against masks: pointing game, energy inside, shares of regions, overlap at the best threshold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from trilineage.core.errors import ConfigError

TOLERANCE = 15
"""Pixels by which the pointing game forgives a miss (Zhang et al. 2018, section 5.1)."""

BACKGROUND = "background"
"""What lies in no region."""


@dataclass(frozen=True)
class Localisation:
    """How well one map finds one region; NaN where the map, or the region, is empty."""

    pointing: float
    """1 if the highest point lies in the region or within the tolerance of it, else 0; ties count in part."""
    pointing_by_chance: float
    """Share of the image that would have been a hit."""
    energy: float
    """Share of the positive evidence that lies in the region."""
    energy_by_chance: float
    """Share of the image that is the region: the energy of an even map."""
    iou: float
    """Largest intersection over union of the region with the pixels above a threshold, over all thresholds."""
    threshold: float
    """Least value of the pixels at that threshold, as a share of the highest."""

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


def localisation(
    values: Float[np.ndarray, "height width"],
    region: Bool[np.ndarray, "rows columns"],
    *,
    tolerance: float = TOLERANCE,
) -> Localisation:
    """Score one map against one region.

    Pointing game: Zhang et al. 2018 (Excitation Backprop), section 5.1. Energy: Wang et al. 2020 (Score-CAM), section
    4.2. Both are given with what chance gets, for a cell that fills half of the image is found easily.

    Parameters
    ----------
    values
        The map on the pixels; what is negative counts as zero.
    region
        True inside, on the same pixels.
    tolerance
        Pixels by which the pointing game forgives a miss.
    """
    _refuse_other_size(values, region)
    positive = np.maximum(values, 0.0).astype(np.float64)
    total = positive.sum()
    if not (np.isfinite(total) and total > 0 and region.any()):
        return Localisation(*[float("nan")] * 6)
    hit = region if tolerance <= 0 else ndimage.distance_transform_edt(~region) <= tolerance
    iou, threshold = _best_overlap(positive, region)
    return Localisation(
        pointing=float(hit[positive == positive.max()].mean()),
        pointing_by_chance=float(hit.mean()),
        energy=float(positive[region].sum() / total),
        energy_by_chance=float(region.mean()),
        iou=iou,
        threshold=threshold,
    )


def region_shares(
    values: Float[np.ndarray, "height width"], regions: Mapping[str, Bool[np.ndarray, "rows columns"]]
) -> dict[str, float]:
    """Share out the positive evidence of a map among regions; with the background the shares add up to 1.

    Each pixel belongs to the first region that holds it, so `{"nucleus": ..., "cytoplasm": whole cell}` gives the
    nucleus, the rest of the cell and the background. Evidence in the background betrays a shortcut: a stain, a border,
    a neighbour. NaN for an empty map.
    """
    for region in regions.values():
        _refuse_other_size(values, region)
    positive = np.maximum(values, 0.0).astype(np.float64)
    total = positive.sum()
    return {
        name: float(positive[region].sum() / total) if total > 0 else float("nan")
        for name, region in apart(regions, values.shape).items()
    }


def apart(
    regions: Mapping[str, Bool[np.ndarray, "height width"]], image_size: tuple[int, ...]
) -> dict[str, Bool[np.ndarray, "height width"]]:
    """Give each pixel to the first region that holds it, and to the background if none does."""
    left = np.ones(image_size, dtype=bool)
    parts = {}
    for name, region in regions.items():
        parts[name] = region & left
        left &= ~region
    return {**parts, BACKGROUND: left}


def area_shares(
    regions: Mapping[str, Bool[np.ndarray, "height width"]], image_size: tuple[int, int]
) -> dict[str, float]:
    """Return the shares an even map would have: the areas."""
    return region_shares(np.ones(image_size), regions)


def _best_overlap(
    positive: Float[np.ndarray, "height width"], region: Bool[np.ndarray, "height width"]
) -> tuple[float, float]:
    """Return the best intersection over union over every threshold that occurs, and where it is."""
    order = np.argsort(-positive, axis=None, kind="stable")
    ranked = positive.ravel()[order]
    n_inside = np.cumsum(region.ravel()[order])
    n_chosen = np.arange(1, len(order) + 1)
    overlap = n_inside / (n_chosen + region.sum() - n_inside)
    is_last_of_its_value = np.append(ranked[1:] < ranked[:-1], True)
    overlap[~is_last_of_its_value] = -1.0  # a threshold takes all pixels of a value or none
    overlap[ranked == 0] = -1.0
    best = int(np.argmax(overlap))
    return float(overlap[best]), float(ranked[best] / ranked[0])


def _refuse_other_size(
    values: Float[np.ndarray, "height width"],
    region: Bool[np.ndarray, "rows columns"],
) -> None:
    """Raise unless map and region lie on the same pixels."""
    if values.shape != region.shape:
        raise ConfigError(
            "a map and a region lie on different pixels",
            seen=f"{values.shape} and {region.shape}",
            allowed="the size of the image the classifier saw",
            remedy="bring the map there with `at_image_size`, and the mask with `fit_mask`",
        )
