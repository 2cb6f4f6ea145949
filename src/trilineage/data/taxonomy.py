"""The tree (or DAG) of diagnoses or cells: levels, ancestors, distances, clinical costs, synonyms and label maps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from operator import index
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from trilineage.core.errors import DataError, LabelError, TaxonomyError
from trilineage.core.registry import nearest_remedy
from trilineage.data.taxonomy_costs import spread_costs
from trilineage.data.taxonomy_file import TaxonomyText, format_taxonomy, parse_taxonomy
from trilineage.data.taxonomy_graph import (
    Parents,
    ancestor_matrix,
    edge_distances,
    lowest_common_heights,
    node_heights,
    ordered_nodes,
    shortest_depths,
)
from trilineage.data.taxonomy_labels import fold, look_up, name_table
from trilineage.data.taxonomy_pruning import prune

UNKNOWN = -1
"""Code of a sample without a label."""

_MAX_TAXONOMY_BYTES = 1_000_000
"""Far above any taxonomy; stops a mistaken data file before it is parsed."""


@dataclass(frozen=True)
class Taxonomy:
    """A rooted tree or DAG whose leaves may lie at different depths; read from TOML, checked when made."""

    name: str
    """Name of the taxonomy."""
    nodes: tuple[str, ...]
    """Node names, the root first and parents before children."""
    parents: Parents
    """Indices of the parents of each node; () for the root, several where the ways of a DAG meet."""
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Other names of a node."""
    titles: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Name for display of a node, where it is not the node's name."""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    """Cost by truth and decision as written, nodes standing for the leaves below; empty: the height of the tree."""
    label_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Node of each label of a named data set; "" for labels that are left out."""
    title: str = ""
    """One line for people."""
    notes: str = ""
    """What a user must know."""

    def __post_init__(self):
        _ = self._names, self.cost  # both refuse what has two meanings
        if any(above and max(above) >= node for node, above in enumerate(self.parents)):
            raise TaxonomyError(
                "parents do not stand before their children", remedy="make the taxonomy with from_parents"
            )
        for source, mapping in self.label_maps.items():
            for label, node in mapping.items():
                _require_mapped(self, source, label, node)

    @classmethod
    def from_text(cls, text: TaxonomyText) -> "Taxonomy":
        """Check what a taxonomy file says and put its nodes in order."""
        nodes, parents = ordered_nodes(text.parents)
        synonyms = {node: tuple(names) for node, names in text.synonyms.items()}
        names = name_table(nodes, synonyms)
        label_maps = {
            source: {label: names.get(fold(node), node) for label, node in mapping.items()}
            for source, mapping in text.label_maps.items()
        }
        return cls(
            text.name, nodes, parents, synonyms, text.titles, text.costs, label_maps, text.title, text.notes
        )

    @classmethod
    def from_toml(cls, text: str) -> "Taxonomy":
        """Read a taxonomy from the text of its file.

        Raises
        ------
        TaxonomyError
            If it is no TOML, has a cycle, an orphan, two roots, or a name with two meanings.
        NewerVersionError
            If its format is newer than this package.
        """
        return cls.from_text(parse_taxonomy(text))

    @classmethod
    def from_parents(
        cls, name: str, parents: Mapping[str, Iterable[str]], **parts: Mapping[str, object]
    ) -> "Taxonomy":
        """Make a taxonomy from the names of each node's parents; `parts` as in a file (`synonyms`, `costs`, ...)."""
        return cls.from_text(
            TaxonomyText(name, {node: tuple(above) for node, above in parents.items()}, **parts)  # type: ignore[arg-type]
        )

    def to_text(self) -> TaxonomyText:
        """Return what the file of this taxonomy says."""
        parents = {
            node: tuple(self.nodes[above] for above in parents)
            for node, parents in zip(self.nodes, self.parents, strict=True)
        }
        return TaxonomyText(
            self.name,
            parents,
            self.synonyms,
            self.titles,
            self.costs,
            self.label_maps,
            self.title,
            self.notes,
        )

    def to_toml(self) -> str:
        """Return the text of the file of this taxonomy; `from_toml` reads it back."""
        return format_taxonomy(self.to_text())

    # ---- shape ------------------------------------------------------------------------------------------------------

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def root(self) -> str:
        """Name of the root."""
        return self.nodes[0]

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """Names of the nodes without children, in node order."""
        return tuple(self.nodes[node] for node in self.leaf_nodes)

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """Names of the nodes with children, in node order: a hierarchical model has one head for each."""
        return tuple(node for node, below in zip(self.nodes, self._children, strict=True) if below)

    @cached_property
    def is_tree(self) -> bool:
        """Whether no node has two parents."""
        return all(len(above) <= 1 for above in self.parents)

    @cached_property
    def depth(self) -> Int[np.ndarray, " node"]:
        """Edges from the root to each node, on the shortest way."""
        return shortest_depths(self.parents)

    @cached_property
    def heights(self) -> Int[np.ndarray, " node"]:
        """Edges from each node to the farthest leaf below it."""
        return node_heights(self.parents)

    @property
    def height(self) -> int:
        """Edges from the root to the farthest leaf."""
        return int(self.heights[0])

    @cached_property
    def ancestors(self) -> Bool[np.ndarray, "node node"]:
        """Whether column j is row i itself or an ancestor of it."""
        return ancestor_matrix(self.parents)

    @cached_property
    def leaf_nodes(self) -> Int[np.ndarray, " leaf"]:
        """Node index of each leaf."""
        return np.array([node for node, below in enumerate(self._children) if not below], dtype=np.int64)

    @cached_property
    def leaf_sets(self) -> Bool[np.ndarray, "node leaf"]:
        """Whether a leaf (column) is a node (row) or below it."""
        return self.ancestors[self.leaf_nodes].T

    @cached_property
    def lca_heights(self) -> Float[np.ndarray, "node node"]:
        """Height of the lowest common ancestor of two nodes; 0 for a node and itself."""
        return lowest_common_heights(self.parents)

    @cached_property
    def distances(self) -> Float[np.ndarray, "node node"]:
        """Edges between two nodes, up to a common ancestor and down again."""
        return edge_distances(self.parents)

    @cached_property
    def cost(self) -> Float[np.ndarray, "node node"]:
        """Cost of a decision (column) for a truth (row): as written, else the height of the lowest common ancestor."""
        if not self.costs:
            return self.lca_heights
        written = {
            (self.index(truth), self.index(decision)): cost
            for truth, row in self.costs.items()
            for decision, cost in row.items()
        }
        return spread_costs(written, self.leaf_sets, self.nodes)

    def children_of(self, node: SupportsIndex) -> tuple[int, ...]:
        """Return the indices of the children of a node, in node order."""
        return self._children[node]

    def path(self, node: SupportsIndex) -> tuple[int, ...]:
        """Return the indices from the root to a node, both included; in a DAG a shortest way."""
        way = [index(node)]
        while self.parents[way[-1]]:
            way.append(min(self.parents[way[-1]], key=lambda parent: (self.depth[parent], parent)))
        return tuple(reversed(way))

    def level_nodes(self, depth: int) -> tuple[int, ...]:
        """Return the nodes at a depth, and the leaves above it: in a tree every leaf is below or among exactly one."""
        is_here = (self.depth == depth) | ((self.depth < depth) & (self.heights == 0))
        return tuple(int(node) for node in np.flatnonzero(is_here))

    # ---- names ------------------------------------------------------------------------------------------------------

    def index(self, name: str) -> int:
        """Return the index of a node by its exact name.

        Raises
        ------
        LabelError
            If there is no such node.
        """
        if name not in self._index:
            raise LabelError(
                f"{name!r} is no node of the taxonomy {self.name}",
                seen=name,
                allowed=", ".join(self.nodes),
                remedy=nearest_remedy(name, self.nodes),
            )
        return self._index[name]

    def title_of(self, name: str) -> str:
        """Return the name of a node for display."""
        return self.titles.get(name, name.replace("_", " "))

    def resolve(self, label: str, label_map: str | Mapping[str, str] | None = None) -> str:
        """Return the node that a label means; case, spaces, underscores and hyphens do not count.

        Parameters
        ----------
        label_map
            Labels of a data set that come before names and synonyms: a mapping, or the name of one of `label_maps`.
            Its "" (leave out) is returned as it is.

        Raises
        ------
        LabelError
            If it means none; the message names the nearest.
        """
        mapped = self._folded(label_map).get(fold(label))
        if mapped is None:
            return look_up(label, self._names, taxonomy=self.name)
        return look_up(mapped, self._names, taxonomy=self.name) if mapped else ""

    def codes(
        self, labels: Shaped[np.ndarray, " sample"], label_map: str | Mapping[str, str] | None = None
    ) -> Int[np.ndarray, " sample"]:
        """Return the node index of each label, which may be an inner node; -1 for "" and for what a map leaves out."""
        unique, inverse = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        names = [self.resolve(label, label_map) if label.strip() else "" for label in unique.tolist()]
        found = np.array([self._index[name] if name else UNKNOWN for name in names], dtype=np.int64)
        codes: np.ndarray = found[inverse.reshape(-1)]
        return codes

    def restricted_to(self, leaves: Iterable[str]) -> "Taxonomy":
        """Return the taxonomy of these nodes and what is above them.

        A named node becomes a leaf (unless another named one is below it) and is also found by the names of what was
        below it. Inner nodes that are left with a single child merge with it. Other branches, their names and their
        entries in label maps go.

        Raises
        ------
        LabelError
            If a name is no node.
        TaxonomyError
            If fewer than two nodes are named.
        """
        return Taxonomy.from_text(prune(self.to_text(), [self.resolve(leaf) for leaf in leaves], self))

    @cached_property
    def _children(self) -> tuple[tuple[int, ...], ...]:
        below: list[list[int]] = [[] for _ in self.nodes]
        for node, above in enumerate(self.parents):
            for parent in above:
                below[parent].append(node)
        return tuple(map(tuple, below))

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: node for node, name in enumerate(self.nodes)}

    @cached_property
    def _names(self) -> dict[str, str]:
        return name_table(self.nodes, self.synonyms)

    def _folded(self, label_map: str | Mapping[str, str] | None) -> dict[str, str]:
        """Return a label map by folded label."""
        if isinstance(label_map, str):
            if label_map not in self.label_maps:
                raise LabelError(
                    f"the taxonomy {self.name} has no label map {label_map!r}",
                    allowed=", ".join(self.label_maps) or None,
                    remedy=nearest_remedy(label_map, tuple(self.label_maps)),
                )
            label_map = self.label_maps[label_map]
        return {fold(label): node for label, node in (label_map or {}).items()}


