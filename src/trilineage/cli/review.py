"""The `trilineage concepts review` commands: sheets for blinded reviewers out, their answers in."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.answers import answer
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="Blinded review: people judge concepts mixed with random images, not knowing which is which.",
)


@app.command()
@door()
def export(
    run: options.Run,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the reviewers: a sheet to fill in, and pictures.")
    ],
    n_concepts: Annotated[
        int, typer.Option("--concepts", min=1, help="Concepts to judge, the strongest first.")
    ] = 40,
    n_controls: Annotated[
        int, typer.Option("--controls", min=1, help="Random sets of images hidden among them.")
    ] = 20,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Give up the review that the Run has already.")
    ] = False,
) -> None:
    """Write a sheet and pictures for reviewers; what each item is stays in the Run."""
    from trilineage.pipelines import concepts

    sheet = concepts.export_review(
        run, out, n_concepts=n_concepts, n_controls=n_controls, overwrite=overwrite
    )
    answer(out=out, n_items=len(sheet.items))
    typer.echo(f"{len(sheet.items):,} items: {out}\nKey:    {run} (keep it from the reviewers)")


@app.command()
@door()
def read(
    run: options.Run,
    sheets: Annotated[
        list[Path], typer.Argument(metavar="SHEET...", help="Filled sheets, each named after its reviewer.")
    ],
) -> None:
    """Read filled sheets: what was confirmed, how often controls were, and how far reviewers agree."""
    from trilineage.cli.results import show_review
    from trilineage.pipelines import concepts

    show_review(concepts.read_review(run, sheets))
