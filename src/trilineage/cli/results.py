"""What a command shows when it is done: scores as a table, the genes, and where everything lies."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trilineage.cli.door import is_first_process
from trilineage.core.artifacts import Run
from trilineage.report.numbers import UNDEFINED, counted, metric_heading, number, scored
from trilineage.report.scoreboard import Board, boards, population_suffix, role_of

if TYPE_CHECKING:
    from rich.table import Table

    from trilineage.core.records import Prediction

SHOWN_METRICS = ("balanced_accuracy", "macro_f1", "auroc")
"""As many metrics as fit on a line with their intervals; the report has all."""
MAX_PATIENTS_SHOWN = 20
_WIDTH_WITHOUT_TERMINAL = 140


def show_run(run: Run | Path, folder: str = "") -> None:
    """Print the scores of a Run (or of a folder in it, such as `transfer/`), write its report and say where it is."""
    if not is_first_process():
        return
    opened = run if isinstance(run, Run) else Run.open(run)
    for board in boards(opened.scores(f"{folder}scores.json")):
        _print(score_table(board))
    _write_report(opened.path)


def show_genes(run: Run | Path, n_top: int) -> None:
    """Print the strongest genes of each class of an explained Run and write its report."""
    if not is_first_process():
        return
    from trilineage.report.sections.genes import GENES, read_genes

    opened = run if isinstance(run, Run) else Run.open(run)
    for label, genes in read_genes(opened.read_table(GENES)).items():
        typer.echo(f"{label}: {', '.join(gene.name for gene in genes[:n_top])}")
    _write_report(opened.path)


def show_predictions(prediction: "Prediction", patients: dict[str, list[Any]], out: Path) -> None:
    """Print the class called for each patient, and where the whole result is."""
    if not is_first_process():
        return
    _print(_text_table("Patients", _called_columns(patients), MAX_PATIENTS_SHOWN))
    typer.echo(
        f"{counted(len(prediction.samples), 'sample')} of {counted(len(patients['patient']), 'patient')}: {out}"
    )


def score_table(board: Board) -> "Table":
    """Lay out one board for a terminal."""
    from rich.table import Table

    metrics = [metric for metric in SHOWN_METRICS if metric in board.metrics] or list(board.metrics[:3])
    table = Table(
        title=f"Per {board.unit}{population_suffix(board.population)}: {board.size()}", title_justify="left"
    )
    table.add_column("")
    for metric in metrics:
        table.add_column(metric_heading(metric), justify="right", no_wrap=True)
    for subject in board.subjects:
        style = "bold" if role_of(subject) == "model" else ""
        table.add_row(subject, *(scored(board.get(subject, metric), 2) for metric in metrics), style=style)
    return table


def _write_report(path: Path) -> None:
    from trilineage.report.page import write_report  # late: it brings matplotlib

    typer.echo(f"Run:    {path}\nReport: {write_report(path)}")


def _called_columns(patients: dict[str, list[Any]]) -> dict[str, Sequence[Any]]:
    """Pick patient, samples, call and the probability of the call from the table of patients."""
    called = patients["predicted"]
    chances = [patients[f"probability: {name}"][row] for row, name in enumerate(called)]
    return {
        "patient": patients["patient"],
        "samples": patients["n_samples"],
        "called": called,
        "mean probability": [number(float(chance), 2) for chance in chances],
    }


def _text_table(title: str, columns: dict[str, Sequence[Any]], limit: int) -> "Table":
    from rich.table import Table

    n_rows = len(next(iter(columns.values())))
    table = Table(
        title=title, title_justify="left", caption=f"{n_rows - limit} more" if n_rows > limit else None
    )
    for name in columns:
        table.add_column(name)
    for row in list(zip(*columns.values(), strict=True))[:limit]:
        table.add_row(*(UNDEFINED if value is None else str(value) for value in row))
    return table


def _print(table: "Table") -> None:
    """Print a table; names are shown as they are, never read as markup."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=_WIDTH_WITHOUT_TERMINAL)
    console.print(table)
