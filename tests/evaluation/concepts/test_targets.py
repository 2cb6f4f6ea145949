"""Targets are made of labels, unknown where there is none, and lose their meaning when patients swap them."""

import numpy as np
import pytest

from trilineage.core.errors import CohortError
from trilineage.evaluation.concepts.targets import (
    attribute_targets,
    class_targets,
    permuted_targets,
    split_target,
)


def test_every_value_of_an_attribute_is_held_against_its_others():
    made = attribute_targets({"granule_colour": ["red", "purple", "", "red"]})
    assert {name: target.tolist() for name, target in made.items()} == {
        "granule_colour=purple": [0, 1, -1, 0],
        "granule_colour=red": [1, 0, -1, 1],
    }


def test_rare_values_and_values_without_others_make_no_target():
    made = attribute_targets({"a": ["x"] * 5 + ["y"], "b": ["x"] * 5 + [" "]}, min_images=1)
    assert list(made) == ["a=x", "a=y"]
    with pytest.raises(CohortError, match="no target can be made"):
        attribute_targets({"a": ["x"] * 5 + ["y"]}, min_images=2)


def test_classes_are_targets_by_their_code():
    made = class_targets(np.array([0, 1, -1, 0]), ("mono", "eo"))
    assert made["class=mono"].tolist() == [1, 0, -1, 1]
    assert split_target("class=mono") == ("class", "mono")
    assert split_target("odd") == ("", "odd")


def test_patients_that_have_one_label_swap_it_as_a_whole():
    patients = np.repeat([f"p{i}" for i in range(10)], 4)
    target = np.repeat(np.arange(10) < 4, 4).astype(np.int8)
    permuted = permuted_targets({"t": target}, patients, seed=1)["t"]
    assert permuted.reshape(10, 4).std(axis=1).max() == 0
    assert permuted.sum() == target.sum()
    assert (permuted != target).any()
    assert permuted_targets({"t": target}, None, seed=1)["t"].reshape(10, 4).std(axis=1).max() > 0
