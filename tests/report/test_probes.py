"""The section of probes: every population with its readings, and what a reader must know first."""

import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Score
from trilineage.report.blocks import Figure, Notice, Table
from trilineage.report.page import SECTIONS, write_report
from trilineage.report.sections.probes import probes_section


class Config(Settings):
    """No options."""


def score(value, subject, population):
    return Score(
        "accuracy",
        value,
        value - 0.1,
        value + 0.05,
        subject,
        population=population,
        n_samples=90,
        n_patients=90,
    )


@pytest.fixture
def run(tmp_path):
    """Probes of a label at two sites and of one attribute; three test images were learned from."""
    made = Run.create(tmp_path / "run", kind="images.probe", config=Config(), seed=0)
    subjects = ("linear probe", "baseline: random weights, linear probe")
    made.add_scores([score(0.9, name, place) for place in ("all", "site B") for name in subjects])
    made.add_scores([score(0.8, name, "granularity") for name in subjects], "attributes.json")
    made.write_json("probes.json", {"n_images": {"test": 90}, "n_test_learned_from": 3})
    made.finish()
    return made


def test_each_population_has_a_row_for_each_reading(run):
    (table,) = [block for block in probes_section(run).blocks if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == ["Label"] * 2 + ["Label, site B"] * 2 + ["Granularity"] * 2
    assert table.strong_rows == {0, 2, 4}
    assert table.sources == ("scores.json", "attributes.json")


def test_the_figure_says_every_score_in_words(run):
    (figure,) = [block for block in probes_section(run).blocks if isinstance(block, Figure)]
    assert "Label, site B" in figure.description
    assert "random weights" in figure.description


def test_images_that_were_learned_from_are_named_first(run):
    first = probes_section(run).blocks[0]
    assert isinstance(first, Notice)
    assert "learned from 3 of the 90 test images" in first.text


def test_the_page_of_probes_has_the_section(run):
    assert probes_section in SECTIONS["images.probe"]
    page = write_report(run.path).read_text()
    assert "What the features tell" in page
    assert "By the linear probe, the accuracy on 90 images held out is" in page


def test_a_run_without_probes_has_no_section(tmp_path):
    assert probes_section(Run.create(tmp_path / "run", kind="images.probe", config=Config(), seed=0)) is None
