"""Frozen configurations that load from TOML, take overrides, check every value and save themselves."""

import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, Union, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from trilineage.core.errors import ConfigError, UnknownOptionError
from trilineage.core.files import write_atomically
from trilineage.core.overrides import (
    accepts_mapping,
    accepts_none,
    accepts_text,
    parse_assignment,
    parse_text,
)
from trilineage.core.registry import nearest_remedy

_MAX_TOML_BYTES = 1_000_000
"""Far above any configuration; stops a mistaken data file before it is parsed."""

NONE_WORD = "none"
"""TOML has no null: this word stands for it where a field accepts None."""


class OptionDescription(NamedTuple):
    """One option as a user sees it."""

    key: str
    """Dotted key, as in `--set autoencoder.n_latent=128`."""
    type: str
    """Type as written in the source."""
    default: Any
    """Default value, or `...` where a value must be given."""
    doc: str
    """The docstring under the field."""


class Settings(BaseModel):
    """Base of every configuration: frozen, closed to unknown keys, validated, documented field by field.

    A subclass is a list of fields with a default and a docstring under each. Fields may be other Settings, which
    makes the dotted keys of TOML tables and of overrides. A subclass that must refuse combinations uses pydantic's
    `model_validator(mode="after")` and raises `ConfigError`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _explain(error, type(self)) from None

    # Pydantic takes the fast path for nested models (and keeps their place in error messages) when it sees this mark.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def load(cls, path: Path | str | None = None, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Self:
        """Read a TOML file (or start from the defaults), apply the overrides and check the result.

        Parameters
        ----------
        path
            TOML file; None means the defaults.
        overrides
            Either values by dotted key (`{"autoencoder.n_latent": 128}`) or texts as a command line gives them
            (`["autoencoder.n_latent=128", "population=HSC,MPP"]`).

        Raises
        ------
        UnknownOptionError
            For a key that does not exist; the nearest known one is named.
        ConfigError
            For a file that cannot be read and for a value that cannot be used.
        """
        values = {} if path is None else read_toml(Path(path))
        _refuse_unknown(cls, values)
        for key, value in _overrides(cls, overrides):
            _set(values, key, value)
        return cls._checked(_over_defaults(cls, values))

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values, by name or dotted key: `replace(**{"autoencoder.n_latent": 128})`."""
        values = self.to_dict()
        for key, value in _overrides(type(self), overrides):
            _set(values, key, value)
        return self._checked(values)

    def to_dict(self) -> dict[str, Any]:
        """Return the values as nested dictionaries."""
        return self.model_dump()

    def to_toml(self) -> str:
        """Return the values as TOML; equal configurations give equal text.

        A None is left out where it is the default and written as "none" where it is not.
        """
        return tomli_w.dumps(_without_none(type(self), self.model_dump(mode="json")))

    def save(self, path: Path | str) -> None:
        """Write the configuration as TOML, atomically."""
        write_atomically(path, self.to_toml().encode())

    @classmethod
    def _checked(cls, values: dict[str, Any]) -> Self:
        _refuse_unknown(cls, values)
        return cls(**_with_none(cls, values))


def describe(settings: type[Settings], default: Settings | None = None) -> list[OptionDescription]:
    """List every option of a configuration in the order of the source, nested ones by their dotted keys.

    Parameters
    ----------
    default
        What the options are by default, if that is not what their class says.
    """
    rows = []
    for name, field in settings.model_fields.items():
        nested, own = nested_settings(field), _default_of(field, name, default)
        if nested is None:
            rows.append(OptionDescription(name, _type_text(field.annotation), own, field.description or ""))
        else:
            inner = describe(nested, own if isinstance(own, nested) else None)
            rows.extend(row._replace(key=f"{name}.{row.key}") for row in inner)
    return rows


