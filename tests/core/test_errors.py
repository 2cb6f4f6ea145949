"""The error tree: drawn in the docstring as it is in the code, and messages of four parts."""

import inspect
import re

import pytest

from trilineage.core import errors


def error_classes():
    classes = inspect.getmembers(errors, inspect.isclass)
    return {name: cls for name, cls in classes if issubclass(cls, errors.TrilineageError)}


def test_a_message_has_four_parts():
    error = errors.ColumnError(
        "no column 'donor'", seen="sex, age", allowed="donor_id", remedy="use --patient"
    )
    assert str(error) == "no column 'donor'; seen: sex, age; allowed: donor_id. Use --patient."


def test_parts_that_are_not_given_are_left_out():
    assert str(errors.ConfigError("wrong")) == "wrong."


def test_falsy_values_that_were_seen_are_shown():
    assert str(errors.ConfigError("wrong", seen=0)) == "wrong; seen: 0."


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = dict.fromkeys(re.findall(r"[├└]── (\w+)", errors.__doc__))
    assert set(drawn) | {"TrilineageError"} == set(error_classes())


@pytest.mark.parametrize("name", sorted(error_classes()))
def test_every_error_is_caught_by_the_base_and_says_what_it_is(name):
    cls = error_classes()[name]
    assert cls.__doc__
    with pytest.raises(errors.TrilineageError):
        raise cls("x")


def test_groups_follow_what_the_caller_can_do():
    assert issubclass(errors.UnsafeFileError, errors.ArtifactError)
    assert issubclass(errors.CohortError, errors.DataError)
    assert not issubclass(errors.LeakageError, errors.DataError)
