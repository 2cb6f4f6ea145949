"""The cells that tell for each test patient: listed, drawn beside their maps, from the predictions of the Run."""

import shutil

import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.evaluation.patient_profiles import profile_rows
from trilineage.pipelines import images
from trilineage.pipelines._images.store import read_nodes
from trilineage.pipelines._images.trust import read_profiles
from trilineage.pipelines._runs import fold_name
from trilineage.report.pictures import png_size


@pytest.fixture(scope="module")
def told(fitted_images, tmp_path_factory):
    """A copy of the Run, explained with three cells of each patient."""
    copy = shutil.copytree(fitted_images.path, tmp_path_factory.mktemp("told") / "run")
    return images.explain(Run.open(copy), n_images=2, per_patient=3, device="cpu")


def test_every_test_patient_has_its_cells_and_every_cell_its_picture(told):
    table = told.read_table("explain/patients.csv")
    assert set(table["patient"]) == set(read_nodes(told).patients.tolist())
    assert all(table["patient"].count(name) == 3 for name in set(table["patient"]))
    assert [png_size(told.read_bytes(name)) for name in table["picture"][:2]] == [(324, 160)] * 2


def test_the_probabilities_of_the_cells_are_those_of_the_run(told):
    table, nodes = told.read_table("explain/patients.csv"), read_nodes(told)
    rows = {name: row for row, name in enumerate(nodes.samples.tolist())}
    for image, node, value in zip(table["image"], table["node"], table["probability"], strict=True):
        assert float(value) == pytest.approx(nodes.probabilities[rows[image], nodes.nodes.index(node)])


def test_cells_of_other_images_than_those_of_the_run_are_refused(fitted_images, smears):
    with pytest.raises(ConfigError, match="test patients of the Run"):
        images.explain(fitted_images, data=smears, per_patient=2, device="cpu")


def test_held_out_patients_are_placed_among_the_validation_patients(fitted_images):
    table, split = fitted_images.read_table("unlike_training.csv"), fitted_images.read_table("split.csv")
    rows = zip(split["patient"], split["part"], strict=True)
    assert set(zip(table["patient"], table["part"], strict=True)) == {
        row for row in rows if row[1] != "train"
    }
    assert set(map(int, table["n_samples"])) == {4}


def test_profiles_that_new_patients_are_held_against_come_back(fitted_images):
    table = fitted_images.read_table("unlike_training.csv")
    learned, valid, classes = read_profiles(fitted_images, fold_name(0))
    again = profile_rows("again", learned, classes, {"valid": valid, "test": valid})
    rows = [row for row, part in enumerate(table["part"]) if part == "valid"]
    assert [table["patient"][row] for row in rows] == valid.patients.tolist()
    distances = [float(table["distance"][row]) for row in rows]
    np.testing.assert_allclose(again["distance"][: len(rows)], distances)
