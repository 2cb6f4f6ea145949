"""How each decision stands to each truth on a taxonomy, where what lies below a label is unknown and never wrong."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from trilineage.core.errors import CohortError
from trilineage.core.records import NodePrediction
from trilineage.data.taxonomy import Taxonomy


@dataclass(frozen=True)
class Relations:
    """Tables [truth, decision] from which every metric of a decision follows.

    A label may stop at an inner node ("acute"). Then every node that may still be true (those below it, and in a
    DAG the other ancestors of the leaves below it) is unknown: deciding for one of them is neither right nor wrong.
    The root says nothing and counts in no metric.
    """

    taxonomy: Taxonomy
    """The tree or DAG."""

    @cached_property
    def known(self) -> Bool[np.ndarray, "node node"]:
        """Whether a node (column) is true if the label is a row: the label and its ancestors, without the root."""
        known = self.taxonomy.ancestors.copy()
        known[:, 0] = False
        return known

    @cached_property
    def unknown(self) -> Bool[np.ndarray, "node node"]:
        """Whether a node (column) may be true if the label is a row, without being known to be."""
        sets = self.taxonomy.leaf_sets
        above_leaves = self.taxonomy.ancestors[self.taxonomy.leaf_nodes]
        possible = (sets.astype(np.int64) @ above_leaves) > 0
        return possible & ~self.taxonomy.ancestors

    @cached_property
    def shared(self) -> Float[np.ndarray, "node node"]:
        """Number of nodes that label and decision have in common."""
        known = self.known.astype(np.float64)
        return known @ known.T

    @cached_property
    def claimed(self) -> Float[np.ndarray, "node node"]:
        """Number of nodes that a decision claims, without the unknown ones."""
        return (~self.unknown).astype(np.float64) @ self.known.T.astype(np.float64)

    @cached_property
    def sizes(self) -> Float[np.ndarray, " node"]:
        """Number of nodes that a label states."""
        return self.known.sum(axis=1).astype(np.float64)

    @cached_property
    def is_right(self) -> Bool[np.ndarray, "node node"]:
        """Whether the decision is the label or below it."""
        return self.taxonomy.ancestors.T.copy()

    @cached_property
    def heights(self) -> Float[np.ndarray, "node node"]:
        """Height of the lowest common ancestor of label and decision; 0 where the decision is right."""
        return np.where(self.is_right, 0.0, self.taxonomy.lca_heights)

    @cached_property
    def costs(self) -> Float[np.ndarray, "node node"]:
        """Clinical cost of the decision for the label; 0 where the decision is right."""
        return np.where(self.is_right, 0.0, self.taxonomy.cost)

    @cached_property
    def f1(self) -> Float[np.ndarray, "node node"]:
        """Hierarchical F1 of one decision for one label (0 where either says nothing)."""
        below = self.claimed + self.sizes[:, None]
        return np.divide(2.0 * self.shared, below, out=np.zeros_like(below), where=below > 0)

    def reaches(self, level: int) -> Bool[np.ndarray, " node"]:
        """Tell whether a label states a node at a level (1 is below the root)."""
        return (self.known & (self.taxonomy.depth == level)).any(axis=1)

    def is_right_at(self, level: int) -> Bool[np.ndarray, "node node"]:
        """Tell whether the decision holds every node that the label states at a level."""
        at_level = (self.known & (self.taxonomy.depth == level)).astype(np.int64)
        missed = at_level @ (~self.taxonomy.ancestors).T.astype(np.int64)
        return (missed == 0) & (at_level.sum(axis=1) > 0)[:, None]

    @cached_property
    def children(self) -> tuple[tuple[int, Int[np.ndarray, " child"]], ...]:
        """Inner nodes with the indices of their children, in node order."""
        pairs = ((node, self.taxonomy.children_of(node)) for node in range(self.taxonomy.n_nodes))
        return tuple((node, np.array(below, dtype=np.int64)) for node, below in pairs if below)


def require_nodes(prediction: NodePrediction, taxonomy: Taxonomy) -> None:
    """Refuse a prediction of other nodes than those of the taxonomy.

    Raises
    ------
    CohortError
        The nodes differ, or stand in another order.
    """
    if prediction.nodes != taxonomy.nodes:
        raise CohortError(
            f"a prediction that does not belong to the taxonomy {taxonomy.name}",
            seen=", ".join(prediction.nodes[:12]),
            allowed=", ".join(taxonomy.nodes[:12]),
            remedy="name the taxonomy that the model was trained with",
        )
