"""Texts from a command line (`a.b=1e-3`) as the values their fields expect."""

import tomllib
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from trilineage.core.errors import ConfigError

_SEQUENCES = (tuple, list, set, frozenset)


def parse_assignment(text: str) -> tuple[str, str]:
    """Split `key=value` at the first equals sign.

    Raises
    ------
    ConfigError
        If there is no equals sign or no key.
    """
    key, equals, written = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            "an override is not of the form key=value",
            seen=repr(text),
            allowed="such as autoencoder.n_latent=128",
            remedy="put an equals sign between the option and its value",
        )
    return key.strip(), written.strip()


def parse_text(written: str, annotation: Any) -> Any:
    """Read a text as TOML would, with three liberties: bare words are strings, commas make lists, `none` is None.

    Parameters
    ----------
    written
        What stands after the equals sign.
    annotation
        Type of the field, which settles the doubtful cases: `123` stays a text for a text field, and `HSC` becomes a
        list of one for a list field. None where the type is unknown.

    Examples
    --------
    >>> parse_text("1e-3", float), parse_text("123", str), parse_text("128,256", tuple[int, ...])
    (0.001, '123', [128, 256])
    >>> parse_text("96", tuple[int, int] | int), parse_text("96,128", tuple[int, int] | int)
    (96, [96, 128])
    """
    if written.lower() == "none" and accepts_none(annotation):
        return None
    choices = _choices(annotation)
    if not isinstance(value := _toml_value(written), str | list) and type(value) in choices:
        return value  # one number where a list may stand too
    sequence = next((choice for choice in choices if get_origin(choice) in _SEQUENCES), None)
    if sequence is not None or any(choice in _SEQUENCES for choice in choices):
        return _parse_list(written, sequence)
    if isinstance(value, str) or not _wants_text(choices):
        return value
    return written


def accepts_none(annotation: Any) -> bool:
    """Tell whether None is among the values of a type."""
    return annotation is None or type(None) in _choices(annotation)


def accepts_text(annotation: Any) -> bool:
    """Tell whether any text is among the values of a type, so that a text needs no reading."""
    return any(choice is str or choice is Any for choice in _choices(annotation))


def accepts_mapping(annotation: Any) -> bool:
    """Tell whether a dictionary of free keys is among the values of a type."""
    origins = (get_origin(choice) or choice for choice in _choices(annotation))
    return any(isinstance(origin, type) and issubclass(origin, Mapping) for origin in origins)


def _parse_list(written: str, sequence: Any) -> list[Any]:
    """Read `a,b`, `[a, b]` in TOML, one value, or nothing as a list."""
    value = _toml_value(written)
    if isinstance(value, list):
        return value
    inner = next(iter(get_args(sequence)), None)
    return [parse_text(part.strip(), inner) for part in written.split(",") if part.strip()]


def _toml_value(written: str) -> Any:
    """Return the TOML value of a text, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return written


def _wants_text(choices: tuple[Any, ...]) -> bool:
    """Tell whether a number-like text must stay a text: the field takes text and nothing that TOML would read."""
    readable = any(choice in (int, float, bool, None) or _is_literal_of_numbers(choice) for choice in choices)
    return not readable and any(
        choice is str
        or get_origin(choice) is Literal
        or (isinstance(choice, type) and issubclass(choice, PurePath | Enum))
        for choice in choices
    )


def _is_literal_of_numbers(choice: Any) -> bool:
    return get_origin(choice) is Literal and any(not isinstance(value, str) for value in get_args(choice))


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union (or the type alone), without their annotations."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(choice for part in get_args(annotation) for choice in _choices(part))
    return (annotation,)
