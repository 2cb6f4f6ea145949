"""Options of images: one number for a square or two, and limits that Pillow shares."""

import pytest

from trilineage.core.errors import ConfigError
from trilineage.data.images.settings import AugmentationSettings, ImageDataSettings


def test_a_size_is_one_number_or_height_and_width():
    assert ImageDataSettings(size=28).shape == (28, 28)
    assert ImageDataSettings.load(overrides=["size=20,30"]).shape == (20, 30)


def test_sizes_are_positive():
    with pytest.raises(ConfigError):
        ImageDataSettings(size=0)
    with pytest.raises(ConfigError):
        ImageDataSettings(size=(0, 5))


def test_more_pixels_than_pillow_allows_cannot_be_asked_for():
    with pytest.raises(ConfigError, match="max_pixels"):
        ImageDataSettings(max_pixels=200_000_000)


def test_no_augmentation_differs_from_the_default_in_every_option():
    plain, usual = AugmentationSettings.none().to_dict(), AugmentationSettings().to_dict()
    assert all(plain[name] != usual[name] for name in plain)
