"""The `trilineage images` commands: fit, predict, explain, compare, agree."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="Classify cell images along a tree of diagnoses: fit, predict, explain, compare, agree.",
)

Images = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        help="Folder per class, folder with a manifest, CSV or MedMNIST npz; sets `data.path`.",
    ),
]


@app.command()
@door(is_resumable=True)
def fit(
    out: options.Out,
    data: Images = None,
    config: options.Config = None,
    assignments: options.Set = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    resume: options.Resume = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Learn to classify cell images along a taxonomy and score the result on patients held out."""
    options.check_output(out, resume=resume, overwrite=overwrite)
    options.limit_threads(threads)
    from trilineage.cli.results import show_run
    from trilineage.pipelines import images

    settings = options.configured(images.Config, config, assignments, data__path=data)
    show_run(images.fit(settings, out, device=device, overwrite=overwrite))


@app.command()
@door(is_resumable=True)
def predict(
    run: options.Run,
    data: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder, manifest, npz or one image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the tables to.")],
    assignments: options.ReadingSet = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Predict new images: decision, set, likeness to training and every node's probability; a table per patient."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_predictions
    from trilineage.pipelines import images

    reading = options.reading(assignments)
    found = images.predict(run, data, out=out, device=device, options=reading)
    for name, reason in found.unreadable:
        typer.echo(f"left out: {name}: {reason}", err=True)
    if found.patients:
        show_predictions(found.prediction, found.patients, out)
    else:
        typer.echo(f"{len(found.prediction.samples):,} images: {out}")
