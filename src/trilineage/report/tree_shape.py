"""The tree of labels as it stands in `nodes.json`: the order in which it is drawn, who is whose parent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TreeShape:
    """Nodes in the order of an indented list; in a DAG a node stands under its first parent."""

    rows: tuple[Row, ...]
    """Rows of `nodes.json`, each directly below its parent's branch."""

    @classmethod
    def of(cls, nodes: Sequence[Row]) -> "TreeShape":
        """Order the rows of `nodes.json`."""
        children: dict[str, list[Row]] = {}
        for row in nodes:
            children.setdefault((row["parents"] or [""])[0], []).append(row)
        ordered: list[Row] = []
        waiting = list(reversed(children.get("", [])))
        while waiting:
            row = waiting.pop()
            ordered.append(row)
            waiting += reversed(children.get(row["node"], []))
        return cls(tuple(ordered))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(row["node"] for row in self.rows)

    @property
    def is_tree(self) -> bool:
        """Whether every node has one parent at most."""
        return all(len(row["parents"]) <= 1 for row in self.rows)

    @property
    def depths(self) -> tuple[int, ...]:
        """Steps from the root along the first parents."""
        depth: dict[str, int] = {}
        for row in self.rows:
            depth[row["node"]] = depth[row["parents"][0]] + 1 if row["parents"] else 0
        return tuple(depth.values())

    def path(self, name: str) -> tuple[str, ...]:
        """Return the nodes from below the root to a node, along the first parents; empty for a name not on the tree."""
        parents = {row["node"]: (row["parents"] or [None])[0] for row in self.rows}
        found: list[str] = []
        step = name if name in parents else None
        while step is not None and parents[step] is not None:
            found.append(step)
            step = parents[step]
        return tuple(reversed(found))

    def branch(self, name: str) -> str:
        """Return the child of the root above a node (itself, if it is one)."""
        return (self.path(name) or (name,))[0]

    def is_right(self, label: str, decision: str) -> bool:
        """Tell whether a decision is its label or a node below it, by any parent."""
        parents = {row["node"]: row["parents"] for row in self.rows}
        waiting, seen = [decision], set()
        while waiting:
            name = waiting.pop()
            if name == label:
                return True
            seen.add(name)
            waiting += [parent for parent in parents.get(name, ()) if parent not in seen]
        return False