def shipped_taxonomies() -> tuple[str, ...]:
    """Return the names of the taxonomies that come with the package."""
    folder = files("trilineage.data") / "taxonomies"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """Read a taxonomy that comes with the package, by name, or any other by the path of its TOML file.

    Raises
    ------
    TaxonomyError
        If there is none, or its file breaks a rule of `Taxonomy.from_toml`.

    Examples
    --------
    >>> tree = load_taxonomy("leukemia")
    >>> tree.leaves
    ('normal', 'reactive', 'ALL', 'AML', 'APML', 'CLL', 'CML')
    >>> [tree.nodes[node] for node in tree.path(tree.index(tree.resolve("acute promyelocytic leukemia")))]
    ['diagnosis', 'leukemia', 'acute', 'APML']
    """
    if str(name_or_path) in shipped_taxonomies():
        return Taxonomy.from_toml(
            (files("trilineage.data") / "taxonomies" / f"{name_or_path}.toml").read_text("utf-8")
        )
    path = Path(name_or_path)
    if not path.is_file():
        raise TaxonomyError(
            f"there is no taxonomy {str(name_or_path)!r}",
            allowed=f"{', '.join(shipped_taxonomies())}, or the path of a TOML file",
            remedy=nearest_remedy(str(name_or_path), shipped_taxonomies()),
        )
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MAX_TAXONOMY_BYTES + 1)
        if len(data) > _MAX_TAXONOMY_BYTES:
            raise TaxonomyError(
                f"{path} is too large for a taxonomy", allowed=f"{_MAX_TAXONOMY_BYTES:,} bytes"
            )
        return Taxonomy.from_toml(data.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise TaxonomyError(
            f"cannot read the taxonomy {path}", seen=error, remedy="name a TOML file"
        ) from None
    except DataError as error:
        error.add_note(f"in {path}")
        raise


def _require_mapped(taxonomy: Taxonomy, source: str, label: str, node: str) -> None:
    if node and fold(node) not in taxonomy._names:
        raise TaxonomyError(
            f"the label map {source} leads to what is no node",
            seen=f"{label} -> {node}",
            allowed=", ".join(taxonomy.nodes),
            remedy=nearest_remedy(node, taxonomy.nodes),
        )
