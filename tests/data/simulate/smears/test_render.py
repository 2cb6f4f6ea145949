"""Images are the same whenever they are drawn, and their masks and truth agree with what they show."""

import numpy as np
import pytest

from trilineage.data.simulate.smears.cell_types import NAMES
from trilineage.data.simulate.smears.cohort import simulate_smears
from trilineage.data.simulate.smears.patients import SmearPatient, draw_patient
from trilineage.data.simulate.smears.render import (
    CYTOPLASM,
    NEIGHBOUR_NUCLEUS,
    NUCLEUS,
    PLATELET,
    RED_CELL,
    decode,
    encode,
    render_image,
)
from trilineage.data.simulate.smears.settings import SmearSettings

SETTINGS = SmearSettings(size=64, n_patients_per_diagnosis=1, n_images_per_patient=3)


def image(number=0, diagnosis="AML", **options):
    settings = SETTINGS.replace(**options)
    return render_image(settings, draw_patient(settings, SmearPatient("P", diagnosis)), number)


@pytest.fixture(scope="module")
def smears():
    return simulate_smears(SETTINGS.replace(cell_types=NAMES, n_images_per_patient=8))


def test_an_image_is_the_same_whatever_is_drawn_before_it():
    image(1)
    again = image(2)
    np.testing.assert_array_equal(again.pixels, image(2).pixels)
    assert again.objects == image(2).objects
    assert (again.pixels != image(3).pixels).any()
    assert (again.pixels != image(2, seed=1).pixels).any()


def test_without_signal_an_image_is_the_same_under_every_diagnosis():
    silent, other = image(diagnosis="normal", signal=0.0), image(diagnosis="CLL", signal=0.0)
    np.testing.assert_array_equal(silent.pixels, other.pixels)
    assert silent.objects == other.objects


@pytest.mark.parametrize("size", [24, 28, 61, 224, 512])
def test_any_size_shows_the_same_scene(size):
    small, reference = image(size=size), image(size=128)
    assert small.pixels.shape == (size, size, 3)
    assert np.mean(small.codes == NUCLEUS) == pytest.approx(np.mean(reference.codes == NUCLEUS), rel=0.06)
    assert small.objects[0]["nc_ratio"] == pytest.approx(reference.objects[0]["nc_ratio"], rel=0.03)


def test_the_cell_in_the_mask_has_the_areas_and_the_ratio_of_the_truth(smears):
    pixel_um2 = SETTINGS.um_per_pixel**2
    nucleus = (smears.codes == NUCLEUS).sum(axis=(1, 2)) * pixel_um2
    cell = nucleus + (smears.codes == CYTOPLASM).sum(axis=(1, 2)) * pixel_um2
    truth = smears.objects
    np.testing.assert_allclose(cell, truth["cell_um2"], rtol=0.05, atol=0.6)
    np.testing.assert_allclose(nucleus, truth["nucleus_um2"], rtol=0.06, atol=1.5)
    np.testing.assert_allclose(truth["nucleus_um2"] / truth["cell_um2"], truth["nc_ratio"])


def test_the_box_is_that_of_the_mask_and_holds_the_middle(smears):
    for codes, row in zip(smears.codes, smears.objects.itertuples(), strict=True):
        rows, columns = np.nonzero((codes == CYTOPLASM) | (codes == NUCLEUS))
        assert (row.x0, row.y0, row.x1, row.y1) == (
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        )
        assert row.is_whole
        assert np.hypot((row.x0 + row.x1) / 2 - 32, (row.y0 + row.y1) / 2 - 32) < 12


def test_nuclei_are_darker_than_cytoplasm_and_cytoplasm_than_glass(smears):
    lightness = smears.pixels.mean(axis=3)
    nucleated = np.isin(smears.codes, [NUCLEUS])
    assert lightness[nucleated].mean() < lightness[smears.codes == CYTOPLASM].mean() - 30
    assert lightness[smears.codes == CYTOPLASM].mean() < lightness[smears.codes == 0].mean() - 20


def test_a_field_has_a_box_for_every_object_that_can_be_seen():
    field = image(product="fields", size=256, field_um=80.0)
    names = [row["cell_type"] for row in field.objects]
    assert names.count("red_cell") > 30
    assert len(field.objects) == len(np.unique(field.owners)) - 1
    assert set(np.unique(field.codes)) >= {RED_CELL, CYTOPLASM, NUCLEUS}
    assert NEIGHBOUR_NUCLEUS not in field.codes
    assert all(
        0 <= row["x0"] < row["x1"] <= 256 and 0 <= row["y0"] < row["y1"] <= 256 for row in field.objects
    )


def test_other_white_cells_have_codes_of_their_own():
    crowded = [image(number, neighbours=3.0) for number in range(4)]
    assert any((one.codes == NEIGHBOUR_NUCLEUS).any() for one in crowded)
    assert all(len(one.objects) == 1 for one in crowded)


def test_an_image_without_red_cells_and_platelets_shows_the_cell_alone():
    codes = image(red_cell_density=0.0, platelet_density=0.0, neighbours=0.0).codes
    assert set(np.unique(codes)) == {0, CYTOPLASM, NUCLEUS}
    assert PLATELET in np.concatenate([image(number, platelet_density=20.0).codes for number in range(3)])


def test_png_keeps_every_pixel_and_jpeg_nearly():
    pixels, traits = image().pixels, draw_patient(SETTINGS, SmearPatient("P", "AML"))
    exact = decode(encode(pixels, SETTINGS.replace(image_format="png"), traits.site))
    close = decode(encode(pixels, SETTINGS, traits.site))
    np.testing.assert_array_equal(exact, pixels)
    assert 0 < np.abs(close.astype(int) - pixels).mean() < 6
