"""Hidden acquisitions: a gap of colour makes groups, sizes do where colour says nothing, scatter makes none."""

import numpy as np
import pytest

from trilineage.data.inspection.acquisitions import acquisition_findings, colour_groups, size_groups
from trilineage.data.inspection.findings import Group

PEACH, LAVENDER = (253, 227, 201), (229, 221, 229)


def colours(centre, n: int, spread: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, spread, (n, 3)).astype(np.float32)


def test_two_colours_are_two_groups_the_larger_first():
    given = np.concatenate([colours(LAVENDER, 30, 4), colours(PEACH, 300, 2)])
    assert colour_groups(given, 10, 5).tolist() == [1] * 30 + [0] * 300


def test_one_colour_with_the_usual_scatter_is_one_group():
    assert set(colour_groups(colours(PEACH, 500, 3), 10, 5).tolist()) == {0}


def test_a_colour_that_changes_little_by_little_is_one_group():
    drift = np.linspace(PEACH, LAVENDER, 400).astype(np.float32)
    assert set(colour_groups(drift, 10, 5).tolist()) == {0}


def test_a_few_strange_images_make_no_group():
    given = np.concatenate([colours(PEACH, 300, 2), np.array([[10, 200, 10]] * 3, dtype=np.float32)])
    assert colour_groups(given, 10, 5).tolist() == [0] * 300 + [-1] * 3


def test_sizes_are_groups_where_there_are_few():
    sizes = np.array([[360, 363]] * 50 + [[366, 369]] * 20)
    assert size_groups(sizes, 5).tolist() == [0] * 50 + [1] * 20


def test_crops_of_any_size_are_one_group():
    sizes = np.random.default_rng(0).integers(80, 160, (300, 2))
    assert set(size_groups(sizes, 5).tolist()) == {0}


def group(name: str, sites: dict[str, int]) -> Group:
    return Group(name, 100, PEACH, {"360 x 363": 100}, {"AML": 100}, sites)


@pytest.mark.parametrize(
    ("sites", "weight"), [({}, "warning"), ({"x": 96, "y": 4}, "note"), ({"x": 50, "y": 50}, "warning")]
)
def test_groups_that_the_sites_tell_already_are_no_warning(sites, weight):
    findings = list(acquisition_findings((group("A", sites), group("B", {"y": 100} if sites else {}))))
    assert [finding.weight for finding in findings] == [weight]


def test_one_group_is_no_finding():
    assert list(acquisition_findings((group("A", {}), group("odd", {})))) == []
