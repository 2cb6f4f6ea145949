"""What the data commands show: long lists cut short, names never read as markup."""

import pytest

from trilineage.cli.datasets import _counts, show_inspection
from trilineage.data.inspection.findings import Finding, Group, Inspection


@pytest.fixture
def inspection():
    groups = tuple(
        Group(name, n, (250, 220, 200), {"9 x 9": n}, {"[red]AML": n}) for name, n in (("A", 8), ("B", 2))
    )
    return Inspection(
        path="[bold]cells",
        n_images=10,
        labels={"[red]AML": 9, "": 1},
        n_patients=4,
        sites={"x": 10},
        parts=None,
        sizes={"9 x 9": 10},
        unreadable=(("a.png", "empty"),),
        duplicates=(),
        near_duplicates=(),
        groups=groups,
        site_shares={},
        findings=(Finding("unreadable", "problem", "1 image cannot be read", ("a[1].png: empty",)),),
    )


def test_an_inspection_is_shown_with_names_as_they_are(inspection, capsys):
    show_inspection(inspection)
    shown = capsys.readouterr().out
    for text in (
        "10 images in [bold]cells",
        "[red]AML 9, (none) 1",
        "A rgb(250, 220, 200) 8",
        "a[1].png: empty",
    ):
        assert text in shown
    assert "parts" not in shown


def test_a_set_without_findings_says_so(inspection, capsys):
    from dataclasses import replace

    show_inspection(replace(inspection, findings=()))
    assert "Nothing to mend was found." in capsys.readouterr().out


def test_long_lists_are_cut_and_say_how_much_is_missing():
    assert _counts({str(n): n for n in range(15)}).endswith("11 11, and 3 more")
