"""The `trilineage report` command: a Run in, one page out."""

from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import door


@door()
def report(
    run: options.Run,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write the HTML report of a Run: one self-contained file that needs no network."""
    from trilineage.report.page import write_report

    path = write_report(run)
    typer.echo(str(path))
    if show:
        typer.launch(path.resolve().as_uri())
