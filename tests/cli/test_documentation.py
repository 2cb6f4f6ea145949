"""What the documentation tells people to type exists: commands, options, keys, links."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from trilineage.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
HAND_WRITTEN = [page for page in PAGES if page.name not in ("commands.md", "options.md")]


def typed_commands() -> list[tuple[str, list[str]]]:
    """Return every `trilineage ...` line of the shell blocks, with the page it stands on."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.split("||")[0], comments=True)
                if words[:1] == ["torchrun"]:
                    words = ["trilineage", *words[words.index("trilineage.cli.main") + 1 :]]
                if words[:1] == ["trilineage"]:
                    found.append((page.name, words[1:]))
    return found


def parse(words: list[str]):
    """Let the command line be parsed as it would be, without running the command."""
    group = typer.main.get_command(app)
    while hasattr(group, "commands") and words and words[0] in group.commands:
        group, words = group.commands[words[0]], words[1:]
    return group.make_context("trilineage", list(words), resilient_parsing=False)


def options_of(words: list[str]) -> list[str]:
    """Return the keys after `--set` and `--vary`, and those named inside a choice of options."""
    values = [words[i + 1] for i, word in enumerate(words) if word in ("--set", "--vary")]
    inner = [text for value in values for text in re.findall(r'"([\w.]+=[^"]*)"', value)]
    return [value.split("=")[0] for value in (*values, *inner)]


def test_the_documentation_has_commands_to_check():
    assert len(typed_commands()) > 20


@pytest.mark.parametrize(("page", "words"), typed_commands())
def test_a_documented_command_can_be_typed(page, words):
    if words == ["--help"]:
        pytest.skip("help leaves before anything is parsed")
    assert parse(words).params


@pytest.mark.parametrize(
    ("page", "words"), [(page, words) for page, words in typed_commands() if options_of(words)]
)
def test_a_documented_key_is_an_option(page, words):
    if words[1] == "predict":
        known = {
            f"{key}" for key in re.findall(r"`data\.(\w+)`", (DOCS / "reference" / "options.md").read_text())
        }
    else:
        known = set(
            re.findall(
                r"^\| `([\w.]+)` \|", (DOCS / "reference" / "options.md").read_text(), flags=re.MULTILINE
            )
        )
    assert set(options_of(words)) <= known


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda page: page.name)
def test_dotted_keys_in_the_text_are_options(page):
    known = set(
        re.findall(r"^\| `([\w.]+)` \|", (DOCS / "reference" / "options.md").read_text(), flags=re.MULTILINE)
    )
    groups = {key.split(".")[0] for key in known if "." in key}
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`", page.read_text())
    keys = {key for key in named if not key.endswith((".csv", ".json", ".md"))}
    assert {key for key in keys if key.split(".")[0] in groups} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_page(page):
    links = re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_every_page_is_reached_from_the_index():
    index = (DOCS / "index.md").read_text()
    missing = [
        page.name for page in PAGES if page.name != "index.md" and f"{page.relative_to(DOCS)})" not in index
    ]
    assert missing == []


def test_everything_fits_on_one_page():
    assert len((DOCS / "everything.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("name", ["index.md", "tutorial.md", "everything.md"])
def test_the_first_pages_say_what_it_is_not_for(name):
    assert "Research use only; not a medical device." in (DOCS / name).read_text()
