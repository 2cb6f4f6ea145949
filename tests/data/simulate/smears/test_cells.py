"""Cells before they are painted have the attributes, outlines and marks of their type."""

import numpy as np
import pytest

from trilineage.data.simulate.smears.cell_types import (
    ATTRIBUTES,
    CELL_TYPES,
    HIGHEST,
    LOWEST,
    NAMES,
    position_of,
)
from trilineage.data.simulate.smears.cells import draw_outline, draw_white_cell
from trilineage.data.simulate.smears.marks import CYTOPLASM, granule_marks, nucleolus_marks, rod_marks
from trilineage.data.simulate.smears.patients import SmearPatient, draw_patient
from trilineage.data.simulate.smears.settings import SmearSettings

TRAITS = draw_patient(SmearSettings(patient_effect=0.0), SmearPatient("P", "normal"))


@pytest.fixture(scope="module")
def cells():
    random = np.random.default_rng(0)
    return {name: [draw_white_cell(TRAITS, position_of(name), random) for _ in range(25)] for name in NAMES}


def mean_of(cells, name, attribute):
    return np.mean([cell.attributes[ATTRIBUTES.index(attribute)] for cell in cells[name]])


def test_attributes_follow_the_table_of_cell_types(cells):
    for cell_type in CELL_TYPES:
        for attribute in ("diameter_um", "chromatin", "basophilia", "granule_density"):
            mean, spread = cell_type.typical.get(attribute, (0.0, 0.0))
            assert mean_of(cells, cell_type.name, attribute) == pytest.approx(mean, abs=0.9 * spread + 1e-9)


def test_look_alikes_differ_where_a_haematologist_looks(cells):
    for attribute, more, less in (
        ("nc_ratio", "lymphoblast", "myeloblast"),
        ("n_nucleoli", "myeloblast", "lymphoblast"),
        ("n_auer_rods", "atypical_promyelocyte", "promyelocyte"),
        ("chromatin", "neoplastic_lymphocyte", "reactive_lymphocyte"),
        ("n_lobes", "segmented_neutrophil", "band_neutrophil"),
        ("hof", "promyelocyte", "myeloblast"),
    ):
        assert mean_of(cells, more, attribute) > mean_of(cells, less, attribute)


def test_attributes_stay_in_their_range_and_platelets_have_no_lobes(cells):
    for drawn in cells.values():
        values = np.stack([cell.attributes for cell in drawn])
        has_nucleus = values[:, ATTRIBUTES.index("nc_ratio")] > 0
        assert (values <= HIGHEST).all()
        assert (values[has_nucleus] >= LOWEST).all()
    assert mean_of(cells, "platelet", "n_lobes") == 0


def test_an_outline_encloses_the_area_of_the_disc_however_uneven_it_is():
    outline = draw_outline(6.0, 0.8, np.random.default_rng(2))
    assert np.mean(outline**2) == pytest.approx(36.0)
    assert outline.std() > 0.2


def test_marks_lie_inside_the_cell():
    random, outline = np.random.default_rng(4), np.full(96, 6.0)
    granules = granule_marks("neutrophilic", 300, 0.3, outline, random)
    assert np.hypot(granules[:, 0], granules[:, 1]).max() < 6.0
    assert (granules[:, 10] == CYTOPLASM).all()
    assert granule_marks("none", 300, 0.3, outline, random).shape == (0, 11)
    assert np.hypot(*nucleolus_marks(3, np.zeros(2), 4.0, random)[:, :2].T).max() < 4.0
    assert np.hypot(*rod_marks(4, outline, random)[:, :2].T).max() < 8.0
