"""Every patient: sorted along the tree in the figure, wrong ones first in the table."""

import pytest

from trilineage.report.blocks import Figure
from trilineage.report.sections import image_patients
from trilineage.report.sections.image_patients import image_patients_section, patient_table, read_patients
from trilineage.report.tree_shape import TreeShape

SHAPE = TreeShape.of(
    [
        {"node": n, "parents": p}
        for n, p in (("root", []), ("sick", ["root"]), ("x", ["sick"]), ("well", ["root"]))
    ]
)
TABLE = {
    "patient": ["p1", "p2", "p3", "p4"],
    "n_samples": ["4", "4", "2", "1"],
    "label": ["well", "sick", "x", ""],
    "predicted": ["x", "x", "x", "well"],
    "probability: sick": ["0.7", "0.9", "0.8", "0.2"],
    "probability: x": ["0.7", "0.8", "0.6", ""],
    "probability: well": ["0.3", "0.1", "0.2", "0.8"],
}


@pytest.fixture
def patients():
    return read_patients(TABLE, SHAPE)


def test_patients_are_in_the_order_of_the_tree(patients):
    assert [patient.name for patient in patients] == ["p2", "p3", "p1", "p4"]


def test_a_decision_below_the_label_is_right(patients):
    assert {patient.name: patient.is_right for patient in patients} == {
        "p1": False,
        "p2": True,
        "p3": True,
        "p4": False,
    }


def test_wrong_decisions_come_first_and_unknown_labels_are_unknown(patients):
    rows = patient_table(patients).rows
    assert rows[0] == ("p1", "well", "x", "4", "0.70", "0.30")
    assert rows[1][:3] == ("p4", "unknown", "well")


def test_many_patients_are_listed_only(image_run, monkeypatch):
    monkeypatch.setattr(image_patients, "MAX_PATIENTS_DRAWN", 10)
    assert not any(isinstance(block, Figure) for block in image_patients_section(image_run).blocks)


def test_the_figure_says_who_was_called_wrong(image_run):
    (figure,) = image_patients_section(image_run).figures()
    assert "of 42 patients called right" in figure.description
