"""Exact and near duplicates of files: which they are, whose labels contradict, which stand on both sides of a split."""

import numpy as np
import pytest

from trilineage.data.images.listing import Listing
from trilineage.data.inspection.duplicates import duplicate_findings, exact_duplicates, near_duplicates
from trilineage.data.inspection.findings import Duplicates, NearDuplicate
from trilineage.data.inspection.looking import Looks
from trilineage.data.inspection.settings import InspectionSettings


def looked(*pictures: np.ndarray, content: str, side: int = 96) -> Looks:
    greys = np.stack([picture[:64, :64, 1] for picture in pictures])
    n = len(pictures)
    return Looks(
        np.full(n, "", object),
        np.array(list(content)),
        np.full((n, 2), side),
        greys,
        np.zeros((n, 3), np.float32),
    )


def listed(labels: str, parts: str) -> Listing:
    words = {"r": "train", "t": "test", "u": "unused"}
    names = np.array([f"{i}.png" for i in range(len(labels))])
    return Listing(names, np.array(list(labels)), parts=np.array([words[part] for part in parts]))


def test_the_same_bytes_are_one_group_in_the_order_of_the_source(cell):
    found = exact_duplicates(listed("abab", "rrrr"), looked(*map(cell, range(4)), content="xyxx"))
    assert [group.names for group in found] == [("0.png", "2.png", "3.png")]
    assert found[0].is_conflicting


def test_exact_copies_do_not_come_back_as_near_ones(cell):
    images = looked(cell(1), cell(1), cell(2), content="xxy")
    assert near_duplicates(listed("aaa", "rrr"), images, InspectionSettings()) == ()


@pytest.mark.parametrize(("side", "n"), [(96, 1), (28, 0)])
def test_small_images_must_agree_better(side, n, cell):
    noisy = np.clip(cell(1) + np.random.default_rng(0).normal(0, 20, (96, 96, 3)), 0, 255).astype(np.uint8)
    found = near_duplicates(
        listed("aa", "rr"), looked(cell(1), noisy, content="xy", side=side), InspectionSettings()
    )
    assert len(found) == n


def pair(labels=("a", "a"), parts=("train", "train")) -> Duplicates:
    return Duplicates(("1.png", "2.png"), labels, parts, ("", ""))


@pytest.mark.parametrize(
    ("group", "kinds"),
    [
        (pair(), ["duplicate"]),
        (pair(("a", "b")), ["duplicate", "conflicting_labels"]),
        (pair(("a", "")), ["duplicate"]),
        (pair(parts=("train", "test")), ["duplicate", "leak"]),
        (pair(parts=("train", "unused")), ["duplicate"]),
    ],
)
def test_what_is_wrong_with_a_duplicate_is_said(group, kinds):
    findings = list(duplicate_findings((group,), ()))
    assert [finding.kind for finding in findings] == kinds
    assert {finding.weight for finding in findings} == {"problem"}


def test_near_duplicates_are_said_apart_from_exact_ones():
    near = NearDuplicate(("1.png", "2.png"), ("a", "b"), ("train", "test"), ("", ""), correlation=0.99)
    texts = [finding.text for finding in duplicate_findings((), (near, near))]
    assert texts == [
        "2 pairs of images that show the same",
        "2 look-alike pairs under different labels",
        "2 look-alike pairs in two parts of the split",
    ]
