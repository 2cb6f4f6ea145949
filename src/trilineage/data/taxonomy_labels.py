"""Names as people write them: folded, looked up with synonyms, answered with the nearest when unknown."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from trilineage.core.errors import LabelError, TaxonomyError

_SEPARATORS = re.compile(r"[\s_\-]+")
_SHOWN = 16
"""Nodes that a message lists; the nearest are named in any case."""


def fold(name: str) -> str:
    """Return a name without case, spaces, underscores and hyphens.

    Examples
    --------
    >>> fold(" Immature_Granulocyte"), fold("immature granulocyte")
    ('immaturegranulocyte', 'immaturegranulocyte')
    """
    return _SEPARATORS.sub("", name.strip().casefold())


def name_table(nodes: Sequence[str], synonyms: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the node of every folded name.

    Raises
    ------
    TaxonomyError
        If a name means two nodes, or a synonym is given for what is no node.
    """
    table: dict[str, str] = {}
    for node in nodes:
        _enter(table, node, node)
    for node, names in synonyms.items():
        if node not in table.values():
            raise TaxonomyError(
                "synonyms are given for what is no node", seen=node, remedy="add the node, or remove them"
            )
        for name in names:
            _enter(table, name, node)
    return table


def look_up(label: str, table: Mapping[str, str], *, taxonomy: str) -> str:
    """Return the node that a label means.

    Raises
    ------
    LabelError
        If it means none; the message names the nearest.
    """
    node = table.get(fold(label))
    if node is None:
        near = difflib.get_close_matches(fold(label), table, n=5, cutoff=0.5)
        names = list(dict.fromkeys(table[name] for name in near))[:3]
        nodes = list(dict.fromkeys(table.values()))
        raise LabelError(
            f"label {label!r} is no node of the taxonomy {taxonomy}",
            seen=label,
            allowed=", ".join(nodes[:_SHOWN]) + (", ..." if len(nodes) > _SHOWN else ""),
            remedy=f"write {' or '.join(map(repr, names))}, add a synonym, or map the label"
            if names
            else "add a synonym to the taxonomy, or map the label",
        )
    return node


def _enter(table: dict[str, str], name: str, node: str) -> None:
    other = table.setdefault(fold(name), node)
    if other != node or not fold(name):
        raise TaxonomyError(
            f"the name {name!r} has two meanings" if fold(name) else "a node has no name",
            seen=f"{other!r} and {node!r} (case, spaces, underscores and hyphens do not count)",
            allowed="names and synonyms of one node each",
            remedy="remove one of them",
        )
