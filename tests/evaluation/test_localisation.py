"""Scores against masks agree with hand-computed cases and with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trilineage.core.errors import ConfigError
from trilineage.evaluation.localisation import apart, area_shares, localisation, region_shares


def square(side: int = 10) -> np.ndarray:
    region = np.zeros((side, side), dtype=bool)
    region[2:5, 2:5] = True
    return region


def spot(*places: tuple[int, int], side: int = 10) -> np.ndarray:
    values = np.zeros((side, side))
    for place in places:
        values[place] = 1.0
    return values


@pytest.mark.parametrize(
    ("place", "tolerance", "hit"), [((3, 3), 0, 1.0), ((6, 3), 0, 0.0), ((6, 3), 2, 1.0), ((6, 6), 2, 0.0)]
)
def test_the_pointing_game_forgives_a_miss_within_its_tolerance(place, tolerance, hit):
    assert localisation(spot(place), square(), tolerance=tolerance).pointing == hit


def test_ties_of_the_highest_point_count_in_part():
    assert localisation(spot((3, 3), (9, 9)), square(), tolerance=0).pointing == 0.5


def test_chance_is_the_share_of_the_image():
    found = localisation(spot((0, 0)), square(), tolerance=1)
    assert found.energy_by_chance == pytest.approx(9 / 100)
    assert found.pointing_by_chance == pytest.approx((9 + 12) / 100)  # and the neighbours on the four sides


def test_energy_and_overlap_by_hand():
    values = np.where(square(), 2.0, 0.0)
    values[0, 0], values[2, 2], values[9, 9] = 4.0, 1.0, -5.0
    found = localisation(values, square(), tolerance=0)
    assert found.energy == pytest.approx((8 * 2 + 1) / (8 * 2 + 1 + 4))
    # At threshold 1: ten pixels above, nine of them inside.
    assert found.iou == pytest.approx(9 / 10)
    assert found.threshold == pytest.approx(1 / 4)


@given(
    hnp.arrays(float, (6, 6), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])), hnp.arrays(bool, (6, 6))
)
def test_overlap_is_the_best_of_all_thresholds(values, region):
    thresholds = np.unique(values[values > 0])
    if len(thresholds) == 0 or not region.any():
        return
    best = max(((values >= t) & region).sum() / ((values >= t) | region).sum() for t in thresholds)
    assert localisation(values, region).iou == pytest.approx(best)


@pytest.mark.parametrize("values", [np.zeros((10, 10)), np.full((10, 10), -1.0), np.full((10, 10), np.nan)])
def test_an_empty_map_has_no_scores(values):
    assert all(np.isnan(value) for value in localisation(values, square()).to_dict().values())
    assert all(np.isnan(value) for value in region_shares(values, {"cell": square()}).values())


def test_an_empty_region_has_no_scores():
    assert np.isnan(localisation(spot((1, 1)), np.zeros((10, 10), dtype=bool)).energy)


def test_shares_of_nucleus_cytoplasm_and_background_add_up():
    nucleus = np.zeros((10, 10), dtype=bool)
    nucleus[3, 3] = True
    values = spot((3, 3), (2, 2), (9, 9), (8, 9))
    found = region_shares(values, {"nucleus": nucleus, "cytoplasm": square()})
    assert found == {"nucleus": 0.25, "cytoplasm": 0.25, "background": 0.5}
    even = area_shares({"nucleus": nucleus, "cytoplasm": square()}, (10, 10))
    assert even == pytest.approx({"nucleus": 0.01, "cytoplasm": 0.08, "background": 0.91})


def test_a_map_and_a_region_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match=r"\(4, 4\) and \(10, 10\)"):
        localisation(np.ones((4, 4)), square())


def test_a_pixel_belongs_to_the_first_region_that_holds_it():
    nucleus = np.zeros((10, 10), dtype=bool)
    nucleus[3, 3] = True
    parts = apart({"nucleus": nucleus, "cytoplasm": square()}, (10, 10))
    assert not parts["cytoplasm"][3, 3]
    assert sum(part.astype(int) for part in parts.values()).min() == 1
    assert {name: int(part.sum()) for name, part in parts.items()} == {
        "nucleus": 1,
        "cytoplasm": 8,
        "background": 91,
    }
