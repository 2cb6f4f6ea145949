"""What a command shows when it is done: scores as a table, the genes, and where everything lies."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trilineage.cli.answers import answer
from trilineage.cli.messages import is_first_process
from trilineage.core.artifacts import Run
from trilineage.report.image_findings import SITE, site_boards, site_name, whole
from trilineage.report.nouns import nouns_of
from trilineage.report.numbers import UNDEFINED, counted, metric_heading, number, scored
from trilineage.report.scoreboard import Board, boards, population_suffix, role_of

if TYPE_CHECKING:
    from rich.table import Table

    from trilineage.cli.checkup import Check
    from trilineage.data.sae_formats.weights import SaeWeights
    from trilineage.demo.claims import Claim
    from trilineage.evaluation.concepts.review import Review
    from trilineage.models.extraction import ExtractionReport
    from trilineage.pipelines.cases import Together
    from trilineage.pipelines.concepts import Barcoded
    from trilineage.pipelines.images import Diagnosis


SHOWN_METRICS = (
    ("balanced_accuracy", "macro_f1", "auroc"),
    ("leaf_balanced_accuracy", "hierarchical_f1", "clinical_cost"),
    ("pointing", "energy_inside", "deletion_auc", "insertion_auc"),
    ("agreement", "cohen_kappa", "weighted_kappa"),
)
"""Metrics of classes, of trees, of maps and of readers, as many as fit on a line with their intervals; the report has
all."""
MAX_PATIENTS_SHOWN = 20
_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
_STYLES = {"ok": "", "note": "yellow", "problem": "bold red"}
_WIDTH_WITHOUT_TERMINAL = 140


def show_run(run: Run | Path, folder: str = "") -> None:
    """Print the scores of a Run (or of a folder in it, such as `transfer/`), write its report and say where it is."""
    if not is_first_process():
        return
    opened = run if isinstance(run, Run) else Run.open(run)
    scores, nouns = opened.scores(f"{folder}scores.json"), nouns_of(opened)
    answer(scores=scores, comparisons=opened.comparisons(f"{folder}comparisons.json"))
    for board in boards(whole(scores), nouns):
        _print(score_table(board))
    sites = site_boards(scores, nouns)
    if sites:
        _print(site_table(sites))
    _write_report(opened.path)


def show_genes(run: Run | Path, n_top: int) -> None:
    """Print the strongest genes of each class of an explained Run and write its report."""
    if not is_first_process():
        return
    from trilineage.report.sections.genes import GENES, read_genes

    opened = run if isinstance(run, Run) else Run.open(run)
    found = read_genes(opened.read_table(GENES))
    answer(genes={label: [gene.name for gene in genes[:n_top]] for label, genes in found.items()})
    for label, genes in found.items():
        typer.echo(f"{label}: {', '.join(gene.name for gene in genes[:n_top])}")
    _write_report(opened.path)


def show_predictions(n_samples: int, patients: dict[str, list[Any]], out: Path) -> None:
    """Print the class called for each patient, and where the whole result is."""
    if not is_first_process():
        return
    answer(n_samples=n_samples, patients=patients, out=out)
    _print(_text_table("Patients", _called_columns(patients), MAX_PATIENTS_SHOWN))
    typer.echo(f"{counted(n_samples, 'sample')} of {counted(len(patients['patient']), 'patient')}: {out}")


def show_images(found: "Diagnosis", out: Path) -> None:
    """Name what could not be read, print the class called for each patient if there are any, and where all of it is."""
    if not is_first_process():
        return
    for name, reason in found.unreadable:
        typer.echo(f"left out: {name}: {reason}", err=True)
    n_images = len(found.prediction.samples)
    answer(n_samples=n_images, unreadable=found.unreadable, out=out)
    if found.patients:
        show_predictions(n_images, found.patients, out)
    else:
        typer.echo(f"{n_images:,} images: {out}")


def show_fused(found: "Together") -> None:
    """Print the decision for each patient and who knew it, and where the whole result is."""
    if not is_first_process():
        return
    names = ("patient", "lineages", "decision", "set", "agreement")
    answer(patients=found.patients, out=found.path)
    columns: dict[str, Sequence[Any]] = {name: found.patients[name] for name in names}
    columns["probability"] = [number(float(chance), 2) for chance in found.patients["probability"]]
    _print(_text_table("Patients", columns, MAX_PATIENTS_SHOWN))
    typer.echo(f"{counted(len(found.patients['patient']), 'patient')}: {found.path}")


def show_barcodes(found: "Barcoded", out: Path) -> None:
    """Name what could not be read, print the subtype called for each patient, and where the whole result is."""
    if not is_first_process():
        return
    for name, reason in found.unreadable:
        typer.echo(f"left out: {name}: {reason}", err=True)
    n_patients, n_images = len(found.barcodes), int(found.barcodes.n_images.sum())
    answer(n_images=n_images, n_patients=n_patients, unreadable=found.unreadable, out=out)
    if found.called:
        show_predictions(n_images, found.called, out)
    else:
        typer.echo(f"{counted(n_images, 'image')} of {counted(n_patients, 'patient')}: {out}")
    from trilineage.report.patient_barcodes import write_patient_pages  # late: it brings matplotlib

    pages = write_patient_pages(out)
    answer(pages=pages)
    typer.echo(f"Pages:  {pages}")


def show_atlas(run: Run) -> None:
    """Write the atlas and the report of an explained Run and say where they are."""
    from trilineage.report.atlas import write_atlas

    _write_report(run.path)
    atlas = write_atlas(run)
    answer(atlas=atlas)
    typer.echo(f"Atlas:  {atlas}")


def show_cases(run: Run) -> None:
    """Write the pages and the report of explained cases and say where they are."""
    from trilineage.report.case import write_case_pages

    pages = write_case_pages(run)
    _write_report(run.path)
    answer(pages=pages)
    typer.echo(f"Pages:  {pages[0].parent} ({counted(len(pages), 'patient')})")


def show_claims(claims: "Sequence[Claim]", index: Path) -> None:
    """Print every claim of a demo beside the truth, and where its page is."""
    answer(index=str(index), claims=[claim.to_dict() for claim in claims])
    verdicts = {True: "holds", False: "DOES NOT HOLD", None: "not checked"}
    columns: dict[str, Sequence[Any]] = {
        "claim": [claim.text for claim in claims],
        "found": [claim.found for claim in claims],
        "truth or chance": [claim.truth for claim in claims],
        "verdict": [verdicts[claim.holds] for claim in claims],
    }
    _print(_text_table("Claims, and what is true", columns, len(claims)))
    typer.echo(f"Open in a browser: {index}")


def show_extraction(found: "ExtractionReport", out: Path) -> None:
    """Say how many tokens were extracted, how fast, and what others still have to do."""
    answer(**vars(found))
    before = f", {found.n_before:,} were there" if found.n_before else ""
    typer.echo(f"{found.n_images:,} images{before}, {found.images_per_second:,.1f} per second: {out}")
    if found.left_elsewhere:
        typer.echo(f"{counted(len(found.left_elsewhere), 'shard')} of other shares are not finished yet")


def show_dictionary(weights: "SaeWeights", out: Path) -> None:
    """Say what an autoencoder is and where it was written."""
    answer(n_latents=weights.n_latents, width=weights.width, activation=weights.activation, out=out)
    typer.echo(
        f"{weights.n_latents:,} latents on tokens of width {weights.width:,} ({weights.activation}): {out}"
    )


def show_review(review: "Review") -> None:
    """Print what reviewers confirmed beside what they took of the controls, and how far they agree."""
    answer(confirmed=review.confirmed, agreement=review.agreement, p_values=dict(review.p_values))
    for score in review.confirmed:
        what = "concepts" if score.metric == "confirmed" else "controls"
        typer.echo(f"{score.subject}: {scored(score, 2)} of {score.n_samples} {what} are one concept")
    for name, p_value in review.p_values.items():
        typer.echo(f"{name}: p = {p_value:.2g} that concepts are confirmed no more often than controls")
    for score in review.agreement:
        typer.echo(f"{score.subject}: {metric_heading(score.metric)} {scored(score, 2)}")


def show_checks(checks: "Sequence[Check]") -> None:
    """Print what a look at this machine found, and below it what is missing for which command."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(_MARKS[check.status], check.name, check.found, style=_STYLES[check.status])
    _print(table)
    for check in checks:
        if check.status != "ok":
            missed = f" (for {', '.join(check.needed_for)})" if check.needed_for else ""
            typer.echo(f"{check.name}: {check.remedy or check.found}{missed}")
    n_problems = sum(check.status == "problem" for check in checks)
    typer.echo(f"{counted(n_problems, 'problem')}." if n_problems else "Nothing that is needed is missing.")


