"""From logits to log-probabilities of every node of a taxonomy, in float32 and in log space throughout."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from trilineage.core.errors import ConfigError
from trilineage.data.taxonomy import Taxonomy


class LeafSums(nn.Module):
    """One softmax over the leaves; a node has the sum of the leaves below it.

    References
    ----------
    Valmadre, "Hierarchical classification at multiple operating points", NeurIPS 2022: the flat baseline.
    """

    def __init__(self, taxonomy: Taxonomy):
        super().__init__()
        below = [torch.from_numpy(row.nonzero()[0]) for row in taxonomy.leaf_sets]
        self.sizes = [len(leaves) for leaves in below]
        self.register_buffer("below", torch.cat(below), persistent=False)

    def forward(self, logits: Float[Tensor, "image leaf"]) -> Float[Tensor, "image node"]:
        """Return log p(node); exactly 0 for the root."""
        log_leaves = F.log_softmax(logits.float(), dim=1)
        parts = log_leaves[:, self.below].split(self.sizes, dim=1)
        columns = [part if part.shape[1] == 1 else part.logsumexp(1, keepdim=True) for part in parts[1:]]
        return torch.cat([torch.zeros_like(log_leaves[:, :1]), *columns], dim=1).clamp_max(0.0)


class Conditionals(nn.Module):
    """One softmax over the children of each parent; a node has the product of the conditionals on its path.

    Logits and conditionals stand parent by parent in node order, the children of each in node order.
    """

    def __init__(self, taxonomy: Taxonomy):
        super().__init__()
        require_tree(taxonomy, "conditional probabilities")
        groups = [taxonomy.children_of(taxonomy.index(parent)) for parent in taxonomy.inner]
        order = [child for group in groups for child in group]
        place = {child: position for position, child in enumerate(order)}
        self.sizes = [len(group) for group in groups]
        self.register_buffer(
            "place", torch.tensor([place[node] for node in range(1, taxonomy.n_nodes)]), persistent=False
        )
        self.register_buffer(
            "on_path", torch.from_numpy(taxonomy.ancestors.T).float().contiguous(), persistent=False
        )

    def forward(self, logits: Float[Tensor, "image edge"]) -> Float[Tensor, "image node"]:
        """Return log p(node | parent) in node order; 0 for the root."""
        parts = logits.float().split(self.sizes, dim=1)
        return self.in_node_order([F.log_softmax(part, dim=1) for part in parts])

    def in_node_order(self, parts: Sequence[Float[Tensor, "image _"]]) -> Float[Tensor, "image node"]:
        """Return the conditionals of each parent (image, child) as one table, with a 0 for the root."""
        table = torch.cat([part.float() for part in parts], dim=1)[:, self.place]
        return F.pad(table, (1, 0))

    def multiplied(self, conditionals: Float[Tensor, "image node"]) -> Float[Tensor, "image node"]:
        """Return log p(node), the sum of the log-conditionals from the root down."""
        with torch.autocast(conditionals.device.type, enabled=False):
            return conditionals @ self.on_path.to(conditionals.dtype)


class MaximumOfDescendants(nn.Module):
    """A sigmoid per node but the root, raised to the largest below it: parents are never less likely than children.

    References
    ----------
    Giunchiglia and Lukasiewicz, "Coherent hierarchical multi-label classification networks", NeurIPS 2020 (the
    constraint module MCM, equation 2).
    """

    def __init__(self, taxonomy: Taxonomy):
        super().__init__()
        below = [torch.from_numpy(column.nonzero()[0]) for column in taxonomy.ancestors.T[1:]]
        self.sizes = [len(nodes) for nodes in below]
        self.register_buffer("below", torch.cat(below), persistent=False)

    def forward(self, logits: Float[Tensor, "image edge"]) -> Float[Tensor, "image node"]:
        """Return log p(node); exactly 0 for the root."""
        return F.pad(F.logsigmoid(self.raised(logits.float())), (1, 0))

    def raised(self, logits: Float[Tensor, "image edge"]) -> Float[Tensor, "image edge"]:
        """Return the largest logit among a node and those below it, for every node but the root."""
        parts = logits[:, self.below - 1].split(self.sizes, dim=1)
        return torch.cat([part if part.shape[1] == 1 else part.amax(1, keepdim=True) for part in parts], 1)


def compose_conditionals(
    log_conditionals: Sequence[Float[Tensor, "image _"]], taxonomy: Taxonomy
) -> Float[Tensor, "image node"]:
    """Return log p(node) from one log-softmax over children per inner node, in the order of `taxonomy.inner`.

    This joins the separate models of the base hierarchical variant; calibrate each before, for the errors of a path
    multiply.

    Raises
    ------
    ConfigError
        If the taxonomy is no tree, or the tables are not those of its inner nodes.
    """
    join = Conditionals(taxonomy).to(log_conditionals[0].device if log_conditionals else "cpu")
    widths = [part.shape[1] for part in log_conditionals]
    if widths != join.sizes:
        raise ConfigError(
            "the models of a base hierarchy do not fit the taxonomy",
            seen=f"{len(widths)} models with {widths} outputs",
            allowed=", ".join(
                f"{name}: {size}" for name, size in zip(taxonomy.inner, join.sizes, strict=True)
            ),
            remedy="train one model for each inner node, with an output for each child",
        )
    return join.multiplied(join.in_node_order(log_conditionals))


def require_tree(taxonomy: Taxonomy, what: str) -> None:
    """Refuse a DAG.

    Raises
    ------
    ConfigError
        If a node has two parents.
    """
    if not taxonomy.is_tree:
        crossing = [
            name for name, above in zip(taxonomy.nodes, taxonomy.parents, strict=True) if len(above) > 1
        ]
        raise ConfigError(
            f"{what} need a tree, and {taxonomy.name} is none",
            seen=f"nodes with several parents: {', '.join(crossing)}",
            allowed="variants `flat` and `max_constrained`",
            remedy="choose one of these variants, or a taxonomy in which every node has one parent",
        )
