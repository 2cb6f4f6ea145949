"""The `trilineage cases` commands: fit, predict, explain."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="One patient across the lineages: what each says, and where they part: fit, predict, explain.",
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


@app.command()
@door()
def predict(
    run: options.Run,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write tables to.")],
    rna: Annotated[Path | None, typer.Option(help="h5ad file that `rna predict` wrote.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that `images predict` wrote.")] = None,
    concepts: Annotated[Path | None, typer.Option(help="Folder that `concepts predict` wrote.")] = None,
) -> None:
    """Fuse what the lineages say of new patients, each by those that know it."""
    from trilineage.cli.results import show_fused
    from trilineage.pipelines import cases

    show_fused(cases.predict(run, rna=rna, images=images, concepts=concepts, out=out))


@app.command()
@door(is_resumable=True)
def explain(run: options.Run) -> None:
    """Write a page for every test patient: decision, agreement, telling cells, genes, concepts, what is new to it."""
    from trilineage.cli.results import show_cases
    from trilineage.pipelines import cases

    show_cases(cases.explain(run))
