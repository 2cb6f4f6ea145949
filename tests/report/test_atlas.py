"""The atlas: whole, safe with hostile names, small, the same each time, and clear about what it lacks."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import AlteredFileError, ArtifactError, NewerVersionError
from trilineage.explain.concepts.cards import (
    Association,
    CardDeck,
    CardReference,
    ConceptCard,
    ConceptTest,
    Pictures,
)
from trilineage.report.atlas import ATLAS_NAME, CARDS_NAME, read_cards, write_atlas

HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028'\""
SHEETS = (("explain/sprites/cells-000.jpg", "explain/sprites/heat-000.png"),)


class Options(Settings):
    """Stands for the configuration of the recipe."""


def card(latent: int, **changes) -> ConceptCard:
    plain = ConceptCard(
        latent=latent,
        name="purple granules, basophil",
        is_draft=True,
        reasons=("AUROC 0.93 for basophil",),
        frequency=0.031234567,
        mean_activation=0.004,
        entropy=0.3,
        relative_entropy=0.14,
        figures={"stability": 0.9, "spread": None},
        focus={"nucleus": 0.2, "nucleus_by_chance": 0.3},
        classes=(Association("basophil", 0.93, 0.001, True), Association("monocyte", 0.4, 0.9, False)),
        attributes=(Association("granule_colour=purple", 0.9, 0.002, True),),
        shares={"basophil": 0.9, "monocyte": 0.1},
        tests={"association": True, "stability": None},
        references=(
            CardReference("a.png", "p1", "basophil", 0.5, 3),
            CardReference("b.png", "", "monocyte", 0.25, -1),
        ),
        full_colour=2.5,
        sheet=0,
        row=0,
    )
    return replace(plain, **changes)


@pytest.fixture
def make_run(tmp_path):
    """Write a Run with a deck, and its pictures unless they are to be missing."""

    def make(deck: CardDeck, *, has_pictures: bool = True) -> Run:
        run = Run.create(tmp_path / "concepts", kind="concepts", config=Options(), seed=1)
        for name in SHEETS[0] if has_pictures else ():
            run.write_bytes(name, b"picture")
        run.write_json(CARDS_NAME, deck.to_dict())
        return run

    return make


def deck(*cards: ConceptCard, **changes) -> CardDeck:
    plain = CardDeck(
        cards,
        classes=("basophil", "monocyte"),
        about=(("Images", "300"),),
        tests=(
            ConceptTest("association", "Association", "q up to 0.05."),
            ConceptTest("stability", "Stability", "."),
        ),
        pictures=Pictures(8, 8, (112, 112), (4, 4), 1, SHEETS),
        n_latents=640,
    )
    return replace(plain, **changes)


def columns_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="deck">(.*?)</script>', page)[1])


class Tags(HTMLParser):
    """Collects tags and everything that a page would load."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.loads, self.ids = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.loads += [found[key] for key in ("src", "href", "srcset") if key in found]
        self.ids += [found["id"]] if "id" in found else []


def test_the_page_is_written_into_the_run_with_its_digest(make_run):
    run = make_run(deck(card(7)))
    path = write_atlas(run.path)
    assert path == run.path / ATLAS_NAME
    assert ATLAS_NAME in Run.open(run.path).manifest["files"]


def test_the_page_loads_nothing_and_runs_only_its_own_script(make_run):
    page = write_atlas(make_run(deck(card(7)))).read_text()
    assert Tags(page).loads == ["#content"]
    assert not {"link", "iframe", "img", "object"} & set(Tags(page).tags)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 2
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in script]
    assert "script-src " + " ".join(f"'sha256-{digest}'" for digest in digests) + ";" in page
    assert not any("innerHTML" in one for one in script)


def test_ids_are_used_once_and_the_script_finds_those_it_asks_for(make_run):
    page = write_atlas(make_run(deck(card(7)))).read_text()
    ids = Tags(page).ids
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'(?:getElementById|field)\("([\w-]+)"\)', page))
    assert asked <= set(ids)


def test_hostile_texts_stay_texts(make_run):
    hostile = card(
        7,
        name=HOSTILE,
        classes=(Association(HOSTILE, 0.9, 0.01, True),),
        shares={HOSTILE: 1.0},
        references=(CardReference(HOSTILE, HOSTILE, HOSTILE, 0.5, 3),),
    )
    run = make_run(
        deck(
            hostile,
            classes=(HOSTILE,),
            about=((HOSTILE, HOSTILE),),
            tests=(ConceptTest("association", HOSTILE, HOSTILE),),
        )
    )
    page = write_atlas(run).read_text()
    assert "<img" not in page
    assert page.count("</script>") == 3
    found = columns_of(page)
    assert found["names"] == found["classes"] == found["images"] == [HOSTILE]


