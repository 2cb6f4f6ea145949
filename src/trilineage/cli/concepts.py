"""The `trilineage concepts` commands: fit, predict, explain, compare, subtype, tokens, import, export, review."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from trilineage.cli import options, review
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="Concepts of blood cells, found by a sparse autoencoder in the tokens of a network: fit, predict, explain, "
    "compare, subtype, tokens, import, export, review.",
)
app.add_typer(review.app, name="review")


class Format(StrEnum):
    """Formats of autoencoders that can be written."""

    safetensors = "safetensors"
    saelens = "saelens"


@app.command()
@door(is_resumable=True)
@options.fitting("concepts", data=("data__path", options.Images))
def fit(asked: options.Fitting, encoder: options.Encoder = "", weights: options.Weights = "") -> None:
    """Learn concepts from the tokens of images, test them on patients held out, and make barcodes of patients."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import concepts

    show_run(asked.changed(options.encoder(encoder, weights)).run(concepts.fit))


@app.command()
@door(is_resumable=True)
def predict(
    run: options.Run,
    data: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder, manifest, npz or one image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write barcodes and pages to.")],
    assignments: options.ReadingSet = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Make barcodes of new patients, classify them where the Run can, and write a page for each."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_barcodes
    from trilineage.pipelines import concepts

    reading = options.reading(assignments)
    show_barcodes(concepts.predict(run, data, out=out, device=device, options=reading), out)


@app.command()
@door(is_resumable=True)
def explain(
    run: options.Run,
    n_concepts: Annotated[
        int, typer.Option(min=0, help="Concepts that get a card, the strongest first; 0: all.")
    ] = 0,
    names: Annotated[
        Path | None, typer.Option(help="CSV of names that experts gave (latent,name,reviewer,note).")
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(
            help="Run of `images fit` on the same network, whose decisions the concepts are tied to."
        ),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks of the cells, named as their images.")
    ] = None,
    nuclei: Annotated[Path | None, typer.Option(help="Folder of masks of the nuclei.")] = None,
    boxes: Annotated[Path | None, typer.Option(help="CSV of boxes, or folder of PASCAL VOC files.")] = None,
    per_patient: Annotated[
        int, typer.Option(min=0, help="Concepts to draw of each test patient: those that stand out most.")
    ] = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Write the atlas: a card with pictures for each concept, in one page that can be searched."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_atlas
    from trilineage.pipelines import concepts

    regions = concepts.Regions(cells=masks, nuclei=nuclei, boxes=boxes)
    known: dict[str, Any] = {"names": names, "classifier": classifier, "regions": regions}
    found = concepts.explain(run, n_concepts=n_concepts, per_patient=per_patient, device=device, **known)
    show_atlas(found)


@app.command()
@door()
def compare(
    cohorts: Annotated[
        list[Path],
        typer.Argument(metavar="COHORT...", help="Two or more Runs of `fit` or folders of `predict`."),
    ],
    out: options.Out,
    overwrite: options.Overwrite = False,
) -> None:
    """Compare cohorts concept by concept, or dictionaries latent by latent: what shifted, appeared or was lost."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import concepts

    show_run(concepts.compare(cohorts, out, overwrite=overwrite))


@app.command()
@door(is_resumable=True)
def subtype(
    barcodes: Annotated[
        Path,
        typer.Argument(metavar="BARCODES", help="Barcodes (h5ad), or a folder of HDF5 features per patient."),
    ],
    out: options.Out,
    config: options.Config = None,
    assignments: options.Set = None,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Classify patients by their barcodes over repeated patient folds, and find what marks each disease."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_run
    from trilineage.pipelines import concepts

    settings = options.configured(concepts.SubtypeConfig, config, assignments)
    show_run(concepts.subtype(barcodes, settings, out, overwrite=overwrite))


@app.command()
@door(is_resumable=True)
def tokens(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the tokens; set it as `tokens.folder`.")
    ],
    data: options.Images = None,
    encoder: options.Encoder = "",
    weights: options.Weights = "",
    config: options.Config = None,
    assignments: options.Set = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Part I of N of the work, counted from 0, for a cluster.")
    ] = "0/1",
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Extract the tokens that `fit` will read, in shards: one process, or as many as there are machines."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_extraction
    from trilineage.pipelines import concepts

    chosen = options.encoder(encoder, weights)
    settings = options.configured(concepts.Config, config, assignments, data__path=data).replace(**chosen)
    show_extraction(concepts.tokens(settings, out, shard=shard, device=device), out)


@app.command("import")
@door()
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="AUTOENCODER",
            help="CytoSAE or PatchSAE .pt, or a SAELens, sparsify or dictionary_learning folder.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, as .safetensors.")],
) -> None:
    """Bring an autoencoder of another package along; set the file as `weights` of `fit`."""
    from trilineage.cli.results import show_dictionary
    from trilineage.pipelines import concepts

    show_dictionary(concepts.import_dictionary(path, out), out)


@app.command()
@door()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run of `fit`, or a file of `import`.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File (safetensors) or folder (saelens) to write.")
    ],
    form: Annotated[Format, typer.Option("--format", help="Whose format.")] = Format.saelens,
) -> None:
    """Write the autoencoder of a Run for other packages."""
    from trilineage.cli.results import show_dictionary
    from trilineage.pipelines import concepts

    show_dictionary(concepts.export_dictionary(run, out, form=form.value), out)
