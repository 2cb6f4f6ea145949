"""From the probabilities of the nodes to one node per sample: five rules."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from trilineage.core.errors import ConfigError
from trilineage.core.registry import Registry
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.relations import Relations

Probabilities = Float[np.ndarray, "sample node"]
Codes = Int[np.ndarray, " sample"]
Decoder = Callable[[Probabilities, Taxonomy], Codes]

RULES = Registry[Decoder]("decoding rule")
"""Every rule by name."""


def decode(probabilities: Probabilities, taxonomy: Taxonomy, rule: str = "leaf_argmax") -> Codes:
    """Return the node index that a rule decides for, for each sample.

    Parameters
    ----------
    probabilities
        Of every node, in [0, 1].
    taxonomy
        Tree or DAG of these nodes.
    rule
        `leaf_argmax` the most probable leaf;
        `top_down` from the root to the most probable child until a leaf, never looking back;
        `expected_cost` the leaf of least expected clinical cost, argmin_d sum_t p(t) cost(t, d) over leaves
        (Karthik et al. 2021); with costs of 0 and 1 it is `leaf_argmax`;
        `majority_path` from the root as long as a child is more probable than 1/2: may stop at an inner node;
        `optimal_hf` the node of greatest expected hierarchical F1, exact over all nodes: may be an inner node.
        Equal nodes: the first in node order.

    Raises
    ------
    UnknownOptionError
        There is no such rule.
    ConfigError
        The probabilities are not those of this taxonomy.
    """
    decoder = RULES.get(rule)
    if probabilities.shape[1] != taxonomy.n_nodes:
        raise ConfigError(
            "probabilities of another number of nodes than the taxonomy has",
            seen=probabilities.shape[1],
            allowed=taxonomy.n_nodes,
            remedy="name the taxonomy that the model was trained with",
        )
    return decoder(probabilities, taxonomy)


def leaf_shares(probabilities: Probabilities, taxonomy: Taxonomy) -> Float[np.ndarray, "sample leaf"]:
    """Return the probabilities of the leaves, made to sum to 1 (those of a DAG of sigmoids do not)."""
    leaves = probabilities[:, taxonomy.leaf_nodes].astype(np.float64)
    total = leaves.sum(axis=1, keepdims=True)
    even = np.full_like(leaves, 1.0 / leaves.shape[1])
    return np.divide(leaves, total, out=even, where=total > 0)


@RULES.register("leaf_argmax")
def leaf_argmax(probabilities: Probabilities, taxonomy: Taxonomy) -> Codes:
    """Decide for the most probable leaf."""
    return taxonomy.leaf_nodes[probabilities[:, taxonomy.leaf_nodes].argmax(axis=1)]


@RULES.register("top_down")
def top_down(probabilities: Probabilities, taxonomy: Taxonomy) -> Codes:
    """Go from the root to the most probable child until a leaf is reached."""
    return _descend(probabilities, taxonomy, above=-np.inf)


@RULES.register("expected_cost")
def expected_cost(probabilities: Probabilities, taxonomy: Taxonomy) -> Codes:
    """Decide for the leaf of least expected clinical cost."""
    leaves = taxonomy.leaf_nodes
    costs = leaf_shares(probabilities, taxonomy) @ taxonomy.cost[np.ix_(leaves, leaves)]
    return leaves[_argmin_of_equals(costs, probabilities[:, leaves])]


@RULES.register("majority_path")
def majority_path(probabilities: Probabilities, taxonomy: Taxonomy) -> Codes:
    """Go from the root to the most probable child as long as its probability exceeds 1/2."""
    return _descend(probabilities, taxonomy, above=0.5)


@RULES.register("optimal_hf")
def optimal_hf(probabilities: Probabilities, taxonomy: Taxonomy) -> Codes:
    """Decide for the node d of greatest expected hierarchical F1.

    sum over leaves t of p(t) 2 |A(t) n A(d)| / (|A(t)| + |A(d)|), A being a node and its ancestors without the root.
    """
    gains = Relations(taxonomy).f1[taxonomy.leaf_nodes]
    return (leaf_shares(probabilities, taxonomy) @ gains).argmax(axis=1).astype(np.int64)


def _argmin_of_equals(
    costs: Float[np.ndarray, "sample leaf"], probabilities: Float[np.ndarray, "sample leaf"]
) -> Codes:
    """Return the leaf of least cost; where costs are equal up to rounding, the most probable of them."""
    least = costs.min(axis=1, keepdims=True)
    is_least = costs <= least + 1e-12 * np.maximum(np.abs(least), 1.0)
    return np.where(is_least, probabilities, -np.inf).argmax(axis=1).astype(np.int64)


def _descend(probabilities: Probabilities, taxonomy: Taxonomy, *, above: float) -> Codes:
    """Step to the most probable child while its probability is above a threshold."""
    here = np.zeros(len(probabilities), dtype=np.int64)
    for node in range(taxonomy.n_nodes):  # parents stand before children, so one pass reaches every leaf
        below = np.array(taxonomy.children_of(node), dtype=np.int64)
        at = np.flatnonzero(here == node)
        if len(below) == 0 or len(at) == 0:
            continue
        of_children = probabilities[np.ix_(at, below)]
        goes_on = of_children.max(axis=1) > above
        here[at[goes_on]] = below[of_children.argmax(axis=1)[goes_on]]
    return here
