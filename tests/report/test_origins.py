"""Where numbers come from: the files that were read, and nothing that was only asked for words."""

import pytest

from trilineage.report.blocks import Fold, Section, Table, Text
from trilineage.report.origins import linked, made_with_sources, noted, with_sources

TABLE = Table("Patients.", ("Class", "Patients"), (("AML", "12"),))


def read(*names):
    return lambda run: [run.read_bytes(name) for name in names]


@pytest.fixture
def run(bare_run):
    for name in ("cohort.json", "scores.json", "nodes.json", "figures/00.png"):
        bare_run.write_text(name, "{}")
    return bare_run


def test_the_files_that_were_read_are_noted_once_and_in_order(run):
    made, names = noted(read("scores.json", "nodes.json", "scores.json"), run)
    assert (len(made), names) == (3, ("scores.json", "nodes.json"))


def test_the_words_for_samples_are_a_source_only_where_nothing_else_was_read(run):
    assert noted(read("cohort.json", "scores.json"), run)[1] == ("scores.json",)
    assert noted(read("cohort.json"), run)[1] == ("cohort.json",)


def test_pictures_are_shown_and_not_named(run):
    assert noted(read("figures/00.png", "nodes.json"), run)[1] == ("nodes.json",)


def test_a_table_in_a_fold_links_to_the_files_of_its_section():
    section = with_sources(Section("a", "A", (Fold("More", (TABLE,)),)), ["scores.json"])
    (fold,) = section.blocks
    assert isinstance(fold, Fold)
    assert fold.blocks[0].sources == ("scores.json",)
    assert section.sources == ()


def test_a_table_that_knows_its_file_keeps_it():
    (table,) = linked(linked([TABLE], "nodes.json"), "scores.json")
    assert table.sources == ("nodes.json",)


def test_a_section_of_sentences_links_at_its_end():
    assert with_sources(Section("a", "A", (Text("12 patients."),)), ["cohort.json"]).sources == (
        "cohort.json",
    )


def test_what_was_asked_also_comes_from_the_manifest(run):
    section = made_with_sources(lambda run: Section("asked", "A", (TABLE,)), run)
    assert section.blocks[0].sources == ("run.json",)


def test_a_section_with_nothing_to_say_stays_none(run):
    assert made_with_sources(lambda run: None, run) is None
