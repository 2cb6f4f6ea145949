"""Colours keep their order for every eye, contours enclose what they say, and pages hold every map."""

import io

import numpy as np
import pytest
from PIL import Image

from trilineage.core.errors import ConfigError
from trilineage.explain.overlays import (
    OverlayStyle,
    captioned,
    contact_sheet,
    heat_colours,
    overlay,
    png_bytes,
    signed_colours,
    top_area,
)
from trilineage.explain.saliency.maps import SaliencyMaps
from trilineage.explain.saliency.targets import NodeTarget, Targets

# Machado, Oliveira & Fernandes 2009, severity 1: what linear RGB looks like without one kind of cone.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lightness(colours: np.ndarray, eye: str) -> np.ndarray:
    """CIE L* of sRGB colours as an eye sees them."""
    coded = colours / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ BLINDNESS[eye].T, 0, 1)
    luminance = seen @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(luminance) - 16


@pytest.mark.parametrize("eye", BLINDNESS)
def test_heat_rises_evenly_in_lightness_for_every_eye(eye):
    steps = np.diff(lightness(heat_colours(np.linspace(0, 1, 21)), eye))
    assert (steps > 1.0).all()
    assert steps.max() < 4 * steps.min()


@pytest.mark.parametrize("eye", BLINDNESS)
def test_evidence_for_and_against_both_darken_from_white(eye):
    for sign in (1, -1):
        steps = np.diff(lightness(signed_colours(sign * np.linspace(0, 1, 11)), eye))
        assert (steps < 0).all()


def test_an_image_is_seen_as_it_is_where_the_map_is_zero():
    image = np.full((8, 8, 3), 77, dtype=np.uint8)
    values = np.zeros((8, 8))
    values[3, 4] = 2.0
    found = overlay(image, values, OverlayStyle(opacity=1.0, top_share=0))
    assert (found != image).any(axis=2).sum() == 1
    np.testing.assert_array_equal(found[3, 4], heat_colours(np.array(1.0)))


def test_the_contour_runs_round_the_top_of_the_map():
    image = np.full((10, 10, 3), 128, dtype=np.uint8)
    values = np.zeros((10, 10))
    values[3:7, 3:7] = 1.0
    found = overlay(image, values, OverlayStyle(opacity=0.0, top_share=0.16))
    is_white, is_black = (found == 255).all(axis=2), (found == 0).all(axis=2)
    assert is_white.sum() == 12  # the rim of 4 x 4
    assert is_black.sum() == 16
    assert is_white[3, 3:7].all()
    assert is_black[2, 3:7].all()


def test_the_top_area_has_the_size_asked_for_and_no_zeros():
    values = np.arange(100.0).reshape(10, 10)
    assert top_area(values, 0.1).sum() == 10
    assert top_area(values - 97, 0.1).sum() == 2
    assert top_area(values, 1.0).sum() == 99


def test_signed_maps_show_blue_against_and_empty_ones_a_grey_image():
    image = np.full((2, 2, 3), (200, 100, 0), dtype=np.uint8)
    values = np.array([[1.0, -1.0], [0.0, 0.0]])
    found = overlay(image, values, OverlayStyle(opacity=1.0, top_share=0)).astype(int)
    assert found[0, 0, 0] > found[0, 0, 2]
    assert found[0, 1, 2] > found[0, 1, 0]
    assert overlay(image, np.full((2, 2), np.nan)).tolist() == [[[100] * 3] * 2] * 2


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ConfigError, match="different sizes"):
        overlay(np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((2, 2)))


def test_a_page_has_a_row_per_image_and_a_picture_per_target():
    targets = Targets.from_rows([[NodeTarget(0, (1,)), NodeTarget(1)], [NodeTarget(1)]], ("ALL", "AML"))
    values = np.random.default_rng(0).random((2, 2, 3, 3)).astype(np.float32)
    maps = SaliencyMaps(values, targets, ("a", "b"), "gradcam", (12, 18))
    images = np.full((2, 12, 18, 3), 90, dtype=np.uint8)
    style = OverlayStyle(least_side=24)
    page = contact_sheet(images, maps, style=style)
    one = captioned(images[0], "a", style)
    assert page.shape == (2 * one.shape[0], 3 * one.shape[1], 3)
    assert (page[one.shape[0] :, 2 * one.shape[1] :] == 255).all()  # image b has no second target
    np.testing.assert_array_equal(page[: one.shape[0], : one.shape[1]], one)


def test_a_long_caption_is_cut_to_its_picture():
    picture = np.full((20, 20, 3), 255, dtype=np.uint8)
    found = captioned(picture, "granulocyte " * 20, OverlayStyle(least_side=20))
    assert (found[:, -6:] == 255).all()
    assert (found[:20] < 255).any()


def test_a_picture_survives_png_and_gives_the_same_bytes():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png_bytes(picture)))), picture)
    assert png_bytes(picture) == png_bytes(picture.copy())
