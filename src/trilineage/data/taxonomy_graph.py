"""The shape of a tree or DAG given as the parents of each node: order, ancestors, depths, heights, distances."""

import heapq
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from trilineage.core.errors import TaxonomyError
from trilineage.core.registry import nearest_remedy

Parents = tuple[tuple[int, ...], ...]
"""Indices of the parents of each node, which stand before it; () for the root."""


def ordered_nodes(parents: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], Parents]:
    """Return the nodes with parents before children, otherwise in the order given, and their parents' indices.

    Raises
    ------
    TaxonomyError
        If a parent does not exist, there is not exactly one root, or nodes form a cycle.
    """
    names = tuple(parents)
    for name, above in parents.items():
        _require_parents(name, above, names)
    place = {name: position for position, name in enumerate(names)}
    children: dict[str, list[str]] = {name: [] for name in names}
    n_missing = {name: len(above) for name, above in parents.items()}
    for name, above in parents.items():
        for parent in above:
            children[parent].append(name)
    ready = [place[name] for name in names if not n_missing[name]]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for child in children[name]:
            n_missing[child] -= 1
            if not n_missing[child]:
                heapq.heappush(ready, place[child])
    if len(order) < len(names):
        raise _cycle([name for name in names if name not in set(order)], parents)
    _require_one_root([name for name in names if not parents[name]])
    index = {name: position for position, name in enumerate(order)}
    return tuple(order), tuple(tuple(sorted(index[parent] for parent in parents[name])) for name in order)


def ancestor_matrix(parents: Parents) -> Bool[np.ndarray, "node node"]:
    """Return whether column j is row i itself or stands above it on any way to the root."""
    matrix = np.eye(len(parents), dtype=bool)
    for node, above in enumerate(parents):
        for parent in above:
            matrix[node] |= matrix[parent]
    return matrix


def shortest_depths(parents: Parents) -> Int[np.ndarray, " node"]:
    """Return the edges from the root to each node on the shortest way."""
    depths = np.zeros(len(parents), dtype=np.int64)
    for node, above in enumerate(parents):
        if above:
            depths[node] = 1 + min(depths[parent] for parent in above)
    return depths


def node_heights(parents: Parents) -> Int[np.ndarray, " node"]:
    """Return the edges from each node to the farthest leaf below it; 0 for a leaf."""
    heights = np.zeros(len(parents), dtype=np.int64)
    for node in reversed(range(len(parents))):
        for parent in parents[node]:
            heights[parent] = max(heights[parent], heights[node] + 1)
    return heights


def lowest_common_heights(parents: Parents) -> Float[np.ndarray, "node node"]:
    """Return the height of the lowest common ancestor of two nodes (in a DAG, of the one with the least height).

    It is the usual stand-in for the severity of a mistake (Bertinetto et al. 2020, section 3). A node and itself
    have 0, also where the node is no leaf.
    """
    ancestors, heights = ancestor_matrix(parents), node_heights(parents).astype(float)
    common = ancestors[:, None, :] & ancestors[None, :, :]
    lowest: np.ndarray = np.where(common, heights, np.inf).min(axis=2)
    np.fill_diagonal(lowest, 0.0)
    return lowest


def edge_distances(parents: Parents) -> Float[np.ndarray, "node node"]:
    """Return the number of edges between two nodes, up to a common ancestor and down again on the shortest way."""
    n_nodes = len(parents)
    upwards = np.full((n_nodes, n_nodes), np.inf)
    np.fill_diagonal(upwards, 0.0)
    for node, above in enumerate(parents):
        for parent in above:
            np.minimum(upwards[node], upwards[parent] + 1.0, out=upwards[node])
    distances: np.ndarray = (upwards[:, None, :] + upwards[None, :, :]).min(axis=2)
    return distances


def _require_parents(name: str, above: Sequence[str], names: tuple[str, ...]) -> None:
    for parent in above:
        if parent not in names:
            raise TaxonomyError(
                f"node {name!r} is an orphan: its parent is no node",
                seen=parent,
                allowed=", ".join(names[:20]),
                remedy=nearest_remedy(parent, names),
            )
    if len(set(above)) < len(above):
        raise TaxonomyError(
            f"node {name!r} names a parent twice",
            seen=", ".join(above),
            remedy="name each parent once",
        )


def _require_one_root(roots: list[str]) -> None:
    if len(roots) != 1:
        raise TaxonomyError(
            "a taxonomy has one root: the one node without parents",
            seen=", ".join(roots) or "no node",
            allowed="one node without parents",
            remedy="give every other node a parent",
        )


def _cycle(left: list[str], parents: Mapping[str, Sequence[str]]) -> TaxonomyError:
    """Make the error for nodes that have no way to a root, naming one cycle."""
    way = [left[0]]
    while True:
        above = next(parent for parent in parents[way[-1]] if parent in left)
        if above in way:
            return TaxonomyError(
                "the taxonomy has a cycle: a node is its own ancestor",
                seen=" -> ".join([*way[way.index(above) :], above]),
                allowed="a tree, or a graph without cycles",
                remedy="remove one of these parents",
            )
        way.append(above)
