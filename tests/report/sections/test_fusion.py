"""The lineages side by side: weights, scores, sets and the list of patients."""

from trilineage.report.blocks import Figure, Notice, Table, Text
from trilineage.report.page import write_report
from trilineage.report.sections.fusion import (
    case_list_section,
    fusion_headline,
    fusion_scores_section,
    fusion_section,
    gain_of,
)


def tables(section):
    return [block for block in section.blocks if isinstance(block, Table)]


def notices(section, level="caution"):
    return [block.text for block in section.blocks if isinstance(block, Notice) and block.level == level]


def test_weights_are_drawn_and_listed_with_intervals_and_the_best_alone_is_set_apart(tmp_path, fusion_runs):
    section = fusion_section(fusion_runs.write_fusion(tmp_path / "run"))
    (figure,) = (block for block in section.blocks if isinstance(block, Figure))
    assert "rna 1.40 (0.90–1.90); images 0.80 (0.30–1.20)" in figure.description
    (table,) = tables(section)
    assert table.rows[0] == ("rna", "rna-of-blood", ("1.40", "0.90–1.90"), "0.41", "20", "24")
    assert table.strong_rows == {0}
    assert "21 validation patients" in section.blocks[0].text


def test_what_was_left_out_is_said(tmp_path, fusion_runs):
    run = fusion_runs.write_fusion(
        tmp_path / "run", notes=["no validation patient of rna: its weight is a guess"]
    )
    assert notices(fusion_section(run)) == ["No validation patient of rna: its weight is a guess."]


def test_scores_of_every_population_stand_beside_differences_and_sets(tmp_path, fusion_runs):
    section = fusion_scores_section(fusion_runs.write_fusion(tmp_path / "run"))
    captions = [table.caption for table in tables(section)]
    assert any("24 patients" in caption for caption in captions)
    assert any("20 patients, patients with every lineage" in caption for caption in captions)
    sets = next(table for table in tables(section) if table.columns[0] == "Sets")
    assert sets.rows[0][1][0] == "0.917"
    assert "A shift breaks it." in notices(section, "note")


def test_without_sets_nothing_is_said_of_them(tmp_path, fusion_runs):
    section = fusion_scores_section(fusion_runs.write_fusion(tmp_path / "run", conformal=None))
    assert all(table.columns[0] != "Sets" for table in tables(section))


def test_patients_link_to_their_pages_once_there_are_any(tmp_path, fusion_runs):
    run = fusion_runs.write_fusion(tmp_path / "run")
    (table,) = tables(case_list_section(run))
    assert table.rows[0][0] == "P1"
    run.write_text("cases/001-P1.html", "page")
    linked = tables(case_list_section(run))[0].rows[0][0]
    assert (linked.text, linked.address) == ("P1", "cases/001-P1.html")


def test_wrong_decisions_are_set_apart_and_where_lineages_part_is_named(tmp_path, fusion_runs):
    section = case_list_section(fusion_runs.write_fusion(tmp_path / "run"))
    (table,) = tables(section)
    assert table.strong_rows == {1, 2}
    assert table.rows[1][-1] == "part below acute"
    assert section.blocks[0] == Text("2 patients of 3 are known to several lineages; they part on 1 of them.")


def test_diagnoses_that_nobody_was_taught_are_pointed_out(tmp_path, fusion_runs):
    said = notices(case_list_section(fusion_runs.write_fusion(tmp_path / "run")), "note")[1:]
    assert said == ["1 patient with a diagnosis that no lineage was taught (MDS) counts in no score."]
    several = [fusion_runs.case(number, label="MPN", is_known=False, is_right=False) for number in (4, 5)]
    run = fusion_runs.write_fusion(tmp_path / "more", cases=[*fusion_runs.CASES, *several])
    said = notices(case_list_section(run), "note")[1:]
    assert said == ["3 patients with a diagnosis that no lineage was taught (MDS and MPN) count in no score."]


def test_the_headline_says_what_all_reach_and_what_that_is_over_the_best_alone(tmp_path, fusion_runs):
    reached, over, sets = fusion_headline(fusion_runs.write_fusion(tmp_path / "run"))
    assert reached == (
        "On 24 held-out patients the lineages together reach a balanced accuracy of 0.84 (95 % interval 0.74–0.94)."
    )
    assert over.startswith("Over rna alone, the best lineage on validation patients, the difference is +0.14")
    assert over.endswith("on the 20 patients with every lineage: a clear difference.")
    assert sets == "Sets that promise to hold the truth of 90 % of new patients hold that of 91.7 %."


def test_a_gain_whose_interval_holds_zero_is_not_called_one(tmp_path, fusion_runs):
    run = fusion_runs.write_fusion(tmp_path / "run", comparisons=[fusion_runs.gain("rna", 0.05, low=-0.03)])
    assert fusion_headline(run)[1].endswith(": no clear difference.")


def test_the_gain_is_of_the_lineage_that_validation_chose(fusion_runs):
    rows = [
        fusion_runs.gain("images", 0.3),
        fusion_runs.gain("rna", 0.1, population="with rna"),
        fusion_runs.gain("rna", 0.2),
    ]
    assert gain_of(rows, "rna").difference == 0.2
    assert gain_of(rows[:2], "rna").difference == 0.1
    assert gain_of(rows[:1], "rna") is None


def test_the_page_has_all_of_it(tmp_path, fusion_runs):
    text = write_report(fusion_runs.write_fusion(tmp_path / "run").path).read_text()
    for words in ("One patient across the lineages", "What each lineage weighs", "Every held-out patient"):
        assert words in text


def test_other_runs_have_none_of_it(bare_run):
    sections = (fusion_section, fusion_scores_section, case_list_section)
    assert [make(bare_run) for make in sections] == [None, None, None]
    assert fusion_headline(bare_run) == []
