"""Leaks and shortcuts: patients on both sides, classes that follow the site, names that tell the class."""

import numpy as np
import pytest

from trilineage.data.images.listing import Listing
from trilineage.data.inspection.leaks import (
    class_shares,
    cramers_v,
    name_findings,
    patient_findings,
    site_findings,
)


def listing(names=(), labels=(), patients=None, parts=None) -> Listing:
    def column(values):
        return None if values is None else np.array(list(values), dtype=str)

    return Listing(column(names), column(labels), patients=column(patients), parts=column(parts))


def kinds(findings) -> list[tuple[str, str]]:
    return [(finding.kind, finding.weight) for finding in findings]


def test_a_patient_in_two_parts_is_a_problem():
    images = listing("abcd", ["AML"] * 4, ["p", "p", "q", "r"], ["train", "test", "train", "unused"])
    findings = list(patient_findings(images))
    assert kinds(findings) == [("leak", "problem")]
    assert findings[0].examples == ("p: test, train",)


def test_unused_images_leak_nothing():
    assert list(patient_findings(listing("ab", ["AML"] * 2, ["p", "p"], ["train", "unused"]))) == []


def test_missing_patients_are_a_warning():
    assert kinds(patient_findings(listing("ab", ["AML"] * 2))) == [("patients", "warning")]
    assert kinds(patient_findings(listing("ab", ["AML"] * 2, ["p", ""]))) == [("patients", "warning")]


def confounding(sites: str, labels: str) -> list:
    return list(site_findings(np.array(list(sites)), np.array(list(labels)), what="site", threshold=0.3))


def test_a_class_that_follows_the_site_is_named_with_its_shares():
    found = confounding("xxxxxyyyyy" * 3, "aaaaabbbbb" * 3)
    assert kinds(found) == [("confounding", "warning")] * 2
    assert "Cramer's V 1.00" in found[0].text
    assert "a: x 100%" in found[0].examples[0]
    assert found[1].examples[0] == "a at y (0, expected 8)"


def test_classes_spread_evenly_over_sites_are_fine():
    assert confounding("xyxyxyxy" * 4, "aabbaabb" * 4) == []


def test_one_site_or_unknown_sites_say_nothing():
    assert confounding("xxxx", "aabb") == []
    assert list(site_findings(None, np.array(["a"]), what="site", threshold=0.3)) == []
    blank = np.array(["", ""])
    assert list(site_findings(blank, np.array(["a", "b"]), what="site", threshold=0.3)) == []


def test_shares_of_sites_sum_to_one_in_each_class():
    shares = class_shares(np.array(["x", "y", "y", ""]), np.array(["a", "a", "b", "b"]))
    assert shares == {"a": {"x": 0.5, "y": 0.5}, "b": {"x": 0.0, "y": 1.0}}


def test_cramers_v_is_that_of_scipy():
    from scipy.stats.contingency import association

    counts = np.random.default_rng(0).integers(1, 40, (4, 3))
    assert cramers_v(counts) == pytest.approx(association(counts, method="cramer"))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("{label}_{number}.png", "spell their class"),
        ("{code}_{number}.png", "first word"),
        ("UID_{number}_{code}.bmp", "last word"),
    ],
)
def test_names_that_tell_the_class_are_noted(pattern, text):
    codes = {"basophil": "BA", "monocyte": "MO"}
    rows = [
        (label, pattern.format(label=label, code=code, number=n))
        for label, code in codes.items()
        for n in range(20)
    ]
    found = list(name_findings(listing([f"x/{name}" for _, name in rows], [label for label, _ in rows])))
    assert kinds(found) == [("names", "note")]
    assert text in found[0].text


def test_numbers_for_names_tell_nothing():
    names = [f"basophil/cell_{number}.png" for number in range(40)]
    assert list(name_findings(listing(names, ["basophil", "monocyte"] * 20))) == []
