"""How few classes a latent answers to, and how near they lie in the tree of lineages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from trilineage.core.errors import DataError
from trilineage.data.taxonomy import Taxonomy


@dataclass(frozen=True)
class Specificity:
    """Figures per latent over the classes of its references; 0 where `is_known` is False."""

    entropy: Float64[np.ndarray, " latent"]
    """-sum p ln p over classes, in nats: 0 for one class, ln(classes) for all alike."""
    relative_entropy: Float64[np.ndarray, " latent"]
    """Entropy / ln(classes), in [0, 1]."""
    spread: Float64[np.ndarray, " latent"] | None
    """Expected distance in the tree, in edges, between the classes of two draws from p; None without a tree."""
    is_known: Bool[np.ndarray, " latent"]
    """Whether the latent has references with a class."""

    def figures(self) -> dict[str, Float64[np.ndarray, " latent"]]:
        """Return the figures by name, NaN where there is none."""
        named = {"entropy": self.entropy, "relative_entropy": self.relative_entropy, "spread": self.spread}
        return {
            name: np.where(self.is_known, values, np.nan)
            for name, values in named.items()
            if values is not None
        }


def specificity(
    class_shares: Float[np.ndarray, "latent class"],
    *,
    classes: Sequence[str] = (),
    taxonomy: Taxonomy | None = None,
) -> Specificity:
    """Return how the activation of each latent spreads over the classes.

    p_c is the share of class c in the summed scores of a latent's references. The lineage spread, sum over a and b of
    p_a p_b x (edges between a and b), takes the place of the standard deviation of label numbers, which would need an
    order of the classes: neutrophil and eosinophil are near, neutrophil and lymphoblast are not.

    What chance gets are the same figures of the shares of all images: `specificity(shares_of_images[None])`.

    Parameters
    ----------
    class_shares
        Non-negative; rows are brought to a sum of 1, rows of zeros are unknown.
    classes
        Names of the columns; needed with a taxonomy.
    taxonomy
        The tree; None leaves the spread out.

    Raises
    ------
    DataError
        Shares that are negative or no numbers, or as many names as there are not columns.
    LabelError
        A class that is no node of the taxonomy.
    """
    n_classes = class_shares.shape[1]
    if not (np.isfinite(class_shares).all() and (class_shares >= 0).all()):
        raise DataError(
            "shares of classes that are none",
            seen=class_shares[~(np.isfinite(class_shares) & (class_shares >= 0))][0],
            allowed="finite numbers of 0 or more",
            remedy="make the statistics again",
        )
    if taxonomy is not None and len(classes) != n_classes:
        raise DataError(
            "names and shares of classes do not belong together",
            seen=f"{len(classes)} names for {n_classes} columns",
            allowed="one name per column",
            remedy="name the classes in the order of the columns",
        )
    total = class_shares.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.divide(class_shares, total, out=np.zeros(class_shares.shape), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = np.maximum(-(shares * logs).sum(axis=1), 0.0)
    spread = None
    if taxonomy is not None:
        nodes = [taxonomy.index(taxonomy.resolve(name)) for name in classes]
        distances = taxonomy.distances[np.ix_(nodes, nodes)]
        spread = ((shares @ distances) * shares).sum(axis=1)
    return Specificity(entropy, entropy / np.log(max(n_classes, 2)), spread, total[:, 0] > 0)
