"""The maps of many images are scored one by one."""

import numpy as np

from trilineage.evaluation.localisation import localisation
from trilineage.explain.saliency.localisation import score_maps
from trilineage.explain.saliency.maps import SaliencyMaps
from trilineage.explain.saliency.targets import NodeTarget, Targets


def square(side: int = 10) -> np.ndarray:
    region = np.zeros((side, side), dtype=bool)
    region[2:5, 2:5] = True
    return region


def test_maps_of_many_images_are_scored_one_by_one():
    targets = Targets.from_rows(
        [[NodeTarget(0), NodeTarget(1)], [NodeTarget(1)], [NodeTarget(0)]], ("a", "b")
    )
    values = np.random.default_rng(0).random((3, 2, 5, 5)).astype(np.float32)
    values[~targets.exists] = np.nan
    maps = SaliencyMaps(values, targets, ("x", "y", "z"), "gradcam", (10, 10))
    found = score_maps(maps, [square(), square(), None], tolerance=0)
    expected = localisation(maps.at_image_size(0)[1], square(), tolerance=0).to_dict()
    assert {name: scores[0, 1] for name, scores in found.items()} == expected
    assert np.isnan(found["energy"]).tolist() == [[False, False], [False, True], [True, True]]
