"""The `trilineage report` command: a Run in, one page out; several Runs in, one page that compares them."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli.answers import answer
from trilineage.cli.door import door
from trilineage.core.errors import ConfigError

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of Runs; several are compared.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Page of a comparison; beside it the same as JSON. [default: compare.html]"),
]
Checklist = Annotated[
    list[str] | None,
    typer.Option(
        "--checklist", help="Also fill in a reporting checklist: tripod-ai or claim; may be repeated."
    ),
]
Card = Annotated[bool, typer.Option("--model-card", help="Also fill in a model card.")]
Show = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


@door()
def report(
    runs: Runs,
    page: Out = None,
    checklist: Checklist = None,
    model_card: Card = False,
    show: Show = False,
) -> None:
    """Write the HTML report of a Run, or compare several: one self-contained file that needs no network."""
    names = [*(checklist or []), *(["model-card"] if model_card else [])]
    _require_fitting(runs, page, names)
    path, papers = _one(runs[0], names) if len(runs) == 1 else (_several(runs, page), [])
    answer(page=path, papers=papers)
    for each in (path, *papers):
        typer.echo(str(each))
    if show:
        typer.launch(path.resolve().as_uri())


def _one(run: Path, names: list[str]) -> tuple[Path, list[Path]]:
    """Write the report of a Run and the papers that go with it, which it links to."""
    from trilineage.report.documents import write_documents
    from trilineage.report.page import write_report

    papers = write_documents(run, names) if names else []
    return write_report(run), papers


def _several(runs: list[Path], page: Path | None) -> Path:
    """Write the comparison of Runs."""
    from trilineage.report.compare import write_comparison

    return write_comparison(runs, page or "compare.html")


def _require_fitting(runs: list[Path], page: Path | None, names: list[str]) -> None:
    """Refuse options that would do nothing."""
    if len(runs) == 1 and page is not None:
        raise ConfigError(
            "--out is for a comparison",
            seen=f"one Run and --out {page}",
            allowed="several Runs; the report of one Run lies in it",
            remedy="leave --out away, or name more Runs",
        )
    if len(runs) > 1 and names:
        raise ConfigError(
            "checklists and model cards are about one Run",
            seen=f"{len(runs)} Runs and {', '.join(names)}",
            allowed="one Run",
            remedy="run the command for each Run",
        )
