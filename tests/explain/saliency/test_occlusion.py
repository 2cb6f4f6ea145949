"""Occlusion finds what a hand-made classifier reads, by as much as it should."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.explain.saliency.occlusion import Windows, cover, occlusion_maps
from trilineage.explain.saliency.targets import NodeTarget, Targets

RED = Targets.same([NodeTarget(0, (1,)), NodeTarget(1, (0,))], 1, ("red", "blue"))


def test_covering_a_red_cell_takes_its_part_of_the_evidence(pictures, plain):
    found = occlusion_maps(plain, pictures.red_corner(), RED, windows=Windows((4, 4), 1), fill="black")
    # Evidence: 4 (mean red - mean blue). A cell is a 16th; a red one loses 1 - 0.2, a grey one 0.2 - 0.2.
    expected = torch.zeros(4, 4)
    expected[:2, :2] = 4 * 0.8 / 16
    torch.testing.assert_close(found[0, 0], expected)
    torch.testing.assert_close(found[0, 1], -expected)


def test_a_cell_has_the_mean_of_the_windows_over_it(pictures, plain):
    found = occlusion_maps(plain, pictures.red_corner(), RED, windows=Windows((4, 4), 2), fill="black")[0, 0]
    one = 4 * 0.8 / 16
    # The corner cell lies in one window, of four red cells; its neighbour also in one with two red cells.
    np.testing.assert_allclose(found[0, :3], [4 * one, 3 * one, (2 + 0) / 2 * one], rtol=1e-4)


def test_the_size_of_a_batch_changes_nothing(pictures, tree):
    model, pixels = pictures.classifier("small_cnn", tree), pictures.noise(2)
    targets = pictures.paths(tree, ["ALL", "normal"])
    windows = Windows((5, 3), 2)  # cells that do not divide the image
    maps = [
        occlusion_maps(model, pixels, targets, windows=windows, batch_size=size, empty="nan")
        for size in (1, 7)
    ]
    torch.testing.assert_close(*maps, equal_nan=True, rtol=1e-3, atol=1e-5)
    assert maps[0].shape == (2, 2, 5, 3)
    assert maps[0][1, 1].isnan().all()


def test_a_blurred_image_keeps_its_mean_and_loses_its_edges():
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[..., 16:] = 1.0
    blurred = cover(pixels, "blur")
    assert blurred.mean().item() == pytest.approx(0.5, abs=1e-4)
    assert blurred.diff(dim=3).abs().max() < 0.3


@pytest.mark.parametrize("windows", [Windows((4, 4), 5), Windows((17, 17), 1)])
def test_windows_that_do_not_fit_are_refused(pictures, plain, windows):
    with pytest.raises(ConfigError, match="do not fit"):
        occlusion_maps(plain, pictures.red_corner(), RED, windows=windows)


def test_an_image_of_one_colour_has_no_map(plain):
    with pytest.raises(ConfigError, match="zero everywhere"):
        occlusion_maps(plain, torch.full((1, 3, 16, 16), 0.5), RED, windows=Windows((4, 4), 1))
