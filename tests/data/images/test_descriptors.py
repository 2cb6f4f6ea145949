"""Plain colours and textures."""

import numpy as np

from trilineage.data.images.descriptors import N_BINS, SIDE, describe


def test_a_white_image_has_all_its_colour_in_the_first_bin_and_no_edge() -> None:
    found = describe(np.full((24, 24, 3), 255, np.uint8))
    first = np.zeros(N_BINS)
    first[0] = 1
    for channel in range(3):
        np.testing.assert_allclose(found[channel * N_BINS : (channel + 1) * N_BINS], first)
    assert not found[3 * N_BINS : 4 * N_BINS].any()


def test_stripes_have_edges_in_one_direction() -> None:
    stripes = np.full((24, 24, 3), 255, np.uint8)
    stripes[:, ::4] = 0
    across, down = describe(stripes), describe(stripes.transpose(1, 0, 2))
    edges = slice(3 * N_BINS, 4 * N_BINS)
    assert across[edges].argmax() == 0
    assert down[edges].argmax() == N_BINS // 2


def test_the_layout_says_where_it_is_dark() -> None:
    image = np.full((24, 24, 3), 255, np.uint8)
    image[:4, -4:] = 0
    layout = describe(image)[4 * N_BINS : 4 * N_BINS + SIDE**2].reshape(SIDE, SIDE)
    assert np.argwhere(layout > 0).tolist() == [[0, SIDE - 1]]
    np.testing.assert_allclose(layout[0, -1], np.log(256), rtol=1e-5)