def nested_settings(field: FieldInfo) -> type[Settings] | None:
    """Return the Settings class a field holds (perhaps beside None), or None for a plain value."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Settings):
            return candidate
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into nested dictionaries.

    Raises
    ------
    ConfigError
        If the file is absent, no text, too large, or not TOML (the message names the line).
    """
    remedy = "check the path" if not path.is_file() else "mend the file"
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MAX_TOML_BYTES + 1)
        if len(data) > _MAX_TOML_BYTES:
            raise ConfigError(
                f"{path} is too large for a configuration", allowed=f"{_MAX_TOML_BYTES:,} bytes"
            )
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}", seen=error.strerror, remedy=remedy
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not a TOML file", seen=error, allowed="lines such as `epochs = 20`", remedy=remedy
        ) from None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one dictionary by dotted key.

    Examples
    --------
    >>> flatten({"seed": 1, "data": {"path": "x"}})
    {'seed': 1, 'data.path': 'x'}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _overrides(
    cls: type[Settings], overrides: Mapping[str, Any] | Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """Give each override as a dotted key that exists and a value; texts are read as their field needs."""
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            field = _field(cls, key)
            if isinstance(value, str) and field is not None and not accepts_text(field.annotation):
                value = parse_text(value, field.annotation)
            yield key, value.to_dict() if isinstance(value, Settings) else value
        return
    for text in [overrides] if isinstance(overrides, str) else overrides:
        key, written = parse_assignment(text)
        field = _field(cls, key)
        annotation = None if field is None else field.annotation
        nested = None if field is None else nested_settings(field)
        if nested is not None and not (written.lower() == NONE_WORD and accepts_none(annotation)):
            raise ConfigError(
                f"option {key!r} is a group",
                seen=text,
                allowed=", ".join(f"{key}.{name}" for name in nested.model_fields),
                remedy="set one option of the group",
            )
        yield key, parse_text(written, annotation)


def _field(cls: type[Settings], key: str) -> FieldInfo | None:
    """Find the field of a dotted key; None for a key inside a free-form dictionary."""
    settings: type[Settings] | None = cls
    field: FieldInfo | None = None
    for name in key.split("."):
        if settings is None and field is not None and accepts_mapping(field.annotation):
            return None
        field = None if settings is None else settings.model_fields.get(name)
        if field is None:
            raise _unknown(cls, key)
        settings = nested_settings(field)
    return field


def _refuse_unknown(cls: type[Settings], values: Mapping[str, Any], prefix: str = "") -> None:
    """Raise for the first key that no field has, however deep."""
    for name, value in values.items():
        field = _field(cls, f"{prefix}{name}")
        if field is not None and nested_settings(field) is not None and isinstance(value, Mapping):
            _refuse_unknown(cls, value, f"{prefix}{name}.")


def _unknown(cls: type[Settings], key: str) -> UnknownOptionError:
    """Make the error for a key that does not exist: its neighbours and the nearest known key."""
    known = tuple(row.key for row in describe(cls))
    group = key.rpartition(".")[0]
    siblings = [name for name in known if name.rpartition(".")[0] == group]
    return UnknownOptionError(
        f"there is no option {key!r}",
        allowed=", ".join(siblings) or None,
        remedy=nearest_remedy(key, known),
    )


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key, making the groups on the way."""
    *groups, name = key.split(".")
    for group in groups:
        if not isinstance(values.get(group), dict):
            values[group] = {}
        values = values[group]
    values[name] = value


def _with_none(cls: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the word "none" by None where a field accepts None."""
    result = dict(values)
    for name, value in values.items():
        field = cls.model_fields[name]
        nested = nested_settings(field)
        if nested is not None and isinstance(value, Mapping):
            result[name] = _with_none(nested, value)
        elif isinstance(value, str) and value.lower() == NONE_WORD and accepts_none(field.annotation):
            result[name] = None
    return result


def _over_defaults(
    cls: type[Settings], values: Mapping[str, Any], default: Settings | None = None
) -> dict[str, Any]:
    """Lay the values of a group over the defaults that its field has here, which need not be those of its class."""
    result = dict(values)
    for name, value in values.items():
        field = cls.model_fields[name]
        nested, own = nested_settings(field), _default_of(field, name, default)
        if nested is not None and isinstance(value, Mapping) and isinstance(own, Settings):
            result[name] = {**own.to_dict(), **_over_defaults(nested, value, own)}
    return result


def _default_of(field: FieldInfo, name: str, group: Settings | None) -> Any:
    """Return the default of a field, inside a group that is itself a default."""
    if group is not None:
        return getattr(group, name)
    return ... if field.is_required() else field.get_default(call_default_factory=True)


def _without_none(
    cls: type[Settings], values: Mapping[str, Any], default: Settings | None = None
) -> dict[str, Any]:
    """Leave out None where it is the default and write it as a word where it is not."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        field = cls.model_fields[name]
        nested, own = nested_settings(field), _default_of(field, name, default)
        if value is None:
            if own is not None:
                result[name] = NONE_WORD
        elif nested is not None:
            result[name] = _without_none(nested, value, own if isinstance(own, nested) else None)
        else:
            result[name] = value
    return result


def _explain(error: ValidationError, cls: type[Settings]) -> ConfigError:
    """Turn pydantic's list of complaints into one sentence that names keys, values and what is allowed."""
    complaints = error.errors(include_url=False)
    for complaint in complaints:
        if complaint["type"] == "extra_forbidden":
            return _unknown(cls, ".".join(str(part) for part in complaint["loc"]))
    keys = [".".join(str(part) for part in complaint["loc"]) or cls.__name__ for complaint in complaints]
    allowed = [complaint["msg"].removeprefix("Value error, ") for complaint in complaints]
    single = len(keys) == 1
    return ConfigError(
        f"option {keys[0]!r} cannot be used" if single else f"options {', '.join(keys)} cannot be used",
        seen=", ".join(repr(complaint["input"])[:200] for complaint in complaints),
        allowed=allowed[0] if single else "; ".join(map(": ".join, zip(keys, allowed, strict=True))),
        remedy="correct the value in the configuration or after --set",
    )


def _type_text(annotation: Any) -> str:
    """Return a type as a reader would write it: `int`, `float | None`, `'nb' | 'zinb'`, `tuple[int, ...]`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type_text, arguments))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_type_text, arguments))}]"
    if annotation is Ellipsis or annotation is type(None):
        return "..." if annotation is Ellipsis else "None"
    return getattr(annotation, "__name__", str(annotation))