def test_columns_hold_what_the_cards_say(make_run):
    found = columns_of(write_atlas(make_run(deck(card(7), card(9, name="", row=1)))).read_text())
    assert found["latents"] == [7, 9]
    assert found["frequency"] == [0.03123, 0.03123]
    assert found["targets"] == ["basophil", "monocyte", "granule_colour=purple"]
    assert found["classFindings"][0] == [0, 0.93, 0.001, 1, 1, 0.4, 0.9, 0]
    assert found["references"][1] == [0, 0.5, 3, 1, 0.25, -1]
    assert [found["texts"][place] for place in found["imagePatients"]] == ["p1", ""]
    assert found["outcomes"] == [[1, 1], [None, None]]
    assert found["attributes"] == ["granule_colour=purple"]
    assert found["shares"][0] == [0, 0.9, 1, 0.1]
    assert found["onSheet"] == [2]


def test_figures_that_no_card_has_are_left_out(make_run):
    found = columns_of(write_atlas(make_run(deck(card(7)))).read_text())
    assert [figure["name"] for figure in found["figures"]] == ["stability"]


def test_pictures_are_found_from_where_the_page_lies(make_run):
    run = make_run(deck(card(7)))
    page = write_atlas(run)
    (sheet,) = columns_of(page.read_text())["pictures"]["sheets"]
    assert all((page.parent / file).resolve().is_file() for file in sheet)


@pytest.mark.parametrize(
    "files",
    [
        ("explain/sprites/../../secret.jpg", SHEETS[0][1]),
        ("https://x.org/a.jpg", SHEETS[0][1]),
        ("cells-000.jpg", "x"),
    ],
)
def test_pictures_elsewhere_are_not_linked(make_run, files):
    pictures = Pictures(8, 8, (112, 112), (4, 4), 1, (files,))
    page = write_atlas(make_run(deck(card(7), pictures=pictures))).read_text()
    assert columns_of(page)["pictures"]["sheets"] == [None]


def test_missing_pictures_are_said(make_run):
    page = write_atlas(make_run(deck(card(7)), has_pictures=False)).read_text()
    assert "Pictures are missing (1 of 1 sheets)" in page


def test_a_dictionary_without_concepts_is_said(make_run):
    assert "No latent was strong enough" in write_atlas(make_run(deck())).read_text()


def test_research_use_only_stands_first_and_last(make_run):
    page = write_atlas(make_run(deck(card(7)))).read_text()
    body = page[page.index("<body") :]
    assert body.index("Research use only") < 300
    assert body.rindex("Research use only") > body.index("<footer")


def test_the_same_cards_give_the_same_bytes(make_run):
    run = make_run(deck(card(7)))
    assert write_atlas(run).read_bytes() == write_atlas(run).read_bytes()


def test_a_run_without_cards_says_what_to_do(tmp_path):
    run = Run.create(tmp_path / "bare", kind="concepts", config=Options(), seed=1)
    with pytest.raises(ArtifactError, match="concepts explain"):
        write_atlas(run)


@pytest.mark.parametrize(
    "content", [[], {"kind": "other", "cards": []}, {"kind": "trilineage concept cards"}]
)
def test_other_json_is_refused(make_run, content):
    run = make_run(deck(card(7)))
    run.write_json(CARDS_NAME, content)
    with pytest.raises(ArtifactError, match="no concept cards"):
        read_cards(run)


def test_cards_of_a_newer_version_are_refused(make_run):
    run = make_run(deck(card(7)))
    run.write_json(CARDS_NAME, {**deck(card(7)).to_dict(), "version": 99})
    with pytest.raises(NewerVersionError, match="version 99"):
        write_atlas(run)


def test_damaged_cards_are_named(make_run):
    run = make_run(deck(card(7)))
    run.write_json(CARDS_NAME, {**deck().to_dict(), "cards": [{"latent": 3}]})
    with pytest.raises(ArtifactError, match="damaged"):
        write_atlas(run)


def test_altered_cards_are_noticed(make_run):
    run = make_run(deck(card(7)))
    (run.path / CARDS_NAME).write_text("{}")
    with pytest.raises(AlteredFileError):
        write_atlas(run)
