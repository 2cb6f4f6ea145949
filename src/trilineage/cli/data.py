"""The `trilineage data` commands: public data sets listed and fetched, images checked, blood simulated."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.answers import answer
from trilineage.cli.door import EXIT_FAILED, door

app = typer.Typer(
    no_args_is_help=True, help="Data: find, fetch and check images; simulate blood with known truth."
)


@app.command("list")
@door()
def list_sources(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One data set, with all that is known of it.")
    ] = None,
) -> None:
    """List the public image sets this program can read, with licence, patients and where they are."""
    from trilineage.cli.datasets import show_sources
    from trilineage.data.sources.catalogue import SOURCES, sources

    show_sources(sources() if name is None else (SOURCES.get(name),), in_full=name is not None)


@app.command()
@door()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set of `trilineage data list`.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder to put it in; its own folder in the cache unless said."),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file", help="Fetch these of its files only, also such as it does not fetch by itself."
        ),
    ] = None,
) -> None:
    """Fetch a public image set: resumed where it broke off, checked by digest, unpacked."""
    from trilineage.cli.datasets import show_downloads
    from trilineage.data.sources.catalogue import SOURCES, fetch_source

    folder, downloads = fetch_source(name, to, files=tuple(file or ()))
    show_downloads(SOURCES.get(name), folder, downloads)


@app.command()
@door()
def check(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of images, table (CSV) of images, or .npz file.")
    ],
    config: options.Config = None,
    assignments: options.Set = None,
    is_strict: Annotated[
        bool, typer.Option("--strict", help="Leave with exit code 1 if there are problems.")
    ] = False,
) -> None:
    """Look through images for unreadable files, duplicates, hidden acquisitions and leaks, and list what was found."""
    from trilineage.cli.datasets import show_inspection
    from trilineage.data.inspection.inspect import inspect_images
    from trilineage.data.inspection.settings import InspectionSettings

    settings = options.configured(InspectionSettings, config, assignments, data__path=path)
    inspection = inspect_images(settings)
    show_inspection(inspection)
    if is_strict and inspection.n_problems:
        raise typer.Exit(EXIT_FAILED)


@app.command()
@door()
def crop(
    fields: Annotated[Path, typer.Argument(metavar="FIELDS", help="Folder of whole fields.")],
    boxes: Annotated[
        Path, typer.Argument(metavar="BOXES", help="CSV of boxes, or folder of PASCAL VOC files.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write the cells and their manifest to.")
    ],
    objects: Annotated[
        list[str] | None, typer.Option("--object", help="Object to cut out; WBC unless said.")
    ] = None,
    context: Annotated[
        float, typer.Option(min=1.0, help="Side of the square over the longest side of the box.")
    ] = 1.8,
    side: Annotated[
        int, typer.Option(min=0, help="Side of every square in pixels instead; 0: by --context.")
    ] = 0,
    labels: Annotated[Path | None, typer.Option(help="CSV of labels; its first column names fields.")] = None,
    label_column: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks of the fields, cut in the same way.")
    ] = None,
) -> None:
    """Cut cells out of whole fields by their boxes, into images of one cell with a manifest."""
    from trilineage.data.crops import CropSettings, crop_cells, read_labels

    settings = CropSettings(tuple(objects or ("WBC",)), context, side)
    known = {} if labels is None else read_labels(labels, label_column)
    counts = crop_cells(fields, boxes, out, settings, labels=known, masks=masks)
    answer(out=str(out), **counts._asdict())
    typer.echo(
        f"{counts.n_cells:,} cells of {counts.n_fields:,} fields, {counts.n_labelled:,} with a label: {out}"
    )


@app.command()
@door()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="The h5ad file to write.")],
    config: options.Config = None,
    assignments: options.Set = None,
    threads: options.Threads = None,
) -> None:
    """Simulate the blood of patients with seven diagnoses, with the truth beside the counts."""
    options.limit_threads(threads)
    from trilineage.data.simulate.settings import SimulationSettings
    from trilineage.data.simulate.write import simulate_to_h5ad

    settings = options.configured(SimulationSettings, config, assignments)
    n_cells = simulate_to_h5ad(settings, out)
    answer(out=str(out), n_cells=n_cells, n_genes=settings.n_genes)
    typer.echo(f"{n_cells:,} cells, {settings.n_genes:,} genes: {out}")


@app.command("simulate-smears")
@door(is_resumable=True)
def simulate_smears(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write images, manifest, masks and truth to.")
    ],
    config: options.Config = None,
    assignments: options.Set = None,
    preset: Annotated[
        str | None,
        typer.Option(help="`aml`: genetic subtypes of AML with planted signs, and healthy donors."),
    ] = None,
) -> None:
    """Draw blood smears of patients with seven diagnoses, with masks and the truth beside the images."""
    from trilineage.data.simulate.smears.settings import SmearSettings, preset_options
    from trilineage.data.simulate.smears.write import simulate_to_folder

    settings = options.configured(SmearSettings, config, [*preset_options(preset), *(assignments or ())])
    simulate_to_folder(settings, out)
    answer(out=str(out), manifest=str(out / "manifest.csv"))
    typer.echo(f"Images, manifest.csv, masks and truth: {out}")


@app.command("simulate-cohort")
@door(is_resumable=True)
def simulate_cohort(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write patients, smears, expression and truth to.")
    ],
    config: options.Config = None,
    assignments: options.Set = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw smears.")] = 1,
) -> None:
    """Simulate patients who have smears and expression, with one diagnosis and the truth behind both.

    Images are learned from OUT/smears/images.csv (diagnosis, part, planted signs; the manifest beside it names
    subtypes), expression from OUT/blood.h5ad.
    """
    from trilineage.data.simulate.cohort.settings import CohortSettings
    from trilineage.data.simulate.cohort.write import BLOOD, IMAGES, SMEARS, simulate_cohort

    patients = simulate_cohort(options.configured(CohortSettings, config, assignments), out, workers=workers)
    smears, blood = out / SMEARS / IMAGES, out / BLOOD
    answer(out=str(out), n_patients=len(patients), smears=str(smears), expression=str(blood))
    typer.echo(f"{len(patients):,} patients; smears: {smears}; expression: {blood}")
