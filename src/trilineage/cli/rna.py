"""The `trilineage rna` commands: fit, predict, transfer, explain, study."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="Diagnose blood disease from expression: fit, predict, transfer, explain, study.",
)


class Reference(StrEnum):
    """What the expression of a class is compared with when it is explained."""

    rest = "rest"
    healthy = "healthy"


@app.command()
@door(is_resumable=True)
@options.fitting("rna", data=("data__path", options.Data))
def fit(asked: options.Fitting) -> None:
    """Learn to diagnose from expression data and score the result on patients held out."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import rna

    show_run(asked.run(rna.fit))


@app.command()
@door()
def predict(
    run: options.Run,
    data: Annotated[Path, typer.Argument(metavar="FILE", help="Expression file to diagnose.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The h5ad file to write.")],
    min_gene_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Refuse data with a smaller share of the model's genes (0.5 unless said)."
        ),
    ] = None,
    assignments: options.ReadingSet = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Diagnose new data: latent, class probabilities, a table per patient and a report on the genes."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_predictions
    from trilineage.pipelines import rna

    reading = options.reading(assignments)
    found = rna.predict(run, data, out=out, min_gene_share=min_gene_share, device=device, options=reading)
    show_predictions(len(found.prediction.samples), found.patients, out)


@app.command()
@door(is_resumable=True)
def transfer(
    run: options.Run,
    to: Annotated[list[str], typer.Option("--to", help="Cell population to diagnose from; may be repeated.")],
    refine: Annotated[
        str | None,
        typer.Option(help="Also fine-tune the autoencoder on this population and compare (hybrid)."),
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Score the classifier of a Run, without retraining, on other cell populations of held-out patients."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_run
    from trilineage.pipelines import rna

    show_run(rna.transfer(run, to=tuple(to), refine=refine, device=device), "transfer/")


@app.command()
@door(is_resumable=True)
def explain(
    run: options.Run,
    n_seeds: Annotated[
        int, typer.Option(min=2, help="Classifiers to attribute with, for the stability.")
    ] = 3,
    reference: Annotated[Reference, typer.Option(help="What a class is told from.")] = Reference.rest,
    max_samples: Annotated[
        int, typer.Option(min=1, help="Samples to attribute at most, even over patients.")
    ] = 2000,
    per_patient: Annotated[
        int, typer.Option(min=0, help="Samples of each test patient for its own genes; 0 leaves these out.")
    ] = 20,
    n_top: Annotated[int, typer.Option(min=1, help="Genes per class to print.")] = 10,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Name the genes behind each class, with intervals over patients and their stability over seeds."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_genes
    from trilineage.pipelines import rna

    limits = {"n_seeds": n_seeds, "max_samples": max_samples, "per_patient": per_patient}
    show_genes(rna.explain(run, reference=reference.value, device=device, **limits), n_top)


@app.command()
@door(is_resumable=True)
@options.fitting("rna", data=("data__path", options.Data))
def study(
    asked: options.Fitting,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary", metavar="KEY=V1,V2", help="Option and the values to compare; may be repeated (a grid)."
        ),
    ],
) -> None:
    """Fit one model per value of the options varied and compare them on the same patients."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import rna

    show_run(asked.run(rna.study, vary=options.varied(rna.Config, vary)))
