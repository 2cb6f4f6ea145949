"""Maps of some images with the model of a Run: of the whole path to a node, or of the node alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from trilineage.data.images.table import ImageTable
from trilineage.data.taxonomy import Taxonomy
from trilineage.explain.saliency.maps import SaliencyMaps
from trilineage.explain.saliency.methods import SaliencySettings, explain_images
from trilineage.explain.saliency.targets import NodeTarget, Targets, path_targets, siblings
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.parent_networks import ParentNetworks
from trilineage.pipelines._images.store import Stored


@dataclass(frozen=True)
class Explained:
    """The images explained, with everything about them."""

    table: ImageTable
    """The images."""
    patients: np.ndarray
    """Patient of each image."""
    pixels: Float[Tensor, "image 3 height width"]
    """Their pixels in [0, 1]."""
    codes: Int[np.ndarray, " image"]
    """Node explained in each image."""
    captions: tuple[str, ...]
    """What each image is and what it was called."""


def node_targets(
    taxonomy: Taxonomy, codes: Int[np.ndarray, " image"], *, against: bool, only: bool
) -> Targets:
    """Return the nodes of each path, or the node alone."""

    def row(code: int) -> Sequence[NodeTarget]:
        if only:
            return (NodeTarget(code, siblings(taxonomy, code) if against else ()),)
        return path_targets(taxonomy, code, against_siblings=against)

    return Targets.from_rows([row(int(code)) for code in codes], taxonomy.nodes)


def make_maps(
    stored: Stored, explained: Explained, settings: SaliencySettings, *, only: bool
) -> SaliencyMaps:
    """Make the maps of the images: of every node on the path to the node explained, or of that node only."""
    targets = node_targets(stored.taxonomy, explained.codes, against=settings.against_siblings, only=only)
    names = tuple(map(str, explained.table.names))
    if isinstance(stored.model, ImageClassifier):
        return explain_images(stored.model, explained.pixels, targets, settings=settings, images=names)
    return _maps_of_parents(stored.model, explained, targets, settings, names)


def _maps_of_parents(
    model: ParentNetworks,
    explained: Explained,
    targets: Targets,
    settings: SaliencySettings,
    names: tuple[str, ...],
) -> SaliencyMaps:
    """Make each map with the model of the target's parent; a child stands against its siblings by construction."""
    taxonomy = model.taxonomy
    values: np.ndarray | None = None
    first: SaliencyMaps | None = None
    for parent in taxonomy.inner:
        children = taxonomy.children_of(taxonomy.index(parent))
        place = {child: number for number, child in enumerate(children, start=1)}
        of_parent = np.isin(targets.nodes, children)
        images = np.flatnonzero(of_parent.any(axis=1))
        if len(images) == 0:
            continue
        rows = [
            [NodeTarget(place[node]) for node in targets.nodes[image] if node in place] for image in images
        ]
        network = model.network_of(parent)
        own = Targets.from_rows(rows, [parent, *(taxonomy.nodes[child] for child in children)])
        first = explain_images(network, explained.pixels[images], own, settings=settings)
        if values is None:
            values = np.full(
                (*targets.nodes.shape, *first.values.shape[2:]), np.nan, dtype=first.values.dtype
            )
        values[images, of_parent[images].argmax(axis=1)] = first.values[:, 0]
    assert first is not None
    assert values is not None
    return SaliencyMaps(values, targets, names, settings.method, first.image_size)


def deepest(targets: Targets) -> Int[np.ndarray, " image"]:
    """Return the place of the last target of each image."""
    return targets.exists.sum(axis=1) - 1
