"""The pages of image Runs: whole, self-contained, the same each time, and without what they do not know."""

import html
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from trilineage.report.page import SECTIONS, make_sections, write_report

EVERY = [
    *("asked", "cohort", "split", "scores", "tree", "confusion", "patients"),
    *("reliability", "sites", "mistakes", "saliency", "trust", "training", "provenance"),
]


class Sources(HTMLParser):
    """Collects what a page loads or links to, and whether tags are closed."""

    def __init__(self):
        super().__init__()
        self.images, self.links, self.ids, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.images += [found] if tag == "img" else []
        self.links += [found[key] for key in ("href", "xlink:href") if key in found]
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
def page(image_run) -> str:
    return write_report(image_run.path).read_text()


@pytest.fixture(scope="module")
def sources(page) -> Sources:
    parser = Sources()
    parser.feed(page)
    return parser


def test_a_whole_run_has_every_section(page):
    assert re.findall(r'<section id="([a-z-]+)"', page) == ["summary", *EVERY]


def test_pictures_are_inside_the_page_and_described(sources):
    assert len(sources.images) == 7
    assert all(image["src"].startswith("data:image/png;base64,") for image in sources.images)
    assert all(image["alt"] for image in sources.images)
    assert not any(":" in link for link in sources.links)


def test_every_tag_is_closed_and_every_id_is_used_once(sources):
    assert sources.open == []
    assert len(sources.ids) == len(set(sources.ids))


def test_the_same_run_gives_the_same_bytes(image_run, page):
    assert write_report(image_run.path).read_text() == page


def test_pictures_of_the_run_are_among_the_digests(page):
    assert "figures/mistakes/00.png" in page
    assert "figures/tree.svg" not in page


def test_no_number_and_no_name_is_lost_on_the_way(page):
    assert not re.search(
        r"\bnan\b|\bNone\b|inf\b", html.unescape(re.sub(r"<[^>]+>", " ", page.split("<body>")[1]))
    )


def test_unknown_patients_are_said_to_be_unknown(patientless_run):
    text = html.unescape(write_report(patientless_run.path).read_text())
    assert "leakage cannot be excluded" in text
    assert "Whether a patient does cannot be checked" in text
    assert "intervals over patients" not in text


def test_a_comparison_names_its_variants_by_their_values(image_runs, tmp_path):
    text = html.unescape(write_report(image_runs.compared_run(tmp_path / "compared").path).read_text())
    assert "Of 2 variants, multilabel scores highest on 42 held-out patients" in text
    assert "The paired difference from the next best, flat, is +" in text
    assert "<dt>Head</dt>" not in text


@pytest.mark.parametrize("kind", ["images", "images.compare"])
def test_a_run_that_holds_nothing_yet_has_a_page(image_runs, tmp_path, kind):
    run = image_runs.begun(tmp_path / "empty", kind)
    assert [section.name for section in make_sections(run)] == ["asked", "provenance"]
    assert "This Run is not finished" in write_report(run.path).read_text()


@pytest.mark.parametrize("maker", SECTIONS["images"])
def test_a_section_of_an_empty_run_is_left_out_or_short(bare_image_run, maker):
    section = maker(bare_image_run)
    assert section is None or section.name in {"asked", "provenance"}


def test_names_are_text_and_never_markup(image_runs, tmp_path):
    run = image_runs.begun(tmp_path / "named", "images")
    picture = {"picture": "explain/panel_00.png", "caption": "<script>alert(1)</script>"}
    run.write_bytes(picture["picture"], image_runs.png())
    run.write_json("explain/panels.json", [picture])
    page = write_report(run.path).read_text()
    assert page.count("<script") == 1
    assert "&lt;script&gt;" in page


def test_a_page_about_images_needs_no_torch():
    code = (
        "import sys, trilineage.report.page; print({'torch', 'timm', 'trilineage.data'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
