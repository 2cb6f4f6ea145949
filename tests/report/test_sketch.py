"""Drawings by hand are sound SVG, put numbers where they belong, and carry their words."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.report.drawing import INK
from trilineage.report.sketch import Scale, Sketch


def parsed(sketch):
    figure = sketch.figure("x", title="A & B", description="<1>", caption="c", sources=("a.csv",))
    return figure, ElementTree.fromstring(figure.svg)


def test_a_drawing_is_sound_and_named_for_those_who_cannot_see_it():
    sketch = Sketch(100, 50)
    sketch.text(1, 2, "p < 0.05 & more")
    figure, root = parsed(sketch)
    names = root.attrib["aria-labelledby"].split()
    texts = {node.attrib.get("id"): node.text for node in root.iter()}
    assert [texts[name] for name in names] == ["A & B", "<1>"]
    assert "p < 0.05 & more" in [node.text for node in root.iter()]
    assert figure.sources == ("a.csv",)


def test_a_bar_may_be_given_from_either_side():
    sketch = Sketch(100, 50)
    sketch.bar((60, 20, 40, 10))
    _, root = parsed(sketch)
    (bar,) = [node for node in root.iter() if node.tag.endswith("rect")]
    assert [float(bar.attrib[key]) for key in ("x", "y", "width", "height")] == [40, 10, 20, 10]


@pytest.mark.parametrize("shape", ["o", "s", "D"])
def test_the_ink_of_the_page_is_used_and_colours_stay(shape):
    sketch = Sketch(100, 50)
    sketch.mark(10, 10, shape, INK)
    sketch.mark(20, 10, shape, "#d55e00")
    svg = parsed(sketch)[0].svg
    assert INK not in svg
    assert svg.count('fill="#d55e00"') == 1


def test_an_axis_has_a_line_and_a_number_for_each_tick():
    sketch = Sketch(100, 50)
    sketch.axis(Scale(0, 1, 10, 90), 5, 40, (0, 0.5, 1), "Probability")
    _, root = parsed(sketch)
    assert [node.text for node in root.iter() if node.tag.endswith("text")] == [
        "0",
        "0.5",
        "1",
        "Probability",
    ]


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_ticks_are_inside_and_not_too_many(low, width):
    scale = Scale(low, low + width, 0, 100)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 12
    assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)
    assert scale(scale.low) == 0
