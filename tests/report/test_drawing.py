"""A figure is SVG text: the same each time, safe beside other figures, readable without eyes."""

import re

import matplotlib
import pytest

from trilineage.report.blocks import Figure, Fold, Section, Text
from trilineage.report.drawing import draw, standalone


def line(name: str = "line", label: str = "a label", **words) -> Figure:
    def paint(canvas):
        axes = canvas.subplots()
        axes.plot([0, 1], [0, 1])
        axes.set_title(label)

    texts = {"title": "A line", "description": "It rises.", "caption": "A line."}
    return draw(name, paint, **{**texts, **words}, height_in=2.0)


def test_the_same_drawing_is_the_same_bytes():
    assert line().svg == line().svg


def test_clip_paths_are_named_by_their_order_and_not_by_the_last_bits_of_the_layout():
    svg = line().svg
    assert 'id="line-clip0"' in svg
    assert not re.findall(r"p[0-9a-f]{10}\b", svg)


def test_the_style_of_the_reader_changes_nothing():
    before = line().svg
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert line().svg == before


def test_drawing_leaves_the_style_of_the_process_alone():
    before = dict(matplotlib.rcParams)
    line()
    assert dict(matplotlib.rcParams) == before


def test_two_figures_share_no_id():
    first, second = (set(re.findall(r'\bid="([^"]+)"', line(name).svg)) for name in ("first", "second"))
    assert first
    assert not first & second


def test_every_reference_leads_to_an_id_of_the_same_figure():
    svg = line().svg
    wanted = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert wanted <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_title_and_description_are_named_for_screen_readers_and_escaped():
    svg = line(title="A < B", description="A & B").svg
    assert 'role="img" aria-labelledby="line-title line-desc"' in svg
    assert '<title id="line-title">A &lt; B</title><desc id="line-desc">A &amp; B</desc>' in svg


@pytest.mark.parametrize("label", ["<b>x</b>", "a $\\frac{$ b", "白血病"])
def test_labels_are_text_not_markup_nor_mathematics(label):
    svg = line(label=label).svg
    assert "<b>" not in svg
    assert label.replace("<", "&lt;").replace(">", "&gt;") in svg


def test_a_standalone_figure_is_a_file_of_its_own():
    assert standalone(line()).startswith('<?xml version="1.0" encoding="utf-8"?>\n<svg')


def test_a_section_finds_its_figures_also_inside_folds():
    inner = line("inner")
    section = Section("name", "Title", (Text("words"), Fold("more", (Fold("still more", (inner,)),))))
    assert section.figures() == [inner]
