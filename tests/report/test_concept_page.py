"""The pages of Runs of concepts: whole, self-contained, the same each time, and without what they do not know."""

import html
import re
from html.parser import HTMLParser

import pytest

from trilineage.core.artifacts import Run
from trilineage.report.page import SECTIONS, make_sections, write_report

EVERY = [
    *("asked", "cohort", "split", "concepts", "controls", "targets", "focus", "pathways", "reconstruction"),
    *("recovered", "shift", "cells", "scores", "diseases", "training", "provenance"),
]


class Tags(HTMLParser):
    """Collects links and ids, and whether tags are closed."""

    def __init__(self):
        super().__init__()
        self.links, self.ids, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[key] for key in ("href", "xlink:href", "src") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in {"meta", "img", "br"}:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(concept_run) -> str:
    return write_report(concept_run.path).read_text()


@pytest.fixture(scope="module")
def tags(page) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def test_a_whole_run_has_every_section(page):
    assert re.findall(r'<section id="([a-z-]+)"', page) == ["summary", *EVERY]


def test_the_only_ways_out_of_the_page_are_to_the_atlas_and_to_files_of_the_run(concept_run, tags):
    ways = {link for link in tags.links if not link.startswith("#")}
    assert "explain/atlas/index.html" in ways
    assert ways - set(Run.open(concept_run.path).manifest["files"]) == {"run.json"}


def test_every_tag_is_closed_and_every_id_is_used_once(tags):
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))


def test_the_same_run_gives_the_same_bytes(concept_run, page):
    assert write_report(concept_run.path).read_text() == page


def test_no_number_and_no_name_is_lost_on_the_way(page):
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.split("<body>")[1]))
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)


def test_unknown_patients_are_said_to_be_unknown(concept_runs, bare_concept_run):
    concept_runs.write_cohort(bare_concept_run, has_patients=False)
    text = html.unescape(write_report(bare_concept_run.path).read_text())
    assert "leakage cannot be excluded" in text
    assert "Whether a patient does cannot be checked" in text
    assert "over patients" not in text


@pytest.mark.parametrize("kind", ["concepts", "concepts.compare", "concepts.subtype"])
def test_a_run_that_holds_nothing_yet_has_a_page(concept_runs, tmp_path, kind):
    run = concept_runs.begun(tmp_path / "empty", kind)
    assert [section.name for section in make_sections(run)] == ["asked", "provenance"]
    assert "This Run is not finished" in write_report(run.path).read_text()


@pytest.mark.parametrize("maker", [*SECTIONS["concepts"], *SECTIONS["concepts.compare"]])
def test_a_section_of_an_empty_run_is_left_out(bare_concept_run, maker):
    section = maker(bare_concept_run)
    assert section is None or section.name in {"asked", "provenance"}


def test_a_comparison_shows_cohorts_and_dictionaries(concept_runs, tmp_path):
    run = concept_runs.compared_run(tmp_path / "compared")
    text = html.unescape(write_report(run.path).read_text())
    assert [one.name for one in make_sections(run)] == ["asked", "cohorts", "dictionaries", "provenance"]
    assert "North and south: the strengths of the latents correlate at 0.70 only" in text
    assert "North and east: too few latents are strong in both." in text


def test_patients_that_could_not_be_classified_say_why(concept_runs, tmp_path):
    run = concept_runs.subtype_run(tmp_path / "few", note="patients were not classified: too few")
    assert "Patients were not classified: too few." in write_report(run.path).read_text()


def test_names_are_text_and_never_markup(bare_concept_run):
    card = {"latent": 5, "name": "<script>alert(1)</script>", "is_draft": False}
    bare_concept_run.write_json("explain/cards.json", {"cards": [card]})
    columns = {
        "latent": [5],
        "is_concept": [True],
        "best_target": ["class=<b>"],
        "auroc": [0.9],
        "frequency": [0.5],
    }
    bare_concept_run.write_table("concepts.csv", columns)
    page = write_report(bare_concept_run.path).read_text()
    assert page.count("<script") == 1
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page


def test_no_kind_of_page_names_a_section_twice():
    for makers in SECTIONS.values():
        assert len(makers) == len(set(makers))
