"""What the documentation tells people to type is accepted as typed, and every page can be found.

That commands, options and links exist is checked in `tests/house/test_docs.py`.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer

from trilineage.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
KEYS = set(
    re.findall(r"^\| `([\w.]+)` \|", (DOCS / "reference" / "options.md").read_text(), flags=re.MULTILINE)
)


def typed_commands() -> list[tuple[str, list[str]]]:
    """Return every `trilineage ...` line of the shell blocks, with the page it stands on."""
    found = []
    for page in (*PAGES, DOCS.parent / "README.md"):
        for block in re.findall(
            r"^ *```(?:sh|console)\n(.*?)```", page.read_text(), flags=re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(re.split(r" \|\|? | > ", line.removeprefix("$ "))[0], comments=True)
                if words[:1] == ["torchrun"]:
                    words = ["trilineage", *words[words.index("trilineage.cli.main") + 1 :]]
                if words[:1] == ["trilineage"] and "--help" not in words:
                    found.append((page.name, words[1:]))
    return found


@pytest.mark.parametrize(("page", "words"), typed_commands())
def test_a_documented_command_is_accepted_as_typed(page, words):
    group = typer.main.get_command(app)
    while hasattr(group, "commands") and words[0] in group.commands:
        group, words = group.commands[words[0]], words[1:]
    assert group.make_context("trilineage", list(words)).params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_dotted_keys_in_the_text_are_options(page):
    groups = {key.split(".")[0] for key in KEYS if "." in key}
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`", page.read_text())
    files = (".csv", ".json", ".md", ".npz", ".safetensors", ".toml")
    keys = {key for key in named if not key.endswith(files)}
    assert {key for key in keys if key.split(".")[0] in groups} <= KEYS


def test_every_page_is_reached_from_the_index():
    index = (DOCS / "index.md").read_text()
    pages = {str(page.relative_to(DOCS)) for page in PAGES} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()
