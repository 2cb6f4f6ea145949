"""Site by site: scores, whether a site was trained on, and how far the stains lie apart."""

import pytest

from trilineage.report.blocks import Table, Text
from trilineage.report.sections.sites import sites_section


@pytest.fixture
def blocks(image_run):
    return sites_section(image_run).blocks


def test_a_row_for_each_site_and_one_for_all(blocks):
    table = next(block for block in blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows] == [("A", "trained on"), ("B", "never trained on"), "All"]
    assert table.columns[:3] == ("Site", "Images", "Patients")
    assert table.rows[0][1:3] == ("84", "21")


def test_the_figure_has_a_row_for_each_site(image_run):
    (figure,) = sites_section(image_run).figures()
    assert "A (84 images of 21 patients)" in figure.description


def test_stains_say_how_well_they_give_the_site_away(blocks):
    text = next(block.text for block in blocks if isinstance(block, Text))
    assert "AUROC of 0.97 (0.90–1.00)" in text
    stains = [block for block in blocks if isinstance(block, Table)][-1]
    assert stains.rows[0][1] == ("+1.40 ▲", "0.20")
    assert stains.rows[0][2] == ("−1.40 ▼", "0.20")


def test_one_site_has_no_section(patientless_run, bare_image_run):
    assert sites_section(bare_image_run) is None
