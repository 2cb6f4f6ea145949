"""A part of a taxonomy: some nodes become the leaves, what was below names them, single children merge."""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from trilineage.core.errors import TaxonomyError
from trilineage.data.taxonomy_file import TaxonomyText


@runtime_checkable
class Structure(Protocol):
    """What pruning asks of a taxonomy."""

    @property
    def ancestors(self) -> Bool[np.ndarray, "node node"]:
        """Whether column j is row i itself or an ancestor of it."""
        ...

    @property
    def cost(self) -> Float[np.ndarray, "node node"]:
        """Cost of a decision (column) for a truth (row)."""
        ...


def prune(text: TaxonomyText, chosen: Iterable[str], structure: Structure) -> TaxonomyText:
    """Return the part of a taxonomy that ends in the chosen nodes; see `Taxonomy.restricted_to`."""
    chosen = tuple(dict.fromkeys(chosen))
    if len(chosen) < 2:
        raise TaxonomyError(
            "a taxonomy cannot be restricted to fewer than two nodes",
            seen=", ".join(chosen) or "none",
            allowed="two or more nodes",
            remedy="name more of them",
        )
    names = tuple(text.parents)
    home = _homes(names, chosen, structure.ancestors)
    parents = {
        node: tuple(parent for parent in text.parents[node] if parent in home)
        for node in names
        if home.get(node) == node
    }
    _merge_chains(parents, home, frozenset(chosen))
    return text._replace(
        parents=parents,
        synonyms=_synonyms(text, home),
        titles={node: title for node, title in text.titles.items() if node in parents},
        costs=_costs(text, structure.cost, parents) if text.costs else {},
        label_maps=_label_maps(text.label_maps, home),
    )


def _homes(
    names: tuple[str, ...], chosen: tuple[str, ...], ancestors: Bool[np.ndarray, "node node"]
) -> dict[str, str]:
    """Return the node that stands for each old one: itself if kept, the chosen one above it, or no entry."""
    index = {name: place for place, name in enumerate(names)}
    rows = [index[name] for name in chosen]
    kept = np.flatnonzero(np.asarray(ancestors[rows]).any(axis=0))
    home = {names[place]: names[place] for place in kept.tolist()}
    ends = [row for row in rows if ancestors[rows][:, row].sum() == 1]  # chosen, with no chosen one below
    for place, name in enumerate(names):
        above = [row for row in ends if ancestors[place, row]]
        if name not in home and len(above) == 1:  # below two chosen nodes of a DAG it could be either
            home[name] = names[above[0]]
    return home


def _merge_chains(parents: dict[str, tuple[str, ...]], home: dict[str, str], chosen: frozenset[str]) -> None:
    """Merge inner nodes that were not chosen with their only child, and the root with an only inner child."""
    root = next(node for node, above in parents.items() if not above)
    for node in [name for name in parents if name != root and name not in chosen]:
        children = _children(node, parents)
        if len(children) == 1:
            _merge(node, children[0], parents, home)
    while len(children := _children(root, parents)) == 1 and children[0] not in chosen:
        _merge(children[0], root, parents, home)
    for node, above in parents.items():
        parents[node] = tuple(dict.fromkeys(above))


def _children(node: str, parents: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [child for child, above in parents.items() if node in above]


def _merge(gone: str, kept: str, parents: dict[str, tuple[str, ...]], home: dict[str, str]) -> None:
    """Let one node stand for another that is its only child or its only parent."""
    above_gone = tuple(node for node in parents.pop(gone) if node != kept)
    for node, above in parents.items():
        stands = above_gone if node == kept else (kept,)
        parents[node] = tuple(new for old in above for new in (stands if old == gone else (old,)))
    for name, node in home.items():
        if node == gone:
            home[name] = kept


def _synonyms(text: TaxonomyText, home: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Give every node the names of the nodes it stands for."""
    synonyms: dict[str, tuple[str, ...]] = {}
    for old, node in home.items():
        own = () if old == node else (old,)
        names = (*synonyms.get(node, ()), *own, *text.synonyms.get(old, ()))
        if names:
            synonyms[node] = names
    return synonyms


def _costs(
    text: TaxonomyText, cost: Float[np.ndarray, "node node"], parents: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, float]]:
    """Write the costs between the new leaves."""
    index = {name: place for place, name in enumerate(text.parents)}
    inner = {parent for above in parents.values() for parent in above}
    leaves = [node for node in parents if node not in inner]
    return {
        truth: {
            decision: float(cost[index[truth], index[decision]]) for decision in leaves if decision != truth
        }
        for truth in leaves
    }


def _label_maps(
    label_maps: Mapping[str, Mapping[str, str]], home: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Keep the labels that lead to a node that is left, or nowhere."""
    return {
        source: {label: home.get(node, node) for label, node in mapping.items() if not node or node in home}
        for source, mapping in label_maps.items()
    }
