"""The `trilineage images` commands: fit, predict, explain, compare, agree, pretrain, probe."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from trilineage.cli import options
from trilineage.cli.door import door

app = typer.Typer(
    no_args_is_help=True,
    help="Classify cell images along a tree of diagnoses: fit, predict, explain, compare, agree, pretrain, probe.",
)


class Method(StrEnum):
    """How maps are made."""

    gradcam = "gradcam"
    gradcam_signed = "gradcam_signed"
    rollout = "rollout"
    occlusion = "occlusion"


@app.command()
@door(is_resumable=True)
@options.fitting("images", data=("data__path", options.Images))
def fit(asked: options.Fitting) -> None:
    """Learn to classify cell images along a taxonomy and score the result on patients held out."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import images

    show_run(asked.run(images.fit))


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
    from trilineage.cli.results import show_images
    from trilineage.pipelines import images

    reading = options.reading(assignments)
    show_images(images.predict(run, data, out=out, device=device, options=reading), out)


@app.command()
@door()
def explain(
    run: options.Run,
    n_images: Annotated[int, typer.Option(min=1, help="Images to explain, evenly over their labels.")] = 32,
    node: Annotated[
        str | None, typer.Option(help="Explain this node; else every node on the way to the decision.")
    ] = None,
    method: Annotated[
        Method, typer.Option(help="How the maps are made; rollout is for transformers only.")
    ] = Method.gradcam,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Labelled images instead of the test images.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks of the cells, named as their images.")
    ] = None,
    nuclei: Annotated[Path | None, typer.Option(help="Folder of masks of the nuclei.")] = None,
    boxes: Annotated[Path | None, typer.Option(help="CSV of boxes, or folder of PASCAL VOC files.")] = None,
    per_patient: Annotated[
        int, typer.Option(min=0, help="Cells to draw of each test patient: those that tell most.")
    ] = 0,
    assignments: options.ReadingSet = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Show where decisions were seen: maps of every node on the path, scored against the cells, and checked."""
    options.limit_threads(threads)
    from trilineage.cli.results import show_run
    from trilineage.explain.saliency.methods import SaliencySettings
    from trilineage.pipelines import images

    known: dict[str, Any] = {
        "settings": SaliencySettings(method=method.value),
        "data": None if data is None else {"path": str(data), **options.reading(assignments)},
        "regions": images.Regions(cells=masks, nuclei=nuclei, boxes=boxes),
        "per_patient": per_patient,
    }
    found = images.explain(run, n_images=n_images, node=node, device=device, **known)
    show_run(found, "explain/")


@app.command()
@door(is_resumable=True)
@options.fitting("images", data=("data__path", options.Images))
def compare(
    asked: options.Fitting,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=V1,V2",
            help="Option and the values to compare; may be repeated (a grid). Left out: flat, base and multilabel, "
            "each with ViT-Small and ConvNeXt-Tiny.",
        ),
    ] = None,
) -> None:
    """Fit one model per variant on the same splits and compare them over the same patients."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import images

    grid = options.varied(images.Config, vary) if vary else None
    show_run(asked.run(images.compare, vary=grid))


@app.command()
@door()
def agree(
    run: options.Run,
    readers: Annotated[
        Path,
        typer.Argument(metavar="READERS", help="CSV: a row per image and reader, or a column per reader."),
    ],
    item: Annotated[str | None, typer.Option(help="Column of the images.")] = None,
    reader: Annotated[
        str | None, typer.Option(help="Column of the reader (a row per image and reader).")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the label (a row per image and reader).")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="Column of one reader; may be repeated.")
    ] = None,
) -> None:
    """Measure how far readers, labels and the model of a Run agree on its test images (kappa)."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import images

    known = {"item": item, "reader": reader, "label": label, "readers": tuple(columns or ())}
    given = {key: value for key, value in known.items() if value}
    show_run(images.agree(run, readers, columns=given), "agreement/")


@app.command()
@door(is_resumable=True)
@options.fitting("images", settings="PretrainConfig", data=("data__path", options.Images))
def pretrain(asked: options.Fitting) -> None:
    """Train an encoder on images, labelled or not: hidden patches are filled in, and known labels are learned."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import images

    show_run(asked.run(images.pretrain))


@app.command()
@door(is_resumable=True)
@options.fitting("images", settings="ProbeConfig", data=("data__path", options.Images))
def probe(
    asked: options.Fitting,
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="ENCODER", help="bundled, a Run of fit or pretrain, or the name of a backbone."
        ),
    ],
    weights: options.Weights = "",
    attribute: Annotated[
        list[str] | None, typer.Option(help="Column of the table to probe beside the label; may be repeated.")
    ] = None,
    other: Annotated[
        Path | None, typer.Option(help="Another data set that tests the probe of the label.")
    ] = None,
) -> None:
    """Measure what the features of an encoder tell, beside those of the same network with random weights."""
    from trilineage.cli.results import show_run
    from trilineage.pipelines import images

    more: dict[str, Any] = dict(options.encoder(encoder, weights))
    more |= {"attributes": tuple(attribute)} if attribute else {}
    more |= {"other.path": str(other)} if other else {}
    show_run(asked.changed(more).run(images.probe))
