"""Cells of a matrix: counts where there are any, blue where a decision is right."""

import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure

from trilineage.report.drawing import MODEL, SECOND
from trilineage.report.matrix import paint_counts


def painted(is_right=None):
    axes = Figure().subplots()
    more = () if is_right is None else (is_right,)
    paint_counts(axes, np.array([[3.0, 1.0], [0.0, 0.0]]), ["x", "y"], ["x", "elsewhere"], *more)
    return axes


def test_only_counts_above_zero_are_written():
    assert [text.get_text() for text in painted().texts] == ["3", "1"]


def test_shades_are_shares_of_the_row_and_colours_say_what_is_right():
    right, wrong = painted().patches[:2]
    assert matplotlib.colors.to_hex(right.get_facecolor()) == MODEL
    assert matplotlib.colors.to_hex(wrong.get_facecolor()) == SECOND
    assert right.get_alpha() == 3 * wrong.get_alpha()


def test_what_is_right_can_be_said_otherwise():
    axes = painted(lambda label, decision: decision == "elsewhere")
    assert matplotlib.colors.to_hex(axes.patches[1].get_facecolor()) == MODEL
