"""Shares of activation by region agree with hand-computed cases, beside what an even map gets."""

import numpy as np
import pytest

from trilineage.core.errors import ConfigError, DataError
from trilineage.evaluation.concepts.focus import focus, patch_fractions, peak_maps
from trilineage.evaluation.localisation import region_shares


@pytest.fixture
def regions():
    """A cell of 4 x 6 pixels with a nucleus of 2 x 2, in an image of 8 x 12."""
    cell, nucleus = np.zeros((8, 12), dtype=bool), np.zeros((8, 12), dtype=bool)
    cell[2:6, 2:8] = True
    nucleus[2:4, 2:4] = True
    return {"nucleus": nucleus, "cytoplasm": cell}


def test_fractions_of_a_patch_add_up_and_hold_the_areas(regions):
    for grid in ((4, 6), (3, 5), (8, 12), (1, 1)):  # some do not divide the image
        found = patch_fractions(regions, grid)
        assert sum(found.values()) == pytest.approx(np.ones(grid))
        means = {name: part.mean() for name, part in found.items()}
        assert means == pytest.approx({"nucleus": 4 / 96, "cytoplasm": 20 / 96, "background": 72 / 96})


def test_shares_on_patches_are_those_on_pixels(regions):
    maps = np.random.default_rng(0).random((1, 4, 6))
    fractions = {name: part[None] for name, part in patch_fractions(regions, (4, 6)).items()}
    found = focus(maps, fractions, np.array([0]), 1)
    on_pixels = region_shares(np.kron(maps[0], np.ones((2, 2))), regions)
    assert dict(zip(found.regions, found.shares[0], strict=True)) == pytest.approx(on_pixels)
    assert found.areas[0] == pytest.approx([4 / 96, 20 / 96, 72 / 96])


def test_maps_of_a_latent_are_averaged_and_empty_ones_left_out(regions):
    fractions = {
        name: np.repeat(part[None], 4, axis=0) for name, part in patch_fractions(regions, (4, 6)).items()
    }
    maps = peak_maps(np.array([7, 0, -1, 7]), (4, 6))  # patch 7, in row 1 and column 1, is the nucleus
    found = focus(maps, fractions, np.array([1, 1, 1, 0]), 3)
    assert found.n_maps.tolist() == [1, 2, 0]
    assert found.shares == pytest.approx(np.array([[1, 0, 0], [0.5, 0, 0.5], [0, 0, 0]]))
    assert found.enrichment[0, 0] == pytest.approx(24.0)
    assert np.isnan(found.figures()["nucleus"][2])
    assert found.figures()["nucleus_by_chance"][0] == pytest.approx(1 / 24)


def even_study(seed: int, n_latents: int = 60, n_patients: int = 8, n_each: int = 3):
    """Draw maps that do not care about a region that covers half of every image."""
    rng = np.random.default_rng(seed)
    latents = np.repeat(np.arange(n_latents), n_patients * n_each)
    patients = np.tile(np.repeat(np.arange(n_patients), n_each), n_latents)
    habit = rng.normal(size=(n_latents, n_patients))[latents, patients]
    inside = 1 / (1 + np.exp(-habit - 0.3 * rng.normal(size=len(latents))))
    fractions = {"cell": np.broadcast_to(np.array([[1.0, 0.0]]), (len(latents), 1, 2))}
    return np.stack([inside, 1 - inside], axis=1)[:, None, :], fractions, latents, patients


def test_maps_that_do_not_care_differ_from_chance_in_one_of_twenty_latents():
    p_values = []
    for seed in range(10):
        maps, fractions, latents, patients = even_study(seed)
        p_values.append(focus(maps, fractions, latents, 60, patients=patients).p_value)
    assert np.mean(np.concatenate(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_maps_counted_one_by_one_would_differ_far_too_often():
    maps, fractions, latents, _ = even_study(0)
    assert np.mean(focus(maps, fractions, latents, 60).p_value < 0.05) > 0.15


def test_latents_of_two_patients_are_not_tested():
    maps, fractions, latents, patients = even_study(0, n_latents=1, n_patients=2)
    assert focus(maps, fractions, latents, 1, patients=patients).p_value[0, 0] == 1.0


def test_what_does_not_belong_together_is_refused(regions):
    fractions = {name: part[None] for name, part in patch_fractions(regions, (4, 6)).items()}
    with pytest.raises(DataError, match=r"maps \(1, 3, 6\)"):
        focus(np.ones((1, 3, 6)), fractions, np.array([0]), 1)
    with pytest.raises(DataError, match="a latent of 0 to 0"):
        focus(np.ones((1, 4, 6)), fractions, np.array([1]), 1)
    with pytest.raises(DataError, match="in map 0, of latent 0"):
        focus(np.full((1, 4, 6), np.nan), fractions, np.array([0]), 1)
    with pytest.raises(ConfigError, match="no region"):
        patch_fractions({}, (4, 6))
