"""Variation: decided by seed, epoch and content; geometry exact where it can be; stain moved in optical density."""

import numpy as np
import pytest
from PIL import Image

from trilineage.data.images.augment_kernels import smoothed
from trilineage.data.images.augmentation import draw_variations, uniform_draws, write_plain, write_varied
from trilineage.data.images.decoding import Unfitted, unfitted, whole
from trilineage.data.images.settings import AugmentationSettings
from trilineage.data.images.stains import MAY_GRUENWALD_GIEMSA

NONE = AugmentationSettings.none()


def numbers(n, start=0):
    return np.arange(start, start + n, dtype=np.uint64) * np.uint64(2**40 + 7)


def varied(pixels, settings, content=1, epoch=0, seed=0):
    """Return one image varied, as float (height width 3) in [0, 1]."""
    contents, epochs = np.array([content], np.uint64), np.array([epoch], np.uint64)
    variations = draw_variations(settings, contents, epochs, seed=seed, shape=pixels.shape[:2])
    out = np.empty((3, *pixels.shape[:2]), np.float32)
    write_varied(whole(pixels), variations, 0, out)
    return out.transpose(1, 2, 0)


def test_nothing_asked_for_changes_nothing(cell):
    pixels = cell(2)
    assert np.allclose(varied(pixels, NONE), pixels / 255, atol=1e-6)
    out = np.empty((3, 32, 32), np.float32)
    write_plain(pixels, out)
    assert np.allclose(out.transpose(1, 2, 0), pixels / 255, atol=1e-7)


def test_flips_and_right_angles_give_the_eight_ways_to_lay_a_square(cell):
    pixels = cell(3)
    pixels[3:9, 20:25] = 0
    turned = [np.rot90(side, k) for side in (pixels, pixels[:, ::-1]) for k in range(4)]
    settings = NONE.replace(flips=True, right_angles=True)
    seen = set()
    for epoch in range(60):
        image = np.rint(varied(pixels, settings, epoch=epoch) * 255).astype(np.uint8)
        matches = [k for k, one in enumerate(turned) if np.array_equal(one, image)]
        assert len(matches) == 1
        seen.update(matches)
    assert seen == set(range(8))


def test_an_oblong_image_is_turned_by_half_turns_only(cell):
    pixels = cell(3)[:20]
    settings = NONE.replace(right_angles=True)
    images = [np.rint(varied(pixels, settings, epoch=e) * 255).astype(np.uint8) for e in range(20)]
    half = sum(np.array_equal(image, pixels[::-1, ::-1]) for image in images)
    assert half + sum(np.array_equal(image, pixels) for image in images) == 20
    assert 0 < half < 20


def test_what_comes_in_from_outside_is_the_image_mirrored():
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 20, axis=0).repeat(3, axis=2)
    settings = NONE.replace(shift=0.5)
    moved = varied(ramp, settings, content=3)[10, :, 0] * 255
    assert 0 <= moved.min() <= moved.max() <= 190.001
    assert np.abs(np.diff(moved)).max() <= 10.001  # no edge of a foreign colour


def test_a_free_turn_agrees_with_scipy(cell):
    from scipy import ndimage

    pixels = cell(4, 64)
    settings = NONE.replace(rotation_degrees=30)
    variations = draw_variations(settings, numbers(1, 5), numbers(1), seed=0, shape=(64, 64))
    a0, a1, a2, a3, a4, a5 = variations.affine[0]
    expected = ndimage.affine_transform(
        pixels[..., 0].astype(float), [[a4, a3], [a1, a0]], [a5, a2], order=1, mode="reflect"
    )
    out = np.empty((3, 64, 64), np.float32)
    write_varied(whole(pixels), variations, 0, out)
    assert np.abs(out[0] * 255 - expected).max() < 2  # grey values: places are rounded to 1/256 pixel


def test_turns_and_scales_stay_within_their_bounds():
    settings = NONE.replace(rotation_degrees=20, scale=0.25)
    affine = draw_variations(settings, numbers(4000), numbers(4000), seed=1, shape=(32, 32)).affine
    zoom = np.hypot(affine[:, 0], affine[:, 3])
    angle = np.rad2deg(np.arctan2(affine[:, 3], affine[:, 0]))
    assert np.abs(angle).max() <= 20
    assert np.abs(angle).max() > 19.5
    assert zoom.min() == pytest.approx(1 / 1.25, rel=0.01)
    assert zoom.max() == pytest.approx(1.25, rel=0.01)


def test_stain_moves_the_amounts_by_the_formula(cell):
    pixels = cell(5)
    settings = NONE.replace(stain=0.3, stain_shift=0.05)
    factors, offsets = 2 * uniform_draws(numbers(1, 9), numbers(1), seed=2, n=14)[0, 6:12].reshape(2, 3) - 1
    basis = MAY_GRUENWALD_GIEMSA.basis
    density = -np.log((pixels.astype(float) + 1) / 256)
    amounts = density @ np.linalg.inv(basis)
    expected = (256 * np.exp(-(amounts * (1 + 0.3 * factors) + 0.05 * offsets) @ basis) - 1) / 255
    variations = draw_variations(settings, numbers(1, 9), numbers(1), seed=2, shape=(32, 32))
    out = np.empty((3, 32, 32), np.float32)
    write_varied(whole(pixels), variations, 0, out)
    assert np.abs(out.transpose(1, 2, 0) - expected.clip(0, 1)).max() < 1 / 255


