"""The `trilineage demo` command: the whole story on one page, checked against the truth."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import EXIT_FAILED, door


class Scale(StrEnum):
    """How much is simulated."""

    small = "small"
    full = "full"


@door(is_resumable=True)
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of everything.")] = Path("runs/demo"),
    scale: Annotated[
        Scale, typer.Option(help="`small`: minutes on two cores; `full`: more of everything.")
    ] = Scale.small,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", help="Folder of public data sets to tell the story on, instead of simulating."
        ),
    ] = None,
    assignments: options.Set = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    is_strict: Annotated[
        bool, typer.Option("--strict", help="Leave with exit code 1 if a claim does not hold.")
    ] = False,
) -> None:
    """Show the three lineages at work on a small cohort with known truth, on one page, and check every claim on it."""
    from trilineage.cli.results import show_claims
    from trilineage.demo.cores import threads_of_a_lineage

    options.limit_threads(threads or threads_of_a_lineage())
    from trilineage.demo.settings import DemoSettings
    from trilineage.demo.story import run_demo

    settings = DemoSettings.of_scale(scale.value, options.reading(assignments))
    told = run_demo(settings.replace(data=str(data)) if data else settings, out, device=device)
    show_claims(told.claims, told.page)
    if is_strict and any(claim.holds is False for claim in told.claims):
        raise typer.Exit(EXIT_FAILED)
