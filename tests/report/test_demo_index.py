"""The page of a demo shows every claim with its verdict, every lineage, and a way to every file and page it names."""

import json
import re
import shutil

import pytest

from trilineage.report.demo_index import PAGE, example_of, index_sections, write_index

CLAIMS = [
    {
        "name": "a",
        "text": "First claim",
        "found": "0.9",
        "truth": "0.1",
        "holds": True,
        "sources": ["rna/run.json"],
    },
    {"name": "b", "text": "Second claim", "found": "0.2", "truth": "0.5", "holds": False, "sources": []},
    {"name": "c", "text": "Third claim", "found": "", "truth": "", "holds": None, "sources": []},
]
FACTS = {
    "title": "Three lineages",
    "summary": "A small cohort.",
    "about_truth": "The truth is known.",
    "created": "2026-03-01T08:05:59+00:00",
    "trilineage": "0.1.0",
    "scale": "small",
    "seed": 0,
    "lineages": {"rna": "gene expression", "images": "cell images", "concepts": "concepts of cells"},
    "commands": [["Expression:", "trilineage rna fit --data FILE.h5ad"]],
    "steps": [{"step": "rna.fit", "title": "Learn", "seconds": 12.4}],
    "cohort": [["Patients", "87"]],
    "new": [
        {
            "patient": "N1",
            "diagnosis": "MDS",
            "decision": "CML",
            "set": "leukemia",
            "percentiles": {"rna": 96.0},
        }
    ],
}
ROW = {"decision": "AML", "agreement": "agree", "probability": 0.8, "divergence": 0.1, "label": "AML"}


@pytest.fixture(scope="module")
def folder(make_run, image_run, concept_run, case_runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    for name, run in (("rna", make_run()), ("images", image_run), ("concepts", concept_run)):
        shutil.copytree(run.path, out / name)
    case = case_runs.made_up_case()
    cases = case_runs.write_cases(out / "cases", [case])
    listed = {**ROW, **{key: case[key] for key in ("patient", "name", "lineages", "is_right")}}
    cases.write_json("cases.json", [listed])
    (out / "demo.json").write_text(json.dumps(FACTS))
    (out / "claims.json").write_text(json.dumps([{"note": "", **claim} for claim in CLAIMS]))
    return out


@pytest.fixture(scope="module")
def page(folder):
    return write_index(folder).read_text()


def test_every_claim_stands_there_with_its_verdict_and_failures_are_said_aloud(page):
    for words in ("First claim", "does not hold", "could not be checked", "1 claim below did not hold"):
        assert words in page
    assert "1 of 2 claims that could be checked hold" in page


def test_every_lineage_the_patient_the_unknown_and_the_commands_have_a_section(folder):
    sections = index_sections(folder, FACTS, [{"note": "", **claim} for claim in CLAIMS])
    names = [section.name for section in sections]
    assert names == ["claims", "rna", "images", "concepts", "patient", "patients", "new", "yours", "steps"]


def test_ids_are_unique_and_labels_of_drawings_point_at_them(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for named in re.findall(r'aria-labelledby="([^"]+)"', page):
        assert set(named.split()) <= set(ids)


def test_files_that_the_page_links_to_lie_below_it(page, folder):
    links = {link for link in re.findall(r'href="([^"#]+)"', page) if not link.startswith("data:")}
    written_later = {"cases/cases/001-P1.html", "cases/report.html", "rna/report.html", "images/report.html"}
    written_later |= {"concepts/report.html", "new/cases/patients.csv", "new/rna_unlike_training.csv"}
    missing = {link for link in links - written_later if not (folder / link).exists()}
    of_case = {link for link in missing if link.split("/")[0] in ("rna", "images", "concepts", "cases")}
    assert missing - of_case == set()
    assert all(".." not in link for link in links)


def test_a_demo_without_cases_says_that_nobody_has_both_kinds(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "real", ignore=shutil.ignore_patterns("cases"))
    (tmp_path / "real" / "demo.json").write_text(json.dumps({**FACTS, "new": []}))
    text = write_index(tmp_path / "real").read_text()
    assert "there are no cases to show" in text
    assert 'id="new"' not in text
    assert (tmp_path / "real" / PAGE).is_file()


def test_the_example_has_every_kind_of_data_was_right_and_was_disputed():
    rows = [
        {"lineages": ["rna"], "is_right": True, "divergence": 0.9},
        {"lineages": ["rna", "images"], "is_right": False, "divergence": 0.8},
        {"lineages": ["rna", "images"], "is_right": True, "divergence": 0.2},
        {"lineages": ["rna", "images"], "is_right": True, "divergence": 0.3},
    ]
    assert example_of(rows) is rows[3]


def test_the_same_demo_gives_the_same_bytes(folder, page):
    assert write_index(folder).read_text() == page
