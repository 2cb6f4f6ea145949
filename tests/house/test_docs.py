"""Documents say what the code says: reference pages, commands, options, targets and links are compared with it."""

import importlib
import importlib.util
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import trilineage
from trilineage.core.config import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").glob("*.toml")])
DISCLAIMER = "research use only"
MAX_PAGE_LINES = 200
WRITTEN = "<!-- Written by `make docs`"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def reference():
    """Return tools/reference.py, which writes the pages."""
    spec = importlib.util.spec_from_file_location("trilineage_reference", ROOT / "tools" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def commands(reference):
    """Return the option names of every command by its full name."""
    return {
        name: {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name, command in reference.commands()
    }


def code_lines(path: Path) -> list[str]:
    """Return the lines of a page's code blocks (of a TOML file, its comments), continued lines joined."""
    text = path.read_text()
    if path.suffix == ".toml":
        blocks = ["\n".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))]
    else:
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ").partition("  #")[0] for line in joined.splitlines()]


def test_the_reference_pages_are_what_the_code_says(reference):
    for name, text in reference.pages().items():
        assert (ROOT / "docs" / "reference" / name).read_text() == text, "write them again with: make docs"


def test_every_command_that_takes_a_configuration_has_its_options_on_the_page(reference, commands):
    taking = {name for name, options in commands.items() if "--config" in options}
    assert taking <= set(reference.configurations()) | set(reference.shared_options())
    assert set(reference.shared_options().values()) <= set(reference.configurations())


def settings_classes() -> list[type[Settings]]:
    """Return every configuration of the package."""
    for module in pkgutil.walk_packages(trilineage.__path__, "trilineage."):
        importlib.import_module(module.name)
    found, open_ = [], [Settings]
    while open_:
        children = open_.pop().__subclasses__()
        found.extend(child for child in children if child.__module__.startswith("trilineage."))
        open_.extend(children)
    return found


def test_every_option_and_every_group_of_options_has_a_docstring():
    classes = settings_classes()
    assert len(classes) > 5
    undocumented = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, field in cls.model_fields.items()
        if not (field.description or "").strip()
    ]
    assert undocumented == []
    assert [cls.__name__ for cls in classes if not cls.__doc__] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_on_a_page_exist_with_their_options(page, commands):
    for line in code_lines(page):
        words = shlex.split(line.partition("|")[0]) if line.startswith("trilineage ") else []
        if not words or words[1:2] in (["--help"], ["--version"]):
            continue
        name = max(
            (known for known in commands if f"{' '.join(words)} ".startswith(f"{known} ")),
            default=None,
            key=len,
        )
        assert name, f"there is no such command: {line}"
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= commands[name] | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_options_set_on_a_page_exist(page, reference):
    from trilineage.core.config import describe

    by_command = {
        name: {row.key for row in describe(cls)} for name, cls in reference.configurations().items()
    }
    known = set().union(*by_command.values())
    for line in code_lines(page):
        if line.startswith("trilineage "):
            for key in re.findall(r"(?:--set|-s|--vary) ['\"]?([\w.]+)=", line):
                assert key in known or any(name.endswith(f".{key}") for name in known), line


def command_of(config: Path) -> str:
    """Return the command that the comments of a configuration say it is for."""
    typed = next(line for line in code_lines(config) if f"--config configs/{config.name}" in line)
    return " ".join(typed.split()[:3])


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.toml")), ids=named)
def test_every_configuration_that_ships_loads_for_the_command_it_names(config, reference):
    assert reference.configurations()[command_of(config)].load(config)


def test_the_configuration_of_cytosae_has_the_published_options(reference):
    from trilineage.models.sae.settings import PUBLISHED_CYTOSAE, SaeSettings

    config = reference.configurations()["trilineage concepts fit"].load(ROOT / "configs" / "cytosae.toml")
    assert config.sae == SaeSettings(**PUBLISHED_CYTOSAE)
    assert config.training.batch_size == 64 * 257
    assert config.training.for_latents(49_152, 41_621 * 257).learning_rate == 4e-4
    assert (config.encoder.backbone.name, config.data.shape) == ("dinobloom-b", (224, 224))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_on_a_page_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    spans = re.findall(r"`make ([a-z]+)", text) + re.findall(
        r"^make ([a-z]+)", "\n".join(code_lines(page)), re.M
    )
    assert set(spans) <= targets


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=named)
def test_links_lead_to_files_that_exist(page):
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=named)
def test_a_page_is_short_enough_to_be_read(page):
    text = page.read_text()
    is_looked_up = "reference" in page.parts or page.name == "CHANGELOG.md" or WRITTEN in text
    assert is_looked_up or text.count("\n") <= MAX_PAGE_LINES


def test_the_readme_says_what_it_must():
    text = (ROOT / "README.md").read_text().lower()
    assert DISCLAIMER in text
    for command in ("make demo", "make test", "trilineage rna fit"):
        assert command in text


def test_the_changelog_knows_this_version():
    assert f"## {trilineage.__version__}" in (ROOT / "CHANGELOG.md").read_text()
