"""Checklists and the model card: whole, filled from the Run, linked, and never written over once edited."""

import re
import tomllib
from importlib.resources import files
from urllib.parse import unquote

import pytest

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, UnknownOptionError
from trilineage.report.documents import TO_FILL_IN, is_as_written, write_documents
from trilineage.report.page import SECTIONS, make_sections, write_report
from trilineage.report.sections.papers import DOCUMENTS

HEADS = ("headline", "summary", "warnings")


def described(name):
    return tomllib.loads(files("trilineage.report").joinpath("papers", f"{name}.toml").read_text())


def items(name):
    return [item for part in described(name)["part"] for item in part["item"]]


def sections_text():
    return [
        path.read_text()
        for path in (files("trilineage.report") / "sections").iterdir()
        if path.name.endswith(".py")
    ]


@pytest.fixture(scope="module")
def run(make_run) -> Run:
    run = make_run("papers", n_patients=3)
    write_documents(run, list(DOCUMENTS))
    write_report(run.path)
    return run


def test_tripod_ai_has_its_27_items_and_claim_its_44():
    numbers = [re.sub(r"\D", "", item["number"]) for item in items("tripod-ai")]
    assert list(dict.fromkeys(numbers)) == [str(number) for number in range(1, 28)]
    assert [item["number"] for item in items("claim")] == [str(number) for number in range(1, 45)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_that_is_asked_for_belongs_to_a_recipe(name, repository):
    options = re.findall(
        r"^\| `([\w.]+)` \|", (repository / "docs/reference/options.md").read_text(), re.MULTILINE
    )
    known = {option.rsplit(".", n)[0] for option in options for n in range(option.count(".") + 1)}
    asked = {
        wanted for item in items(name) for wanted in item.get("from", ()) if wanted.startswith("options:")
    }
    assert asked <= {f"options:{option}" for option in known}


def test_every_section_that_is_asked_for_is_one_of_a_report():
    names = set().union(*(re.findall(r'Section\(\s*"([a-z-]+)"', text) for text in sections_text()))
    asked = {
        wanted.split(".")[0]
        for name in DOCUMENTS
        for item in items(name)
        for wanted in item.get("from", ())
        if ":" not in wanted
    }
    assert asked - set(HEADS) <= names


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file_of_the_run(name, run):
    paper = run.path / DOCUMENTS[name]
    ways = re.findall(r"(?<!\\)\]\(([^)]+)\)", paper.read_text())
    assert len(ways) > 5
    assert all((paper.parent / unquote(way)).is_file() for way in ways)


def test_scores_stand_in_the_model_card_with_their_intervals(run):
    text = (run.path / DOCUMENTS["model-card"]).read_text()
    assert re.search(r"\| model \| \d\.\d+ \(\d\.\d+–\d\.\d+\)", text)
    assert "Research use only" in text


def test_what_the_run_cannot_know_is_left_to_a_person(run):
    text = (run.path / DOCUMENTS["tripod-ai"]).read_text()
    ethics = text[text.index("### 17. Ethical approval") :][:300]
    assert f"**{TO_FILL_IN}:** Committee, number, consent." in ethics


def test_the_report_leads_to_the_papers(run):
    page = (run.path / "report.html").read_text()
    assert all(f'href="{file}"' in page for file in DOCUMENTS.values())
    Run.open(run.path).verify()


def test_a_paper_nobody_has_edited_is_written_again(run):
    before = (run.path / DOCUMENTS["claim"]).read_text()
    write_documents(run.path, ["claim"])
    assert (run.path / DOCUMENTS["claim"]).read_text() == before
    assert is_as_written(before)


def test_an_edited_paper_is_never_written_over(make_run):
    run = make_run("edited", n_patients=2, extras=False)
    paper = run.path / DOCUMENTS["model-card"]
    paper.write_text("Our own words.")
    with pytest.raises(ArtifactError, match="edited"):
        write_documents(run, ["tripod-ai", "model-card"])
    assert paper.read_text() == "Our own words."
    assert not (run.path / DOCUMENTS["tripod-ai"]).exists()


def test_an_unknown_paper_is_answered_with_the_nearest(bare_run):
    with pytest.raises(UnknownOptionError, match="tripod-ai"):
        write_documents(bare_run, ["tripod"])


def test_a_run_that_holds_nothing_still_has_every_paper(bare_run):
    paths = write_documents(bare_run, list(DOCUMENTS))
    assert all(TO_FILL_IN in path.read_text() for path in paths)
    assert len(SECTIONS["rna"]) > len(make_sections(bare_run))
