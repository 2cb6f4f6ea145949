"""The worst mistakes as pictures, each with what it is, what it was called, and how sure the model was."""

from trilineage.report.blocks import Gallery, Text
from trilineage.report.sections import mistakes
from trilineage.report.sections.mistakes import mistakes_section

ROW = {
    "sample": "images/P1/cell.jpg",
    "patient": "P1",
    "site": "site-2",
    "label": "APML",
    "decision": "normal",
    "cost": 30.0,
    "height": 3.0,
    "p_label": 0.1,
    "p_decision": 0.8,
    "picture": "figures/mistakes/00.png",
}


def gallery(run, image_runs, **changes):
    run.write_json("cohort.json", {"has_patients": True})
    run.write_bytes(ROW["picture"], image_runs.png())
    run.write_json("mistakes.json", [{**ROW, **changes}])
    return mistakes_section(run).blocks[-1]


def test_a_picture_carries_what_is_known_of_it(bare_image_run, image_runs):
    (picture,) = gallery(bare_image_run, image_runs).pictures
    assert picture.lines == (
        "APML called normal",
        "probability 0.80, of the label 0.10",
        "patient P1; site-2; cost 30.0",
        "cell.jpg",
    )
    assert "image images/P1/cell.jpg" in picture.description


def test_without_costs_the_distance_is_given(bare_image_run, image_runs):
    (picture,) = gallery(bare_image_run, image_runs, cost=1.0, height=1.0, site=None).pictures
    assert picture.lines[2] == "patient P1; 1 level apart"


def test_unknown_patients_are_not_named(patientless_run):
    pictures = mistakes_section(patientless_run).blocks[-1].pictures
    assert not any("patient" in line for picture in pictures for line in picture.lines)


def test_no_more_pictures_than_a_page_can_hold(image_run, monkeypatch):
    monkeypatch.setattr(mistakes, "MAX_PICTURES", 2)
    found = mistakes_section(image_run).blocks[-1]
    assert isinstance(found, Gallery)
    assert len(found.pictures) == 2
    assert found.caption == "The 2 worst of the wrong decisions that the Run kept (5)."


def test_mistakes_without_pictures_are_counted(bare_image_run):
    bare_image_run.write_json("mistakes.json", [{**ROW, "picture": None}])
    assert "lists 1 mistake" in mistakes_section(bare_image_run).blocks[-1].text


def test_a_run_without_mistakes_says_so(bare_image_run):
    bare_image_run.write_json("mistakes.json", [])
    (text,) = mistakes_section(bare_image_run).blocks
    assert isinstance(text, Text)
    assert "is right" in text.text
