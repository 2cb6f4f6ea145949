"""Blocks as Markdown: nothing of a text is taken for markup, and nothing of a table is lost."""

from trilineage.report.blocks import Facts, Figure, Fold, Linked, Notice, Table, Text
from trilineage.report.markdown import as_markdown


def test_a_text_is_shown_as_it_is():
    assert as_markdown(Text("immature_granulocyte <b> *")) == r"immature\_granulocyte \<b\> \*"


def test_a_notice_is_set_apart():
    assert as_markdown(Notice("Few patients.", "caution")) == "> Few patients."


def test_facts_are_a_list_and_a_nameless_one_goes_on():
    assert as_markdown(Facts((("Seed", "7"), ("", "more")))) == "- Seed: 7\n- more"


def test_a_table_keeps_its_cells_and_what_stands_under_them():
    rows = ((Linked("a|b", "x.html"), ("0.8", "0.7–0.9")),)
    assert as_markdown(Table("Scores.", ("Name", "Score"), rows)).splitlines() == [
        "Scores.",
        "",
        "| Name | Score |",
        "| --- | ---: |",
        r"| a\|b | 0.8 (0.7–0.9) |",
    ]


def test_a_figure_is_a_link_with_what_it_shows():
    figure = Figure("tree", "The tree", "AML 0.9.", "caption", "<svg/>")
    assert as_markdown(figure, "../") == "[The tree](../figures/tree.svg): AML 0.9."


def test_a_fold_has_no_markdown():
    assert as_markdown(Fold("More", ())) == ""
