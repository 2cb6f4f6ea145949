"""The TOML text of a taxonomy: its parts checked on reading, equal taxonomies written as equal text."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tomli_w

from trilineage.core.errors import NewerVersionError, TaxonomyError
from trilineage.core.registry import nearest_remedy

KIND = "trilineage taxonomy"
VERSION = 1
"""Of the format; files of a newer one are refused."""

_KEYS = ("kind", "version", "name", "title", "notes", "nodes", "cost", "label_maps")
_NODE_KEYS = ("parents", "synonyms", "title")


class TaxonomyText(NamedTuple):
    """What a taxonomy file says, with names instead of indices."""

    name: str
    """Name of the taxonomy."""
    parents: Mapping[str, Sequence[str]]
    """Parents of each node, in the order of the file."""
    synonyms: Mapping[str, Sequence[str]] = {}
    """Other names of each node that has any."""
    titles: Mapping[str, str] = {}
    """Names for display of each node that has one."""
    costs: Mapping[str, Mapping[str, float]] = {}
    """Cost of a decision (inner key) where another node is true (outer key); nodes stand for all leaves below."""
    label_maps: Mapping[str, Mapping[str, str]] = {}
    """Per data set: node of each of its labels; "" for labels to leave out."""
    title: str = ""
    """One line for people."""
    notes: str = ""
    """What a user must know, such as where the costs come from."""


def parse_taxonomy(text: str) -> TaxonomyText:
    """Read a taxonomy file; whether the nodes form a tree is checked later.

    Raises
    ------
    TaxonomyError
        If the text is no TOML or lacks its parts.
    NewerVersionError
        If a newer version of this package wrote it.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TaxonomyError(
            "the taxonomy is not a TOML file, or names a node twice",
            seen=error,
            remedy="mend the line that is named",
        ) from None
    _require_format(values)
    _refuse_unknown("the taxonomy", values, _KEYS)
    nodes = _table(values, "nodes")
    if not nodes:
        raise TaxonomyError(
            "the taxonomy has no nodes",
            allowed='a table [nodes] with lines such as `normal = { parents = "diagnosis" }`',
            remedy="add the nodes, the root first",
        )
    for name in nodes:
        _refuse_unknown(f"node {name!r}", _table(nodes, name), _NODE_KEYS)
    return TaxonomyText(
        name=_text(values, "name", "the taxonomy"),
        parents={name: _texts(node, "parents", name) for name, node in nodes.items()},
        synonyms={name: _texts(node, "synonyms", name) for name, node in nodes.items() if "synonyms" in node},
        titles={name: _text(node, "title", name) for name, node in nodes.items() if "title" in node},
        costs=_costs(_table(values, "cost")),
        label_maps=_label_maps(_table(values, "label_maps")),
        title=_text(values, "title", "the taxonomy"),
        notes=_text(values, "notes", "the taxonomy"),
    )


def format_taxonomy(taxonomy: TaxonomyText) -> str:
    """Write a taxonomy as TOML text that `parse_taxonomy` reads back."""
    values: dict[str, Any] = {"kind": KIND, "version": VERSION, "name": taxonomy.name}
    values |= {key: text for key in ("title", "notes") if (text := getattr(taxonomy, key))}
    values["nodes"] = {name: _node(taxonomy, name) for name in taxonomy.parents}
    values |= {
        key: {name: dict(row) for name, row in table.items()}
        for key, table in (("cost", taxonomy.costs), ("label_maps", taxonomy.label_maps))
        if table
    }
    return tomli_w.dumps(values)


def _node(taxonomy: TaxonomyText, name: str) -> dict[str, Any]:
    """Return the table of one node; what is empty is left out."""
    node: dict[str, Any] = {}
    if taxonomy.parents[name]:
        node["parents"] = list(taxonomy.parents[name])
    if taxonomy.synonyms.get(name):
        node["synonyms"] = list(taxonomy.synonyms[name])
    if taxonomy.titles.get(name):
        node["title"] = taxonomy.titles[name]
    return node


def _require_format(values: Mapping[str, Any]) -> None:
    kind, version = values.get("kind", KIND), values.get("version", VERSION)
    if kind != KIND or not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise TaxonomyError(
            "this TOML file is no taxonomy",
            seen=f"kind={kind!r}, version={version!r}",
            allowed=f"kind={KIND!r}, version={VERSION}",
            remedy="name a taxonomy file",
        )
    if version > VERSION:
        raise NewerVersionError(
            "the taxonomy was written by a newer trilineage",
            seen=f"format version {version}",
            allowed=f"format versions up to {VERSION}",
            remedy="update trilineage",
        )


def _refuse_unknown(where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise TaxonomyError(
                f"{where} has a key that is not known",
                seen=key,
                allowed=", ".join(known),
                remedy=nearest_remedy(key, known),
            )


def _wrong(where: str, key: str, seen: object, allowed: str) -> TaxonomyError:
    return TaxonomyError(
        f"{key!r} of {where} cannot be read",
        seen=repr(seen)[:200],
        allowed=allowed,
        remedy="correct it in the taxonomy file",
    )


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise _wrong("the taxonomy", key, value, "a table")
    return value


def _text(values: Mapping[str, Any], key: str, where: str) -> str:
    value = values.get(key, "")
    if not isinstance(value, str):
        raise _wrong(where, key, value, "a text")
    return value.strip()


def _texts(values: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Read one text or a list of texts."""
    value = values.get(key, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise _wrong(repr(where), key, value, "a text or a list of texts, none empty")
    return tuple(texts)


def _costs(table: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for truth in table:
        row = _table(table, truth)
        for decision, cost in row.items():
            is_number = isinstance(cost, int | float) and not isinstance(cost, bool)
            if not is_number or not 0 <= cost < float("inf"):
                raise _wrong(f"[cost.{truth}]", decision, cost, "a number from 0 upwards")
        rows[truth] = {decision: float(cost) for decision, cost in row.items()}
    return rows


def _label_maps(table: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {
        source: {label: _text(row, label, f"[label_maps.{source}]") for label in row}
        for source, row in ((source, _table(table, source)) for source in table)
    }