def test_brightness_multiplies_and_is_cut_off_at_white(cell):
    pixels = cell(6)
    image = varied(pixels, NONE.replace(brightness=0.5), content=11)
    gain = image[16, 16, 0] * 255 / pixels[16, 16, 0]
    assert 0.5 <= gain <= 1.5
    assert gain != 1
    assert np.allclose(image, np.minimum(pixels / 255 * gain, 1), atol=1e-5)


def test_any_amount_of_variation_stays_between_black_and_white(cell):
    wild = AugmentationSettings(
        rotation_degrees=180, scale=0.9, shift=0.5, stain=1, stain_shift=1, brightness=0.9
    )
    for content in range(40):
        image = varied(cell(content), wild, content=content)
        assert image.min() >= 0
        assert image.max() <= 1
        assert np.isfinite(image).all()


def test_draws_depend_on_seed_epoch_and_content_alone():
    draws = uniform_draws(numbers(50), numbers(50), seed=3, n=6)
    assert np.array_equal(uniform_draws(numbers(10, 20), numbers(10, 20), seed=3, n=6), draws[20:30])
    for other in (
        uniform_draws(numbers(50), numbers(50), seed=4, n=6),
        uniform_draws(numbers(50), numbers(50, 1), seed=3, n=6),
        uniform_draws(numbers(50, 1), numbers(50), seed=3, n=6),
    ):
        assert (other == draws).mean() == 0


def test_draws_are_even_and_unrelated():
    draws = uniform_draws(numbers(20_000), np.zeros(20_000, np.uint64), seed=0, n=4)
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03
    assert np.abs(np.histogram(draws[:, 0], 10, (0, 1))[0] - 2000).max() < 200


def soft(size):
    """Return an image of waves that sampling can follow, as float (height width 3)."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    waves = [np.sin(20 * x + 3), np.cos(17 * y - 9 * x), np.sin(25 * x * y)]
    return 128 + 90 * np.stack(waves, axis=2)


@pytest.mark.parametrize("size", [48, 60, 77, 96, 100])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_an_image_as_decoded_is_varied_like_one_at_the_working_size(size, fit):
    large, settings = soft(size).astype(np.uint8), AugmentationSettings(stain=0, brightness=0, stain_shift=0)
    variations = draw_variations(settings, numbers(1, 5), numbers(1), seed=0, shape=(48, 48))
    out, expected = np.empty((2, 3, 48, 48), np.float32)
    write_varied(unfitted(Image.fromarray(large), (48, 48), fit), variations, 0, out)
    write_varied(whole(soft(48).astype(np.uint8)), variations, 0, expected)
    inner = np.s_[:, 8:-8, 8:-8]
    assert np.abs(out[inner] - expected[inner]).mean() < 2.5 / 255


def test_sampling_once_is_sharper_than_resizing_first(real_data):
    path = next((real_data / "images" / "pbc_barcelona" / "images" / "monocyte").glob("*.jpg"))
    image = Image.open(path).convert("RGB")
    settings = NONE.replace(rotation_degrees=20)
    variations = draw_variations(settings, numbers(1, 5), numbers(1), seed=0, shape=(224, 224))
    once, twice = np.empty((2, 3, 224, 224), np.float32)
    write_varied(unfitted(image, (224, 224), "squash"), variations, 0, once)
    write_varied(whole(np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))), variations, 0, twice)
    assert np.abs(np.diff(once, axis=2)).mean() > np.abs(np.diff(twice, axis=2)).mean()


def test_a_crop_shows_what_lies_beyond_it_where_the_image_goes_on():
    stripes = np.zeros((20, 40, 3), np.uint8)
    stripes[:, :10], stripes[:, 30:] = 200, 200
    variations = draw_variations(NONE, numbers(1), numbers(1), seed=0, shape=(20, 20))
    variations.affine[0, 2] += 10
    out = np.empty((3, 20, 20), np.float32)
    write_varied(unfitted(Image.fromarray(stripes), (20, 20), "crop"), variations, 0, out)
    assert np.allclose(out[0, 5] * 255, [0] * 10 + [200] * 10, atol=1e-3)


def test_smoothed_pixels_are_means_of_four():
    values = np.random.default_rng(0).integers(0, 256, (5, 18, 4), dtype=np.uint8)
    means = smoothed(values.view(np.uint32)[..., 0], 18).view(np.uint8).reshape(4, -1, 4)[:, :17, :3]
    exact = (values.astype(int)[1:] + values[:-1])[..., :3]
    assert np.array_equal(means, (exact[:, 1:] + exact[:, :-1] + 2) // 4)


def test_an_image_far_larger_than_the_working_size_is_resized_first():
    large = Image.fromarray(soft(300).astype(np.uint8))
    assert unfitted(large, (48, 48), "squash").pixels.shape == (48, 48, 3)
    assert unfitted(large, (200, 200), "squash").pixels.shape == (300, 300, 4)
    assert isinstance(unfitted(large, (200, 200), "pad"), Unfitted)


def test_a_row_that_lies_outside_altogether_is_mirrored(cell):
    settings = NONE.replace(shift=0.5, scale=0.9, rotation_degrees=180)
    for content in range(30):
        image = varied(cell(2), settings, content=content) * 255
        assert image.min() >= cell(2).min() - 1
        assert image.max() <= cell(2).max() + 1
