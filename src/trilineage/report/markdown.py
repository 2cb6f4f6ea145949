"""Blocks of a report as Markdown, for papers that a person goes on writing."""

import re
from collections.abc import Iterable
from urllib.parse import quote

from trilineage.report.blocks import Block, Cell, Facts, Figure, Linked, Notice, Table, Text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def as_markdown(block: Block, up: str = "") -> str:
    """Return a block as Markdown; `up` is the way to the Run. Pictures and folds have none."""
    if isinstance(block, Text):
        return plain(block.text)
    if isinstance(block, Notice):
        return f"> {plain(block.text)}"
    if isinstance(block, Facts):
        return "\n".join(
            f"- {plain(name)}: {plain(value)}" if name else f"- {plain(value)}" for name, value in block.rows
        )
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        address = f"{up}figures/{block.name}.svg"
        return f"{link(block.title, address)}: {plain(block.description)}"
    return ""


def plain(text: str) -> str:
    r"""Return a text that Markdown shows as it is.

    Examples
    --------
    >>> print(plain("a_b | <c>"))
    a\_b \| \<c\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def link(text: str, address: str) -> str:
    """Return a link to a file.

    Examples
    --------
    >>> link("scores.json", "../scores.json")
    '[scores.json](../scores.json)'
    """
    return f"[{plain(text)}]({quote(address)})"


def _table(table: Table) -> str:
    sides = ["---" if place < table.n_text_columns else "---:" for place in range(len(table.columns))]
    rows = [_row(map(plain, table.columns)), _row(sides), *(_row(map(_cell, row)) for row in table.rows)]
    return "\n".join([plain(table.caption), "", *rows, ""])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Linked):
        return plain(cell.text)
    if isinstance(cell, str):
        return plain(cell)
    value, under = cell
    return f"{plain(value)} ({plain(under)})" if under else plain(value)
