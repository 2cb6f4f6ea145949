"""Scores of the maps of many images against their regions."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from jaxtyping import Bool, Float

from trilineage.evaluation.localisation import TOLERANCE, Localisation, localisation
from trilineage.explain.saliency.maps import SaliencyMaps


def score_maps(
    maps: SaliencyMaps,
    regions: Sequence[Bool[np.ndarray, "height width"] | None],
    *,
    tolerance: float = TOLERANCE,
) -> dict[str, Float[np.ndarray, "image target"]]:
    """Score every map of some images against the region of its image: one array per score, by its name.

    Parameters
    ----------
    maps
        Maps on their grid; they are brought to the pixels one image at a time.
    regions
        Region of each image at the size the classifier saw; None, or an empty one, gives NaN.
    tolerance
        Pixels by which the pointing game forgives a miss.
    """
    names = [field.name for field in fields(Localisation)]
    scores = {name: np.full(maps.targets.nodes.shape, np.nan) for name in names}
    for image, region in enumerate(regions):
        if region is None:
            continue
        for place, values in enumerate(maps.at_image_size(image)):
            found = localisation(values, region, tolerance=tolerance)
            for name, score in found.to_dict().items():
                scores[name][image, place] = score
    return scores
