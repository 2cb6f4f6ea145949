"""The few kinds of thing a page is made of; sections are lists of them, the template knows how each looks."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

Level: TypeAlias = Literal["danger", "caution", "note"]
"""How much a notice matters: the result cannot be used, must be read with care, or is explained."""


@dataclass(frozen=True)
class Linked:
    """A cell of a table that leads to a file or a page."""

    text: str
    """What stands there."""
    address: str
    """Where it leads, relative to the page."""


Cell: TypeAlias = str | tuple[str, str] | Linked
"""A cell of a table: a text, a text with a smaller one under it (a score and its interval), or a way somewhere."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str
    """Plain text; the page escapes it."""


@dataclass(frozen=True)
class Notice:
    """A sentence that must not be overlooked."""

    kind: ClassVar[str] = "notice"
    text: str
    """Plain text."""
    level: Level = "note"
    """How much it matters."""


@dataclass(frozen=True)
class Link:
    """A way to another page of the Run."""

    kind: ClassVar[str] = "link"
    address: str
    """File in the Run, relative to the page."""
    text: str
    """What is to be found there."""


@dataclass(frozen=True)
class Facts:
    """Names with their values, one per line."""

    kind: ClassVar[str] = "facts"
    rows: tuple[tuple[str, str], ...]
    """Name and value, plain text."""
    sources: tuple[str, ...] = ()
    """Files the numbers come from, relative to the page; it links to them."""


@dataclass(frozen=True)
class Table:
    """Rows of texts under a caption; columns of numbers are set right."""

    kind: ClassVar[str] = "table"
    caption: str
    """What the table shows, with the meaning of its intervals."""
    columns: tuple[str, ...]
    """Headings."""
    rows: tuple[tuple[Cell, ...], ...]
    """Cells, one row per entry, as many as there are columns."""
    n_text_columns: int = 1
    """Leading columns that hold words; the others hold numbers."""
    strong_rows: frozenset[int] = field(default_factory=frozenset)
    """Rows to set apart, such as the model among its baselines."""
    is_sortable: bool = True
    """Whether the reader may order the rows; not where their order says something, as in a tree."""
    sources: tuple[str, ...] = ()
    """Files the numbers come from, relative to the page; it links to them."""


@dataclass(frozen=True)
class Figure:
    """A drawing with the text that stands for it where it cannot be seen."""

    kind: ClassVar[str] = "figure"
    name: str
    """File name without suffix; the drawing is also saved as `figures/NAME.svg`."""
    title: str
    """What is drawn, in a few words."""
    description: str
    """What a reader who cannot see it must know."""
    caption: str
    """Text under the drawing."""
    svg: str
    """The drawing as an SVG element, its texts escaped."""
    sources: tuple[str, ...] = ()
    """Files the numbers come from, relative to the page; it links to them."""


@dataclass(frozen=True)
class Picture:
    """A PNG inside the page, with the text that stands for it and the lines under it."""

    description: str
    """What a reader who cannot see it must know."""
    data_uri: str
    """The file as `data:image/png;base64,...`."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    lines: tuple[str, ...] = ()
    """Lines under the picture, the most important one first."""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, or one below the other where each needs the whole width."""

    kind: ClassVar[str] = "gallery"
    caption: str
    """What is shown, and how many are not."""
    pictures: tuple[Picture, ...]
    """In order of reading."""
    is_wide: bool = False
    """Whether each picture gets a row of its own."""
    sources: tuple[str, ...] = ()
    """Files the numbers come from, relative to the page; it links to them."""


@dataclass(frozen=True)
class Verbatim:
    """Text shown letter by letter, such as a configuration."""

    kind: ClassVar[str] = "verbatim"
    text: str
    """The text."""


@dataclass(frozen=True)
class Fold:
    """Blocks that are closed until asked for; print shows them."""

    kind: ClassVar[str] = "fold"
    title: str
    """The line that opens it."""
    blocks: "tuple[Block, ...]"
    """What is inside."""


Block: TypeAlias = Text | Notice | Link | Facts | Table | Figure | Gallery | Verbatim | Fold


@dataclass(frozen=True)
class Section:
    """One part of the page, with a place in the table of contents."""

    name: str
    """Anchor: lower-case letters and hyphens."""
    title: str
    """Heading."""
    blocks: tuple[Block, ...]
    """Content from top to bottom."""
    sources: tuple[str, ...] = ()
    """Files that its sentences come from where no block names any, relative to the page."""

    def figures(self) -> list[Figure]:
        """Return the drawings of the section, also those inside folds."""
        return _figures(self.blocks)


def _figures(blocks: tuple[Block, ...]) -> list[Figure]:
    found: list[Figure] = []
    for block in blocks:
        if isinstance(block, Figure):
            found.append(block)
        elif isinstance(block, Fold):
            found.extend(_figures(block.blocks))
    return found
