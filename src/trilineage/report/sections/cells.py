"""How many cells of a patient are enough: agreement of a barcode of some cells with that of the others."""

from typing import Any

from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Figure, Section, Table, Text
from trilineage.report.concept_results import CELLS
from trilineage.report.drawing import INK, MODEL, draw
from trilineage.report.numbers import counted, interval, number


def cells_section(run: Run) -> Section | None:
    """Show from how many cells on the barcode of a patient stands."""
    if not run.has(CELLS):
        return None
    found = run.read_json(CELLS)
    if not found["steps"]:
        return None
    return Section("cells", "How many cells are enough", (Text(said(found)), _figure(found), _table(found)))


def said(found: dict[str, Any]) -> str:
    """Say how many cells it takes, and for how many patients they do not suffice."""
    agreement = number(found["agreement"], 2)
    missing = found["n_patients"] - found["n_reaching"]
    if found["median_needed"] is None:
        return (
            f"In none of {counted(found['n_patients'], 'patient')} the barcode of some cells agrees with that of "
            f"{found['against']} at a correlation of {agreement}: there are too few cells of each."
        )
    text = (
        f"{counted(found['median_needed'], 'cell')} are enough for half of the "
        f"{counted(found['n_reaching'], 'patient')} whose barcodes reach a correlation of {agreement} with "
        f"{found['against']}"
    )
    return (
        f"{text}; {counted(missing, 'patient')} did not reach it with all cells there are."
        if missing
        else f"{text}."
    )


def _figure(found: dict[str, Any]) -> Figure:
    steps = found["steps"]
    n_cells = [step["n_cells"] for step in steps]
    low, middle, high = zip(*(step["correlation"] for step in steps), strict=True)

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.fill_between(n_cells, low, high, color=MODEL, alpha=0.2, linewidth=0)
        axes.plot(n_cells, middle, "o-", color=MODEL, markersize=4)
        axes.axhline(found["agreement"], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6)
        axes.set_xscale("log")
        axes.set_xticks(n_cells, [f"{n:,}" for n in n_cells])
        axes.minorticks_off()
        axes.set(xlabel="Cells of a patient", ylabel="Correlation", ylim=(min(0.0, *low), 1.02))
        axes.grid()

    words = "; ".join(f"{n:,} cells {number(value, 2)}" for n, value in zip(n_cells, middle, strict=True))
    return draw(
        "cells",
        paint,
        title="Agreement of a barcode with the number of cells",
        description=f"Median correlation over patients: {words}.",
        caption="Line: median over patients. Band: the middle half. Dashed line: what counts as agreement. Patients "
        "with few cells drop out to the right.",
        height_in=2.9,
        width_in=6.2,
    )


def _table(found: dict[str, Any]) -> Table:
    rows = tuple(
        (
            f"{step['n_cells']:,}",
            (number(step["correlation"][1], 2), interval(step["correlation"][0], step["correlation"][2], 2)),
            f"{step['n_patients']:,}",
        )
        for step in found["steps"]
    )
    caption = f"Correlation of the barcode of some cells with that of {found['against']}: median, middle half under it."
    return Table(caption, ("Cells", "Correlation", "Patients"), rows)
