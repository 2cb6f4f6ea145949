"""Pictures of concepts: patches in their place, one scale per latent, sheets that a page can cut."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from trilineage.core.errors import ConfigError
from trilineage.explain.concepts.attribution import concept_map
from trilineage.explain.concepts.crops import (
    HEAT_PADDING,
    Box,
    SpriteSettings,
    full_colours,
    heated,
    outlined,
    patch_box,
    patch_crop,
    patch_mask,
    reference_maps,
    sprite_sheets,
    strip,
)


@pytest.fixture
def numbered():
    """An image of 4 x 6 patches of 8 pixels, each of the colour of its number."""
    return np.arange(24, dtype=np.uint8).reshape(4, 6).repeat(8, 0).repeat(8, 1)[..., None].repeat(3, 2)


def test_patches_tile_an_image_that_no_patch_divides_evenly():
    covered = np.zeros((45, 31), int)
    for patch in range(12):
        box = patch_box(patch, (4, 3), covered.shape)
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("patch", [-1, 24])
def test_a_patch_that_is_none_is_refused(numbered, patch):
    with pytest.raises(ConfigError, match="0 to 23"):
        patch_crop(numbered, patch, (4, 6))


def test_a_crop_is_the_patch_and_its_neighbours(numbered):
    crop = patch_crop(numbered, 8, (4, 6))
    assert crop[::8, ::8, 0].tolist() == [[1, 2, 3], [7, 8, 9], [13, 14, 15]]
    assert np.unique(patch_crop(numbered, 8, (4, 6), context=0)).tolist() == [8]


def test_a_crop_at_an_edge_moves_inwards_and_keeps_its_size(numbered):
    assert patch_crop(numbered, 23, (4, 6))[::8, ::8, 0].tolist() == [[9, 10, 11], [15, 16, 17], [21, 22, 23]]
    assert patch_crop(numbered, 0, (4, 6), context=9).shape == numbered.shape


def test_a_mask_holds_the_patches_above_the_bound(numbered):
    values = np.zeros((4, 6))
    values[1, 2], values[3, 5] = 0.5, 0.1
    mask = patch_mask(values, numbered.shape[:2], above=0.2)
    assert np.unique(numbered[mask]).tolist() == [8]
    assert mask.sum() == 64


def test_an_outline_runs_along_the_patch_and_leaves_its_inside(numbered):
    drawn = outlined(numbered, patch_box(8, (4, 6), numbered.shape[:2]))
    assert (drawn[8, 16:24] == 255).all()
    assert (drawn[7, 15:25] == 0).all()
    assert (drawn[9:15, 17:23] == 8).all()
    assert outlined(numbered, Box(0, 0, 32, 48)).shape == numbered.shape


def test_the_same_activation_has_the_same_colour_in_every_image():
    image = np.full((4, 4, 3), 200, np.uint8)
    weak, strong = np.zeros((4, 4)), np.zeros((4, 4))
    weak[0, 0] = strong[0, 0] = 0.3
    strong[1, 1] = 2.0
    first, second = heated(image, weak, 2.0), heated(image, strong, 2.0)
    np.testing.assert_array_equal(first[0, 0], second[0, 0])
    assert (first[3, 3] == 200).all()


def test_the_scale_of_a_latent_is_its_largest_activation(numbered):
    maps = np.zeros((2, 3, 4, 6), np.float32)
    maps[0, 1, 2, 3] = 1.5
    maps[1] = np.nan
    assert full_colours(maps).tolist() == [1.5, 0.0]


def test_maps_of_references_are_the_maps_of_their_images(real, pixels):
    images = np.array([[2, 0], [0, -1], [1, 2]])
    latents = [5, 40, 17]
    asked = []

    def load(positions):
        asked.extend(positions.tolist())
        return pixels[torch.from_numpy(positions)]

    maps = reference_maps(real.encoder, real.sae, load, images, latents, workers=1)
    assert sorted(asked) == [0, 1, 2]
    assert np.isnan(maps[1, 1]).all()
    for row, rank in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1)):
        own = concept_map(real.encoder, real.sae, pixels[images[row, rank]], [latents[row]])[0]
        np.testing.assert_allclose(maps[row, rank], own, rtol=1e-5, atol=1e-6)


def test_only_the_class_token_gives_no_maps(plain):
    encoder, sae = plain
    encoder.n_tokens = 1
    assert np.isnan(reference_maps(encoder, sae, torch.zeros, np.array([[0]]), [0])).all()


def test_sheets_hold_a_row_per_concept_and_heat_with_padding(numbered):
    images = np.array([[0, 1], [2, -1], [3, 0]])
    maps = np.zeros((3, 2, 4, 6), np.float32)
    maps[0, 1, 3, 0] = 2.0
    settings = SpriteSettings(tile=32, cards_per_sheet=2, references=8)
    read = lambda image: np.full_like(numbered, 60 * image)  # noqa: E731
    first, second = sprite_sheets(read, images, maps, settings)
    cells, heat = (np.array(Image.open(io.BytesIO(data))) for data in (first.cells, first.heat))
    assert cells.shape == (64, 96, 3)
    assert (np.abs(cells[16, [24, 72], 0].astype(int) - [0, 60]) <= 2).all()
    assert (cells[48, 72] >= 253).all()
    assert heat.shape == (2 * (4 + 2 * HEAT_PADDING), 2 * (6 + 2 * HEAT_PADDING), 4)
    rows, columns = np.nonzero(heat[..., 3])
    assert set(rows.tolist()) == {HEAT_PADDING + 3, HEAT_PADDING + 4}  # the patch and its padding below
    assert set(columns.tolist()) == {8, 9}
    assert np.array(Image.open(io.BytesIO(second.cells))).shape == (32, 96, 3)


def test_a_strip_puts_pictures_side_by_side(numbered):
    assert strip([numbered, numbered], tile=32, gap=4).shape == (32, 100, 3)
    assert strip([], tile=32).shape == (32, 4, 3)
