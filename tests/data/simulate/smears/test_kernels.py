"""The painter and the camera agree with areas and formulas that can be worked out by hand."""

import numpy as np
import pytest

from trilineage.data.simulate.smears.camera_kernels import blur_and_bin, transmit, vote
from trilineage.data.simulate.smears.nuclei import PLANS, draw_nucleus
from trilineage.data.simulate.smears.paint_kernels import (
    noise,
    nucleus_area,
    paint_red_cells,
    paint_white_cell,
    place_discs,
)

NOWHERE = np.empty((0, 6))
NO_DISCS = np.empty((0, 3))


def canvas(side=200):
    return (
        np.zeros((4, side, side), np.float32),
        np.zeros((side, side), np.uint8),
        np.zeros((side, side), np.int32),
    )


def round_cell(radius, nucleus_radius):
    bones = np.array([[0.0, 0.0, nucleus_radius, 0.0, 0.0, nucleus_radius]])
    look = np.array([0.1, 0.2, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.1, 0.1])
    return np.full(96, radius), (bones, NOWHERE, 0.3, 0.0, 1.0, 5), look


def test_a_capsule_has_the_area_of_its_rectangle_and_its_half_discs():
    bones = np.array([[-2.0, 0.0, 1.0, 2.0, 0.0, 1.0]])
    area = nucleus_area((bones, NOWHERE, 0.3, 0.0, 1.0, 1), 4.0, 0.02)
    assert area == pytest.approx(8 + np.pi, rel=0.005)


@pytest.mark.parametrize("plan", PLANS)
def test_a_nucleus_of_any_plan_has_the_area_asked_for(plan):
    nucleus = draw_nucleus(plan, 50.0, 3, 0.3, np.random.default_rng(3))
    assert nucleus_area(tuple(nucleus), nucleus.reach() * 1.1, 0.05) == pytest.approx(50.0, rel=0.06)


def test_a_white_cell_covers_the_discs_it_is_made_of():
    layers, marks_as = canvas(), np.array([3, 4, 1])
    cell, nucleus = paint_white_cell(
        layers, np.array([10.0, 10.0]), round_cell(6.0, 4.0), NO_DISCS, 0.1, marks_as
    )
    assert cell == pytest.approx(np.pi * 36, rel=0.01)
    assert nucleus == pytest.approx(np.pi * 16, rel=0.01)
    assert (layers[1] == 4).sum() * 0.01 == pytest.approx(nucleus)
    assert layers[0][2][100, 100] == pytest.approx(1.0, abs=1e-6)
    assert layers[0][0][100, 148] == pytest.approx(0.1, abs=1e-6)


def test_a_red_cell_dents_a_cell_that_hugs_it():
    disc, marks_as = np.array([[16.0, 10.0, 3.0]]), np.array([3, 4, 1])
    layers = canvas()
    paint_white_cell(layers, np.array([10.0, 10.0]), round_cell(6.0, 2.0), disc, 0.1, marks_as)
    assert layers[1][100, 135] == 0
    assert layers[1][100, 65] == 3


def test_where_red_cells_overlap_their_haemoglobin_adds_up():
    shape = [3.5, 1.0, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0, 1.0, 0.0, 7.0]
    layers = canvas()
    paint_red_cells(layers, np.array([[8.0, 10.0, *shape], [12.5, 10.0, *shape]]), 0.1, 1, 1)
    alone, both = layers[0][3, 100, 70], layers[0][3, 100, 102]
    assert both > 1.4 * alone > 0
    assert set(np.unique(layers[2])) == {0, 1, 2}


def test_noise_is_smooth_and_depends_on_its_key():
    places = np.linspace(-5, 5, 2001)
    values = np.array([noise(place, 0.3, 9) for place in places])
    assert np.abs(np.diff(values)).max() < 0.03
    assert 0.1 < values.std() < 1.0
    assert values[3] != noise(places[3], 0.3, 10)


def test_light_follows_beer_and_lambert():
    stains = np.zeros((4, 1, 2), np.float32)
    stains[:, 0, 1] = [0.5, 0.0, 2.0, 0.0]
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
    light = transmit(stains, vectors)
    np.testing.assert_allclose(light[0, 0], 1.0)
    np.testing.assert_allclose(light[0, 1], np.exp(-(0.5 * vectors[0] + 2 * vectors[2])), rtol=1e-5)


def test_binning_averages_squares_and_blur_keeps_the_amount_of_light():
    light = np.random.default_rng(0).random((12, 12, 3)).astype(np.float32)
    sharp = blur_and_bin(light, np.ones(1, np.float32), 3)
    np.testing.assert_allclose(sharp, light.reshape(4, 3, 4, 3, 3).mean(axis=(1, 3)), rtol=1e-5)
    blurred = blur_and_bin(light, np.array([0.4, 0.2, 0.1], np.float32), 3)
    assert blurred.mean() == pytest.approx(light.mean(), rel=1e-5)
    assert blurred.std() < sharp.std()


def test_the_majority_decides_what_a_pixel_shows():
    codes = np.array([[1, 1, 0, 4], [1, 0, 4, 4]], np.uint8)
    owners = np.array([[7, 7, 0, 9], [7, 0, 9, 9]], np.int32)
    small_codes, small_owners = vote(codes, owners, 2)
    assert small_codes.tolist() == [[1, 4]]
    assert small_owners.tolist() == [[7, 9]]


def test_placed_discs_keep_their_distance():
    random = np.random.default_rng(1)
    discs = np.column_stack([random.uniform(0, 40, (200, 2)), np.full(200, 3.0)])
    fixed = np.array([[20.0, 20.0, 6.0]])
    chosen = discs[place_discs(discs, fixed, 30, np.zeros(200, dtype=bool), 0.2)]
    apart = np.hypot(*(chosen[:, None, :2] - chosen[None, :, :2]).transpose(2, 0, 1)) + 99 * np.eye(
        len(chosen)
    )
    assert 5 < len(chosen) <= 30
    assert apart.min() > 6.2
    assert np.hypot(*(chosen[:, :2] - 20).T).min() > 9.2
