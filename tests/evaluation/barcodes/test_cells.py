"""The cells that show a concept are the strongest ones, a few of each patient, whatever the portions."""

import numpy as np
import pytest

from trilineage.evaluation.barcodes.cells import cells_that_show

from .drawing import codes_of, draw_activations

PATIENTS = np.array(list("aabbbccccccc"))


@pytest.fixture
def activations():
    return draw_activations(12)


def test_the_strongest_images_come_first_with_the_patch(activations):
    (found,) = cells_that_show([codes_of(activations)], np.array([4]), PATIENTS, n_cells=5, per_patient=9)
    patches = activations[:, 1:, 4]
    expected = np.argsort(-patches.max(axis=1), kind="stable")[:5]
    assert found.images.tolist() == expected.tolist()
    assert found.patches.tolist() == patches[expected].argmax(axis=1).tolist()
    np.testing.assert_array_equal(found.peaks, patches[expected].max(axis=1))


def test_no_patient_shows_more_than_its_share(activations):
    found = cells_that_show([codes_of(activations)], np.arange(12), PATIENTS, per_patient=1)
    assert all(len(set(PATIENTS[one.images])) == len(one.images) <= 3 for one in found)
    only = cells_that_show([codes_of(activations)], np.array([1]), PATIENTS, of=np.array(["b"]))
    assert set(PATIENTS[only[0].images]) == {"b"}


def test_portions_change_nothing(activations):
    codes = codes_of(activations)
    whole = cells_that_show([codes], np.arange(12), PATIENTS, n_cells=4)
    order = [np.array(rows) for rows in ([9, 1, 4], [0, 2], [11, 10, 3, 5], [6, 7, 8])]
    parts = cells_that_show((codes.subset(rows) for rows in order), np.arange(12), PATIENTS, n_cells=4)
    for one, other in zip(whole, parts, strict=True):
        assert one.images.tolist() == other.images.tolist()


def test_a_latent_nobody_shows_has_no_cells(activations):
    activations[:, 1:, 3] = 0
    (found,) = cells_that_show([codes_of(activations)], np.array([3]), PATIENTS)
    assert (found.latent, len(found.images)) == (3, 0)
