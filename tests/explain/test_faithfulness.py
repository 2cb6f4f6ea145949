"""A map of what the classifier reads beats chance on both curves; a map of learned weights is lost with them."""

import numpy as np
import pytest
import torch

from trilineage.explain.faithfulness import perturbation_curves, random_maps, randomisation_check
from trilineage.explain.saliency.gradcam import path_maps
from trilineage.explain.saliency.targets import NodeTarget, Targets

RED = Targets.same([NodeTarget(0), NodeTarget(0, (1,))], 1, ("red", "blue"))


def oracle() -> np.ndarray:
    values = np.zeros((1, 2, 16, 16), dtype=np.float32)
    values[:, :, :8, :8] = 1.0
    return values


def test_curves_go_from_the_whole_to_the_covered_image_and_back(pictures, plain):
    curves = perturbation_curves(plain, pictures.red_corner(), RED, oracle(), fill="black", n_steps=4)
    whole, covered = plain(pictures.red_corner()).exp()[0, 0].item(), 0.5
    np.testing.assert_allclose(curves.deletion[0, :, [0, -1]], [[whole, whole], [covered] * 2], rtol=1e-5)
    np.testing.assert_allclose(curves.insertion[0, :, [0, -1]], [[covered] * 2, [whole, whole]], rtol=1e-5)
    assert curves.shares.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_area_is_that_of_a_hand_computed_curve(pictures, plain):
    curves = perturbation_curves(plain, pictures.red_corner(), RED, oracle(), fill="black", n_steps=4)
    # The red quarter goes first: mean red falls from 0.4 to 0.15, then by 0.05 a quarter; blue from 0.2 by 0.05.
    red, blue = np.array([0.4, 0.15, 0.1, 0.05, 0.0]), np.array([0.2, 0.15, 0.1, 0.05, 0.0])
    expected = 1 / (1 + np.exp(-4 * (red - blue)))
    np.testing.assert_allclose(curves.deletion[0, 0], expected, rtol=1e-5)
    area = (expected[:-1] + expected[1:]).sum() / 2 / 4
    np.testing.assert_allclose(curves.deletion_auc[0], [area, area], rtol=1e-5)


@pytest.mark.parametrize("fill", ["mean", "blur", "black"])
def test_a_map_of_what_is_read_beats_chance(pictures, plain, fill):
    pixels = pictures.red_corner()
    found = perturbation_curves(plain, pixels, RED, oracle(), fill=fill)
    for seed in range(5):
        noise = random_maps(1, 2, (4, 4), (16, 16), seed=seed)
        chance = perturbation_curves(plain, pixels, RED, noise, fill=fill)
        assert (found.deletion_auc <= chance.deletion_auc).all()
        assert (found.insertion_auc >= chance.insertion_auc).all()


def test_empty_maps_and_missing_targets_have_no_curve(pictures, plain):
    targets = Targets.from_rows([[NodeTarget(0), NodeTarget(1)], [NodeTarget(0)]], ("red", "blue"))
    maps = np.ones((2, 2, 16, 16), dtype=np.float32)
    maps[0, 1] = np.nan
    curves = perturbation_curves(plain, pictures.red_corner(2), targets, maps, n_steps=3, batch_size=3)
    assert np.isnan(curves.deletion_auc).tolist() == [[False, True], [False, True]]


def test_random_maps_depend_on_their_seed_only():
    first, second, other = (random_maps(2, 1, (3, 3), (9, 9), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.fixture(scope="module")
def check(pictures, tree):
    model, targets = pictures.classifier("small_vit", tree), pictures.paths(tree, ["ALL", "normal"])
    pixels = pictures.noise(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def maps(classifier):
        return path_maps(classifier, pixels, targets, signed=True, empty="nan").numpy()

    return randomisation_check(model, maps, seed=3), randomisation_check(model, maps, seed=3), before, model


def test_weights_are_randomised_from_the_head_downwards(check):
    first, _, _, _ = check
    assert first.parts == ("head", "block 5", "block 4", "block 3", "block 2", "block 1", "block 0")
    assert first.correlations.shape == (7, 2, 2)
    assert np.isnan(first.correlations[:, 1, 1]).all()
    assert np.nanmean(np.abs(first.correlations[-1])) < 0.6


def test_the_check_repeats_itself_and_leaves_the_classifier_alone(check):
    first, second, before, model = check
    np.testing.assert_array_equal(first.correlations, second.correlations)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_maps_that_ignore_the_weights_are_found_out(pictures, tree):
    fixed = torch.rand(1, 1, 4, 4).numpy()
    flat = np.ones((1, 1, 4, 4), dtype=np.float32)
    model = pictures.classifier("small_cnn", tree)
    np.testing.assert_allclose(randomisation_check(model, lambda _: fixed).correlations, 1.0)
    assert np.isnan(randomisation_check(model, lambda _: flat).correlations).all()
