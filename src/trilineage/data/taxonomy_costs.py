"""Clinical costs written for leaves or groups of leaves, spread over every pair of nodes."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from trilineage.core.errors import TaxonomyError


def spread_costs(
    written: Mapping[tuple[int, int], float],
    leaf_sets: Bool[np.ndarray, "node leaf"],
    nodes: tuple[str, ...],
) -> Float[np.ndarray, "node node"]:
    """Return the cost of each decision (column) for each truth (row).

    A pair written for inner nodes holds for all pairs of leaves below them; where several hold, the one that covers
    the fewest pairs wins. The cost between inner nodes is the mean over the leaves below them: a decision that stops
    early costs as much as one drawn among the leaves it leaves open, and a truth known in part is any of its leaves.
    A node costs nothing where itself is true.

    Raises
    ------
    TaxonomyError
        If a pair of leaves has no cost, or two groups of equal size give it different ones.
    """
    between_leaves = _leaf_costs(written, leaf_sets, nodes)
    shares = leaf_sets / leaf_sets.sum(axis=1, keepdims=True)
    costs: np.ndarray = shares @ between_leaves @ shares.T
    np.fill_diagonal(costs, 0.0)
    return costs


def _leaf_costs(
    written: Mapping[tuple[int, int], float],
    leaf_sets: Bool[np.ndarray, "node leaf"],
    nodes: tuple[str, ...],
) -> Float[np.ndarray, "leaf leaf"]:
    """Apply the pairs from the widest to the narrowest."""
    sizes = leaf_sets.sum(axis=1)
    n_leaves = leaf_sets.shape[1]
    costs, widths = np.full((n_leaves, n_leaves), np.nan), np.zeros((n_leaves, n_leaves), dtype=np.int64)
    for (truth, decision), cost in sorted(written.items(), key=lambda item: -np.prod(sizes[list(item[0])])):
        width = sizes[truth] * sizes[decision]
        pairs = np.outer(leaf_sets[truth], leaf_sets[decision]) & ~np.eye(n_leaves, dtype=bool)
        if (pairs & (widths == width) & (costs != cost)).any():
            raise TaxonomyError(
                "two costs of groups of equal size hold for the same pair of leaves",
                seen=f"truth {nodes[truth]!r}, decision {nodes[decision]!r}: {cost:g}",
                remedy="write the cost of the leaves themselves",
            )
        costs[pairs], widths[pairs] = cost, width
    np.fill_diagonal(costs, 0.0)
    if np.isnan(costs).any():
        leaves = [int(np.flatnonzero(column & (sizes == 1))[-1]) for column in leaf_sets.T]
        truth, decision = (nodes[leaves[place]] for place in np.argwhere(np.isnan(costs))[0])
        raise TaxonomyError(
            "a cost is missing",
            seen=f"truth {truth!r}, decision {decision!r}",
            allowed="a cost for every pair of leaves, or for groups that hold them",
            remedy=f"add a line `{decision} = ...` to [cost.{truth}], or remove [cost] to use the height of the tree",
        )
    return costs
