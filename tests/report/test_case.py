"""Pages of cases: whole, escaped, self-contained, linked to their files, and open about what is missing."""

import re

import pytest

from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.report.case import case_headline, read_case, write_case_pages

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def page(tmp_path, case_runs):
    """Write the page of one case and return its text."""

    def make(case):
        (path,) = write_case_pages(case_runs.write_cases(tmp_path / "cases", [case]))
        return path.read_text()

    return make


def headings(text):
    return re.findall(r'<h2><span class="number">\d</span>([^<]+)</h2>', text)


def test_a_page_has_every_kind_of_evidence_in_order(page, case_runs):
    assert headings(page(case_runs.made_up_case())) == [
        "The decision along the tree",
        "What each lineage says",
        "Cells that tell",
        "Genes",
        "Concepts",
        "Seen before?",
        "Where this comes from",
    ]


def test_the_headline_says_decision_set_label_and_what_is_new(case_runs):
    told = " ".join(case_headline(case_runs.made_up_case()))
    assert told.startswith("AML, probability 0.80. Expression and concepts say AML, images say ALL")
    assert "one of ALL, AML, APML" in told
    assert "The table of patients says AML: the decision is right." in told
    assert told.endswith("Unlike what was trained on: Images.")


def test_a_label_outside_the_tree_is_called_so(case_runs):
    case = case_runs.made_up_case() | {"label": "MDS", "node": "", "is_known": False, "is_right": False}
    assert "MDS: a diagnosis that the tree does not know" in " ".join(case_headline(case))


@pytest.mark.parametrize("lineage", ["rna", "images", "concepts"])
def test_a_missing_kind_of_data_is_said_and_its_section_left_out(page, lineage, case_runs):
    text = page(case_runs.without(case_runs.made_up_case(), lineage))
    title = {"rna": "Genes", "images": "Cells that tell", "concepts": "Concepts"}[lineage]
    assert title not in headings(text)
    assert "this patient has no data of this kind" in text


def test_evidence_that_nobody_asked_for_is_named(page, case_runs):
    case = case_runs.made_up_case()
    case["evidence"]["rna"] = {"note": "its Run was not explained: trilineage rna explain RUN"}
    assert "Not shown: its Run was not explained: trilineage rna explain RUN." in page(case)


def test_names_of_patients_and_files_are_escaped(page, case_runs):
    case = case_runs.made_up_case(patient=HOSTILE)
    case["evidence"]["images"]["cells"][0]["image"] = HOSTILE
    case["evidence"]["rna"]["for"][0]["symbol"] = HOSTILE
    assert HOSTILE not in page(case)


def test_a_page_loads_nothing_and_links_only_to_files(page, case_runs):
    text = page(case_runs.made_up_case())
    assert not re.findall(r'(?:src|href)="(?!data:|#|\.\./)(?!001-P1\.json)[^"]*"', text)
    for file in ("explain/patient_genes.csv", "unlike_training.csv", "run.json"):
        assert f'href="../../rna/{file}"' in text


def test_every_picture_has_a_description_and_all_are_there(page, case_runs):
    text = page(case_runs.made_up_case())
    pictures = re.findall(r'<img src="data:image/png;base64,[^"]+"[^>]* alt="([^"]+)"', text)
    assert len(pictures) == 7
    assert pictures[0].startswith("Cell smears/0.png and its map. For ALL")


def test_patients_follow_each_other(tmp_path, case_runs):
    found = [case_runs.made_up_case(f"P{n}", f"00{n}-P{n}") for n in (1, 2, 3)]
    texts = [path.read_text() for path in write_case_pages(case_runs.write_cases(tmp_path / "cases", found))]
    assert 'rel="prev"' not in texts[0]
    assert '<a href="001-P1.html" rel="prev">' in texts[1]
    assert '<a href="003-P3.html" rel="next">' in texts[1]
    assert 'rel="next"' not in texts[2]


def test_the_same_case_gives_the_same_bytes(tmp_path, case_runs):
    run = case_runs.write_cases(tmp_path / "cases", [case_runs.made_up_case()])
    (path,) = write_case_pages(run)
    before = path.read_bytes()
    assert write_case_pages(run.path)[0].read_bytes() == before


def test_a_run_that_was_not_explained_is_refused(tmp_path, case_runs):
    with pytest.raises(ArtifactError, match="no cases to show"):
        write_case_pages(case_runs.write_cases(tmp_path / "cases", []))


@pytest.mark.parametrize(
    ("change", "error"), [({"kind": "other"}, ArtifactError), ({"version": 99}, NewerVersionError)]
)
def test_other_files_are_refused(tmp_path, change, error, case_runs):
    run = case_runs.write_cases(tmp_path / "cases", [case_runs.made_up_case() | change])
    with pytest.raises(error):
        read_case(run, "001-P1")


def test_a_damaged_case_is_called_damaged(tmp_path, case_runs):
    case = case_runs.made_up_case()
    del case["decision"]
    with pytest.raises(ArtifactError, match="damaged"):
        write_case_pages(case_runs.write_cases(tmp_path / "cases", [case]))


def test_the_weight_of_each_lineage_is_said(page, case_runs):
    row = (
        r'<th scope="row">Expression</th>\s*<td>AML</td>\s*<td class="n">0.79</td>\s*<td class="n">1.40</td>'
    )
    assert re.search(row, page(case_runs.made_up_case()))


def test_few_validation_patients_can_call_nobody_unlike_training(page, case_runs):
    case = case_runs.made_up_case()
    for one in case["unseen"]:
        one |= {"n_reference": 6, "is_far": False}
    assert "With fewer than 19 validation patients nobody can be called unlike training." in page(case)
