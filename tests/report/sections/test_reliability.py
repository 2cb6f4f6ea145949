"""Reliability diagrams: bins as they are, gaps weighted, temperatures listed."""

import pytest

from trilineage.report.nouns import Nouns
from trilineage.report.sections.reliability import (
    decision_figure,
    node_figure,
    reliability_section,
    temperature_table,
)

IMAGES = Nouns("image", "image")
BINS = [
    {"from": 0.2, "to": 0.4, "n_samples": 10, "mean_probability": 0.3, "share": 0.1, "low": 0.0, "high": 0.3},
    {
        "from": 0.8,
        "to": 1.0,
        "n_samples": 30,
        "mean_probability": 0.9,
        "share": 0.9,
        "low": None,
        "high": None,
    },
]


def test_bins_are_in_words_and_the_gap_is_their_mean():
    figure = decision_figure(BINS, 0.95, IMAGES)
    assert figure.description.endswith("said 0.30, was 0.10; said 0.90, was 0.90.")
    assert "95 % intervals over images. Mean gap: 0.050" in figure.caption


def test_every_node_has_a_panel_with_its_gap():
    figure = node_figure({"ALL": BINS, "AML": BINS[1:]}, 0.95, IMAGES)
    assert "ALL (0.05)" in figure.svg
    assert "AML (0.00)" in figure.svg


def test_temperatures_are_listed_for_each_fork(image_run):
    table = temperature_table(image_run.read_json("history.json"))
    assert table.rows == (("holdout", "diagnosis", "1.31", "0.120", "0.040"),)


@pytest.mark.parametrize(
    "history", [{}, [], {"holdout": {"calibration": None}}, {"holdout": {"calibration": 1.2}}]
)
def test_without_temperatures_there_is_no_table(history):
    assert temperature_table(history) is None


def test_without_a_bin_there_is_no_section(bare_image_run):
    bare_image_run.write_json("reliability.json", {"level": 0.95, "decision": [], "nodes": {}})
    assert reliability_section(bare_image_run) is None
