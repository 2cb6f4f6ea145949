"""What a saliency map explains: the log-probability of a node, alone or against other nodes such as its siblings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import Taxonomy

NO_TARGET = -1
"""Column of a place that holds no target: the path of this image is shorter than that of another."""


class NodeTarget(NamedTuple):
    """One thing to explain."""

    node: int
    """Column of the node in what the classifier returns."""
    against: tuple[int, ...] = ()
    """Columns of the nodes it is told apart from; none explains the node for itself."""


@dataclass(frozen=True)
class Targets:
    """What every map of every image explains; images may differ, and have fewer targets than others."""

    nodes: Int[np.ndarray, "image target"]
    """Column of each target; -1 where an image has no such target."""
    against: Bool[np.ndarray, "image target node"]
    """True for the nodes a target is told apart from."""
    names: tuple[str, ...]
    """Name of every column."""

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[NodeTarget]], names: Sequence[str]) -> Self:
        """Put together the targets of each image, in the order given; shorter rows are filled at their end.

        Raises
        ------
        ConfigError
            If nothing is to be explained, or a column does not exist.
        """
        longest = max(map(len, rows), default=0)
        _refuse_unusable(rows, len(names), longest)
        nodes = np.full((len(rows), longest), NO_TARGET)
        against = np.zeros((len(rows), longest, len(names)), dtype=bool)
        for image, row in enumerate(rows):
            for place, target in enumerate(row):
                nodes[image, place] = target.node
                against[image, place, list(target.against)] = True
        return cls(nodes, against, tuple(names))

    @classmethod
    def same(cls, row: Sequence[NodeTarget], n_images: int, names: Sequence[str]) -> Self:
        """Explain the same targets in every image."""
        return cls.from_rows([row] * n_images, names)

    @property
    def exists(self) -> Bool[np.ndarray, "image target"]:
        """True where an image has a target."""
        return self.nodes != NO_TARGET

    def take(self, images: Int[np.ndarray, " chosen"] | slice) -> Self:
        """Return the targets of some of the images."""
        return type(self)(self.nodes[images], self.against[images], self.names)

    def label(self, image: int, place: int) -> str:
        """Return a target in words: `AML`, `AML against ALL, APML`, or nothing where there is none.

        Examples
        --------
        >>> Targets.same([NodeTarget(1, (0, 2))], 1, ("ALL", "AML", "APML")).label(0, 0)
        'AML against ALL, APML'
        """
        if not self.exists[image, place]:
            return ""
        rivals = [self.names[column] for column in np.flatnonzero(self.against[image, place])]
        name = self.names[self.nodes[image, place]]
        return f"{name} against {', '.join(rivals)}" if rivals else name

    def evidence(self, log_probabilities: Float[Tensor, "image node"]) -> Float[Tensor, "image target"]:
        """Return log p(node), less log p(any of the nodes it is against) where there are such; 0 without a target.

        Against its siblings this is the log-odds of the node given its parent: unlike log p(node), whose gradient
        vanishes as p approaches 1, it says what separates look-alikes however sure the classifier is.
        """
        nodes = torch.as_tensor(self.nodes, device=log_probabilities.device)
        against = torch.as_tensor(self.against, device=log_probabilities.device)
        own = log_probabilities.gather(1, nodes.clamp_min(0))
        has_rival = against.any(dim=2)
        # A row without rivals would be log of nothing, whose gradient is NaN even where it is not used.
        counted = against | ~has_rival[..., None]
        rivals = log_probabilities[:, None].masked_fill(~counted, -torch.inf).logsumexp(dim=2)
        evidence = own - torch.where(has_rival, rivals, 0.0)
        return torch.where(nodes >= 0, evidence, 0.0)

    def probability(self, log_probabilities: Float[Tensor, "image node"]) -> Float[Tensor, "image target"]:
        """Return p(node), or p(node) given that it is the node or one it is against; 1 where there is no target."""
        evidence = self.evidence(log_probabilities)
        has_rival = torch.as_tensor(self.against.any(axis=2), device=evidence.device)
        return torch.where(has_rival, evidence.sigmoid(), evidence.exp())


def siblings(taxonomy: Taxonomy, node: int) -> tuple[int, ...]:
    """Return the other children of the parents of a node, in node order; empty for the root and an only child."""
    others = {child for parent in taxonomy.parents[node] for child in taxonomy.children_of(parent)}
    return tuple(sorted(others - {node}))


def path_targets(taxonomy: Taxonomy, node: int, *, against_siblings: bool = True) -> tuple[NodeTarget, ...]:
    """Return the nodes on the way to a node, the root left out, each for itself or against its siblings.

    The root is always certain and has nothing to explain; so has an only child, given its parent.
    """
    targets = []
    for step in taxonomy.path(node)[1:]:
        rivals = siblings(taxonomy, step)
        if not against_siblings:
            targets.append(NodeTarget(step))
        elif rivals:
            targets.append(NodeTarget(step, rivals))
    return tuple(targets)


def _refuse_unusable(rows: Sequence[Sequence[NodeTarget]], n_names: int, longest: int) -> None:
    """Raise unless there is something to explain and every column exists."""
    if longest == 0:
        raise ConfigError(
            "there is nothing to explain",
            seen="no target",
            allowed="a node below the root",
            remedy="name a node, or explain images that are not decided for the root",
        )
    for target in (target for row in rows for target in row):
        columns = (target.node, *target.against)
        if min(columns) < 0 or max(columns) >= n_names or target.node in target.against:
            raise ConfigError(
                "a target is no node, or is against itself",
                seen=f"node {target.node} against {list(target.against)}",
                allowed=f"different columns from 0 to {n_names - 1}",
                remedy="take the columns from the taxonomy of the classifier",
            )