def score_table(board: Board) -> "Table":
    """Lay out one board for a terminal."""
    title = f"Per {board.noun}{population_suffix(board.population)}: {board.size()}"
    metrics = shown_metrics(board)
    rows = {
        subject: [scored(board.get(subject, metric), 2) for metric in metrics] for subject in board.subjects
    }
    return _scores_table(title, metrics, rows, {name for name in rows if role_of(name) == "model"})


def site_table(found: Sequence[Board]) -> "Table":
    """Lay out the scores of the model at each site, a row per site."""
    metrics = shown_metrics(found[0])
    rows = {
        f"{site_name(board.population.removeprefix(SITE))} ({board.size()})": [
            scored(board.best("model", metric), 2) for metric in metrics
        ]
        for board in found
    }
    return _scores_table(f"The model per {found[0].noun} at each site", metrics, rows)


def shown_metrics(board: Board) -> list[str]:
    """Return the metrics that a line has room for."""
    known = ([metric for metric in group if metric in board.metrics] for group in SHOWN_METRICS)
    return next(filter(None, known), list(board.metrics[:3]))


def _scores_table(
    title: str, metrics: Sequence[str], rows: Mapping[str, Sequence[str]], strong: Set[str] = frozenset()
) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for metric in metrics:
        table.add_column(metric_heading(metric), justify="right", no_wrap=True)
    for name, cells in rows.items():
        table.add_row(name, *cells, style="bold" if name in strong else "")
    return table


def _write_report(path: Path) -> None:
    from trilineage.report.page import write_report  # late: it brings matplotlib

    report = write_report(path)
    answer(run=path, report=report)
    typer.echo(f"Run:    {path}\nReport: {report}")


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
