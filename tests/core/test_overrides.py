"""Texts of a command line and the values they stand for."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilineage.core.errors import ConfigError
from trilineage.core.overrides import accepts_mapping, accepts_none, parse_assignment, parse_text


class Kind(Enum):
    COUNTS = "counts"


@pytest.mark.parametrize(
    ("written", "annotation", "value"),
    [
        ("3", int, 3),
        ("1e-3", float, 0.001),
        ("true", bool, True),
        ("123", str, "123"),
        ('"123"', str, "123"),
        ("123", int | str, 123),
        ("1", Literal["1", "2"], "1"),
        ("1", Literal[1, 2], 1),
        ("2024", Path, "2024"),
        ("counts", Kind, "counts"),
        ("none", float | None, None),
        ("none", str, "none"),
        ("a,b", tuple[str, ...], ["a", "b"]),
        ("a", tuple[str, ...], ["a"]),
        ("", tuple[str, ...], []),
        ("[1, 2]", tuple[int, ...], [1, 2]),
        ("1, 2", list[int] | None, [1, 2]),
        ("1,2", tuple, ["1", "2"]),
        ("5", Annotated[int, "units"], 5),
        ("a,b", str, "a,b"),
        ("x = 1", str, "x = 1"),
    ],
)
def test_a_text_is_read_as_its_field_needs(written, annotation, value):
    if annotation is tuple:
        value = [1, 2]
    assert parse_text(written, annotation) == value


@given(st.text())
def test_any_text_is_kept_as_it_is_for_a_text_field_unless_quoted(text):
    if not text.strip().startswith(("'", '"')) and text == text.strip():
        assert parse_text(text, str) == text


def test_only_the_first_equals_sign_separates():
    assert parse_assignment("a.b = c=d") == ("a.b", "c=d")


def test_no_equals_sign_is_an_error():
    with pytest.raises(ConfigError, match="key=value"):
        parse_assignment("epochs 3")


def test_unions_tell_whether_they_take_none_or_free_keys():
    assert accepts_none(int | None)
    assert not accepts_none(int)
    assert accepts_mapping(dict[str, int] | None)
    assert not accepts_mapping(tuple[int, ...])
