"""Write the reference pages from the code: every command, and every option of every recipe (`make docs`)."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import EllipsisType

import typer

import trilineage
from trilineage.core.config import Settings, describe

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
NOTICE = "<!-- Written by `make docs` from the code; change the docstrings, not this page. -->"


def pages() -> dict[str, str]:
    """Return the text of every page by file name."""
    return {"commands.md": commands_page(), "options.md": options_page()}


def commands() -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Give every command with its full name (`trilineage rna fit`)."""
    from trilineage.cli.main import app

    yield from _commands(typer.main.get_command(app), "trilineage")


def commands_page() -> str:
    """Return the page of commands."""
    from trilineage.cli.door import OUTPUT_OPTIONS

    known = list(commands())
    shared = [parameter for parameter in known[0][1].params if parameter.name in OUTPUT_OPTIONS]
    parts = [
        "# Commands",
        NOTICE,
        "Research use only; not a medical device.",
        "Every command takes:",
        _table(shared),
    ]
    for name, command in known:
        own = [parameter for parameter in command.params if parameter.name not in ("help", *OUTPUT_OPTIONS)]
        parts += [f"## `{name}`", (command.help or "").strip(), *([_table(own)] if own else [])]
    return "\n\n".join(parts) + "\n"


def configurations() -> dict[str, type[Settings]]:
    """Return what can be configured, by the command that takes it."""
    from trilineage.data.inspection.settings import InspectionSettings
    from trilineage.data.simulate.cohort.settings import CohortSettings
    from trilineage.data.simulate.settings import SimulationSettings
    from trilineage.data.simulate.smears.settings import SmearSettings
    from trilineage.demo.settings import DemoSettings

    found: dict[str, type[Settings]] = {}
    for name in trilineage.RECIPES:
        recipe = import_module(f"trilineage.pipelines.{name}")
        for exported in sorted(key for key in recipe.__all__ if key.endswith("Config")):
            command = exported.removesuffix("Config").lower() or "fit"  # PretrainConfig is that of `pretrain`
            found[f"trilineage {name} {command}"] = getattr(recipe, exported)
    simulators = {
        "trilineage data simulate": SimulationSettings,
        "trilineage data simulate-smears": SmearSettings,
        "trilineage data simulate-cohort": CohortSettings,
    }
    return (
        found | {"trilineage data check": InspectionSettings} | simulators | {"trilineage demo": DemoSettings}
    )


def shared_options() -> dict[str, str]:
    """Return the commands that take the configuration of another, with that other."""
    return {
        "trilineage rna study": "trilineage rna fit",
        "trilineage images compare": "trilineage images fit",
        "trilineage concepts tokens": "trilineage concepts fit",
    }


def options_page() -> str:
    """Return the page of options."""
    parts = [
        "# Options",
        NOTICE,
        "Each can stand in a TOML file (`--config`) or be set alone (`--set key=value`).",
    ]
    for command, settings in configurations().items():
        parts.append(f"## `{command}`")
        also = [f"`{other}`" for other, taken in shared_options().items() if taken == command]
        if also:
            parts.append(f"Also those of {', '.join(also)}.")
        head = ["| Option | Type | Default | Meaning |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *_option_rows(settings)]))
    return "\n\n".join(parts) + "\n"


def _commands(command: typer.core.TyperCommand, name: str) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    children = getattr(command, "commands", {})
    if not children:
        yield name, command
    for child_name, child in children.items():
        yield from _commands(child, f"{name} {child_name}")


def _table(parameters: list[typer.core.TyperOption]) -> str:
    rows = [_parameter_row(parameter) for parameter in parameters]
    return "\n".join(["| Argument | Meaning | Default |", "|---|---|---|", *rows])


def _parameter_row(parameter: typer.core.TyperOption) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = "required" if parameter.required else _default_text(parameter.default)
    return f"| {names} | {_cell(getattr(parameter, 'help', '') or '')} | {default} |"


def _option_rows(settings: type[Settings]) -> list[str]:
    return [
        f"| `{row.key}` | {_cell(f'`{row.type}`')} | {_default_text(row.default)} | {_cell(row.doc)} |"
        for row in describe(settings)
    ]


def _default_text(value: object) -> str:
    """Return a default as one would write it after `--set key=`."""
    if isinstance(value, EllipsisType):
        return "required"
    if isinstance(value, tuple):
        return _cell(f"`[{', '.join(map(str, value))}]`")
    return "" if value is None or value is False or value == "" else _cell(f"`{value}`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (REFERENCE / file).write_text(text)
        sys.stdout.write(f"{REFERENCE / file}\n")
