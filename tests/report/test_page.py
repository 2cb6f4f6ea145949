"""The page as a whole: self-contained, reproducible, escaped, honest about what it lacks."""

import base64
import hashlib
import html
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html import escape
from html.parser import HTMLParser

import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import AlteredFileError, ArtifactError
from trilineage.core.records import Score
from trilineage.report.page import SECTIONS, write_report
from trilineage.report.rendering import DISCLAIMER

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Outline(HTMLParser):
    """Collects tags, ids and links, and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.ids, self.links, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[key] for key in ("href", "xlink:href", "src") if key in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


class NoOptions(Settings):
    """A configuration without options."""


@pytest.fixture(scope="module")
def run(make_run) -> Run:
    return make_run("whole")


@pytest.fixture(scope="module")
def page(run) -> str:
    return write_report(run.path).read_text()


@pytest.fixture(scope="module")
def figures(run, page) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.figures_dir.iterdir()}


@pytest.fixture(scope="module")
def written_again(run, figures) -> list[str]:
    """Write the page once more, in a process of its own; return what it imported of what it does not need."""
    code = (
        "import sys; from trilineage.report.page import write_report; write_report(sys.argv[1]);"
        "print(*{'torch', 'anndata', 'pandas', 'trilineage.data'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=True)
    return found.stdout.split()


@pytest.fixture(scope="module")
def outline(page) -> Outline:
    parser = Outline()
    parser.feed(page)
    return parser


def test_the_page_loads_nothing_from_anywhere(page, outline):
    assert not any(":" in link for link in outline.links)
    assert not {"link", "iframe", "img"} & {tag for tag, _ in outline.tags}
    assert [attributes for tag, attributes in outline.tags if tag == "script"] == [{}]
    assert "url(http" not in page
    assert "@import" not in page


def test_the_browser_is_told_to_load_nothing_and_run_one_script(page, outline):
    policies = [a["content"] for tag, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy"]
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policies == [f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; {own}"]


def test_every_tag_is_closed_and_every_id_is_used_once(outline):
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))


def test_every_entry_of_the_contents_leads_to_a_section(outline):
    inside = [link[1:] for link in outline.links if link.startswith("#")]
    assert set(inside) <= set(outline.ids)


def test_a_complete_run_has_every_section(outline):
    expected = {
        "asked",
        "cohort",
        "split",
        "scores",
        "predictions",
        "transfer",
        "genes",
        "training",
        "provenance",
    }
    assert expected <= set(outline.ids)
    assert len(expected) == len(SECTIONS["rna"])


def test_research_use_only_stands_first_and_last(page):
    body = page[page.index("<body>") :]
    assert body.index(DISCLAIMER) < 200
    assert body.rindex(DISCLAIMER) > body.index("<footer")


def test_the_same_run_gives_the_same_bytes(run, page, figures, written_again):
    assert (run.path / "report.html").read_text() == page
    assert {path.name: path.read_bytes() for path in run.figures_dir.iterdir()} == figures


def test_page_and_figures_are_entered_in_the_run_with_their_digests(run, page):
    Run.open(run.path).verify()
    entered = set(Run.open(run.path).manifest["files"])
    assert {
        "report.html",
        "figures/scores.svg",
        "figures/confusion.svg",
        "figures/calibration.svg",
    } <= entered


def test_every_figure_is_valid_xml_with_a_title_and_a_description(run, page):
    for path in run.figures_dir.glob("*.svg"):
        root = ElementTree.fromstring(path.read_text())
        texts = {child.tag.rpartition("}")[2]: child.text for child in root if child.text}
        assert len(texts["title"]) > 5
        assert len(texts["desc"]) > 20


def test_figures_take_their_ink_from_the_page_and_carry_no_date(run, page):
    for path in run.figures_dir.glob("*.svg"):
        text = path.read_text()
        assert "currentColor" in text
        assert "#010203" not in text
        assert "dc:date" not in text


EVIL = ("<script>alert(1)</script>", 'a"><img src=x onerror=alert(1)>', "$\\frac{", "{{ 7*7 }}", "&lt;b&gt;")


@pytest.fixture(scope="module")
def evil_page(make_run) -> str:
    return write_report(make_run("evil <b>", classes=EVIL, n_patients=2).path).read_text()


def test_class_names_never_become_tags(evil_page):
    parser = Outline()
    parser.feed(evil_page)
    assert not {"img", "b"} & {tag for tag, _ in parser.tags}
    assert evil_page.count("<script") == 1


@pytest.mark.parametrize("evil", EVIL)
def test_a_class_name_is_shown_as_text_whatever_it_holds(evil_page, evil):
    assert evil_page.count(escape(evil)) >= 3 or html.unescape(evil_page).count(evil) >= 6


def test_an_empty_run_still_has_a_page(bare_run):
    page = write_report(bare_run.path).read_text()
    assert "holds no score" in page
    assert "This Run is not finished" in page
    assert 'id="scores"' not in page


def test_a_study_shows_its_variants_and_no_predictions(tmp_path):
    run = Run.create(tmp_path / "study", kind="rna.study", config=NoOptions(), seed=7)
    names = ("n_latent=8", "n_latent=16")
    run.add_scores([Score("accuracy", 0.8, 0.7, 0.9, name, "patient", n_patients=17) for name in names])
    run.write_table("variants.csv", {"variant": names, "n_latent": [8, 16]})
    page = write_report(run.path).read_text()
    assert "Of 2 variants, n_latent=8 scores highest on 17 held-out patients" in page
    assert 'id="study"' in page
    assert 'id="predictions"' not in page


def test_an_altered_run_is_refused(bare_run):
    bare_run.add_scores([Score("accuracy", 0.8, 0.7, 0.9)])
    (bare_run.path / "scores.json").write_text("[]")
    with pytest.raises(AlteredFileError):
        write_report(bare_run.path)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ArtifactError):
        write_report(tmp_path)


def test_the_report_is_written_without_torch_or_anndata(written_again):
    assert written_again == []
