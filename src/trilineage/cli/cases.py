"""The `trilineage cases` commands: fit."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="One patient across the lineages: what expression, images and concepts say, and where they part: fit.",
)

Rna = Annotated[
    Path | None,
    typer.Option("--rna", help="Finished Run of `rna fit`; sets `rna`. Leave out what there is not."),
]
Images = Annotated[Path | None, typer.Option("--images", help="Finished Run of `images fit`; sets `images`.")]
Concepts = Annotated[
    Path | None, typer.Option("--concepts", help="Finished Run of `concepts fit`; sets `concepts`.")
]


@app.command()
@door(is_resumable=True)
@options.fitting("cases", rna=("rna", Rna), images=("images", Images), concepts=("concepts", Concepts))
def fit(asked: options.Fitting) -> None:
    """Weigh the lineages on validation patients, fuse the test patients, and score all together beside each alone."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import cases

    show_run(asked.run(cases.fit))
