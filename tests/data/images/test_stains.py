"""Stain normalisation: stains that were mixed are found again, a reference is left alone, a blank image too."""

import numpy as np
import pytest

from trilineage.core.errors import ConfigError
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.stains import (
    MAY_GRUENWALD_GIEMSA,
    macenko_stains,
    normalise_macenko,
    normalise_reinhard,
    stain_of,
)

VECTORS = np.array([[0.65, 0.70, 0.29], [0.27, 0.75, 0.60]])
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def mixed(vectors, *, light=(250, 240, 235), strength=1.0, seed=0):
    """Return a smear of half background, a dark region of the first stain and a lighter one of the second."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((60, 60, 2))
    amounts[:20] = np.stack([rng.uniform(0.8, 2.0, (20, 60)), rng.uniform(0, 0.05, (20, 60))], axis=2)
    amounts[20:30] = np.stack([rng.uniform(0, 0.03, (10, 60)), rng.uniform(0.5, 0.8, (10, 60))], axis=2)
    values = (np.array(light) + 1) * np.exp(-amounts * strength @ vectors) - 1
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def test_macenko_finds_the_stains_that_were_mixed():
    light, vectors, strengths = macenko_stains(mixed(VECTORS))
    cosines = (vectors * VECTORS).sum(axis=1)
    assert (cosines > 0.99).all()
    assert np.allclose(light, -np.log((np.array([250, 240, 235]) + 1) / 256), atol=0.01)
    assert strengths[0] > strengths[1]


def test_macenko_makes_two_stains_and_two_lights_one():
    other = np.array([[0.55, 0.80, 0.24], [0.15, 0.85, 0.50]])
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    first = mixed(VECTORS)
    second = mixed(other, light=(228, 220, 230), strength=0.8)
    reference = stain_of(first, "first")
    normalised = normalise_macenko(second, reference).astype(int)
    before, after = np.abs(second - first.astype(int)).mean(), np.abs(normalised - first).mean()
    assert after < before / 4


def test_reinhard_gives_the_means_and_deviations_of_the_reference():
    target = stain_of(mixed(VECTORS), "target")
    source = mixed(VECTORS, light=(225, 228, 235), strength=0.7, seed=1)
    again = stain_of(normalise_reinhard(source, target), "again")
    assert np.allclose(again.means, target.means, atol=0.01)
    assert np.allclose(again.deviations, target.deviations, rtol=0.1)


@pytest.mark.parametrize("normalise", [normalise_macenko, normalise_reinhard])
def test_an_image_is_its_own_reference(normalise):
    image = mixed(VECTORS)
    assert np.abs(normalise(image, stain_of(image, "own")).astype(int) - image).mean() < 2


@pytest.mark.parametrize("normalise", [normalise_macenko, normalise_reinhard])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_image_has_no_stain(normalise, grey):
    assert normalise(np.full((20, 20, 3), grey, np.uint8), MAY_GRUENWALD_GIEMSA) is None


def test_an_image_of_one_stain_has_no_two():
    amounts = np.random.default_rng(0).uniform(0, 2, (40, 40, 1))
    image = np.rint(255 * np.exp(-amounts * VECTORS[0])).astype(np.uint8)
    image[:10] = 255
    assert macenko_stains(image) is None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("normalise", [normalise_macenko, normalise_reinhard])
def test_noise_is_normalised_or_left_but_never_an_error(normalise, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert (
        normalise(noise, MAY_GRUENWALD_GIEMSA) is None
        or normalise(noise, MAY_GRUENWALD_GIEMSA).shape == noise.shape
    )


def test_a_blank_reference_is_refused():
    with pytest.raises(ConfigError, match=r"shows no two stains; seen: blank.png"):
        stain_of(np.full((20, 20, 3), 200, np.uint8), "blank.png")


def test_a_table_takes_its_stain_from_a_reference_image(folder, write, tmp_path):
    path = write(tmp_path / "reference.png", mixed(VECTORS))
    settings = ImageDataSettings(
        path=str(folder), size=24, workers=1, stain="reinhard", stain_reference=str(path)
    )
    plain = open_images(settings.replace(stain="none"))
    stained = open_images(settings)
    assert np.array_equal(stained.read(0), plain.read(0))
    assert not np.array_equal(stained.read_sized(0), plain.read_sized(0))
    assert stained.left_unstained() == ()


@pytest.mark.parametrize("stain", ["macenko", "reinhard"])
def test_two_cameras_come_closer(real_data, stain):
    def background(group, method):
        settings = ImageDataSettings(
            path=str(real_data / "images" / "pbc_barcelona"),
            keep=(f"acquisition_group={group}",),
            classes=("monocyte", "lymphocyte"),
            limit_per_class=6,
            verify="header",
            size=96,
            workers=1,
            stain=method,
        )
        table = open_images(settings)
        images = np.stack([table.read_sized(i) for i in range(len(table))])
        return np.percentile(images.reshape(-1, 3), 80, axis=0)

    before = np.abs(background("A", "none") - background("B", "none")).mean()
    after = np.abs(background("A", stain) - background("B", stain)).mean()
    assert after < before / 2
