"""Where the numbers of a page come from: the files of the Run that were read while a part of it was made.

Nobody has to remember to name them: a section is made from a Run that notes what is read from it. A block that knows
better which of the files of its section it shows says so itself (`sources`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from trilineage.core.artifacts import Run
from trilineage.core.manifest import MANIFEST_NAME
from trilineage.report.blocks import Block, Facts, Figure, Fold, Gallery, Section, Table

WORDS_NAME = "cohort.json"
"""Read by nearly every section for what samples and patients are called; a source only where nothing else is."""
_FROM_MANIFEST = ("asked", "provenance")

Made = TypeVar("Made")


class NotingRun(Run):
    """A Run that notes which of its files were read.

    Every way to read passes `read_bytes` (weights aside, which no page reads), so this one method is overridden where
    otherwise wrapping is the rule: a wrapper would not see the reads that a Run makes through itself.
    """

    def __init__(self, run: Run):
        super().__init__(run.path, run.manifest)
        self.names: list[str] = []
        """Files that were read, in order."""

    def read_bytes(self, name: str) -> bytes:
        """Read a file as `Run.read_bytes` does, and note its name."""
        self.names.append(name)
        return super().read_bytes(name)


def noted(make: Callable[[Run], Made], run: Run) -> tuple[Made, tuple[str, ...]]:
    """Return what was made from a Run, and the files it was made from: each once, pictures left out."""
    noting = NotingRun(run)
    made = make(noting)
    names = [name for name in dict.fromkeys(noting.names) if not name.endswith((".png", ".jpg"))]
    return made, tuple(name for name in names if name != WORDS_NAME) or tuple(names)


def made_with_sources(make: Callable[[Run], Section | None], run: Run) -> Section | None:
    """Make a section whose numbers link to the files of the Run they came from."""
    section, names = noted(make, run)
    if section is None:
        return None
    return with_sources(section, (MANIFEST_NAME, *names) if section.name in _FROM_MANIFEST else names)


def linked(blocks: Iterable[Block], *names: str) -> list[Block]:
    """Return blocks whose tables, figures, facts and pictures link to files, those that name none to `names`."""
    return [_linked(block, names) for block in blocks]


def with_sources(section: Section, names: Sequence[str]) -> Section:
    """Return a section whose tables, figures, facts and pictures link to files, those that name none to `names`.

    A section of sentences alone links at its end.
    """
    blocks = tuple(linked(section.blocks, *names))
    is_said = any(_says(block) for block in blocks)
    return replace(section, blocks=blocks, sources=() if is_said else tuple(names))


def _linked(block: Block, names: tuple[str, ...]) -> Block:
    if isinstance(block, Fold):
        return replace(block, blocks=tuple(_linked(inner, names) for inner in block.blocks))
    if isinstance(block, Table | Figure | Facts | Gallery) and not block.sources:
        return replace(block, sources=names)
    return block


def _says(block: Any) -> bool:
    return bool(getattr(block, "sources", ())) or any(_says(inner) for inner in getattr(block, "blocks", ()))
