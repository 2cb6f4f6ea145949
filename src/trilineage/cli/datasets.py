"""What the data commands show: public sets, what was fetched, and what an inspection found."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trilineage.cli.answers import answer
from trilineage.data.download import RECORD, Download
from trilineage.data.inspection.findings import Finding, Inspection
from trilineage.data.sources.source import Source

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 140
_STYLES = {"problem": "bold red", "warning": "yellow", "note": "dim"}
_MARKS = {"problem": "PROBLEM", "warning": "WARNING", "note": "note"}
_MAX_SHOWN = 12
"""Classes, sizes or sites on a line; the JSON has all."""
_PATIENTS = {"named": "named", "hidden": "not named", "none": "none"}


def show_sources(sources: Iterable[Source], *, in_full: bool) -> None:
    """Print public data sets as a table, or one in full as lines; programs are told all that is known."""
    listed = tuple(sources)
    answer(data_sets=[_source_record(source) for source in listed])
    if not in_full:
        _show_source_table(listed)
        return
    for source in listed:
        _show_lines(_source_lines(source))


def show_downloads(source: Source, folder: Path, downloads: Iterable[Download]) -> None:
    """Print where the files are, how each was confirmed, and what their use asks for."""
    downloads = tuple(downloads)
    answer(folder=folder, files=downloads, licence=source.licence_note, citation=source.citation)
    for here in downloads:
        how = "as published" if here.is_verified else f"trusted on first use, recorded in {RECORD}"
        typer.echo(f"{here.path.name}: {here.n_bytes:,} bytes, SHA-256 {here.sha256} ({how})")
    typer.echo(f"Folder:  {folder}\nLicence: {source.licence_note}\nCite:    {source.citation}")
    for line in filter(None, (source.how_to_get, source.caution)):
        typer.echo(f"Note:    {line}")


def show_inspection(inspection: Inspection) -> None:
    """Print an inspection; programs are told all of it."""
    answer(**inspection.to_dict())
    console = _console()
    console.print(f"{inspection.n_images:,} images in {inspection.path}", style="bold")
    _show_lines(_summary(inspection))
    for finding in inspection.findings:
        _show_finding(console, finding)
    if not inspection.findings:
        console.print("Nothing to mend was found.")


def _show_source_table(sources: Iterable[Source]) -> None:
    from rich.table import Table

    table = Table(
        title="Public image sets", title_justify="left", caption="One in full: trilineage data list NAME"
    )
    for name in ("name", "content", "patients", "licence", "fetch"):
        table.add_column(name)
    for source in sources:
        how = f"data get {source.name}" if source.files else "by hand"
        licence = source.licence if source.is_licence_verified else f"{source.licence} (check)"
        table.add_row(source.name, source.content, _PATIENTS[source.patients], licence, how)
    _console().print(table)


def _source_lines(source: Source) -> dict[str, str]:
    addresses = ", ".join(file.url for file in source.files)
    return {
        "name": f"{source.name}: {source.title}",
        "content": source.content,
        "patients": _PATIENTS[source.patients],
        "licence": source.licence_note,
        "cite": source.citation,
        "homepage": source.homepage,
        "files": addresses or "no plain download",
        "to get it": source.how_to_get,
        "layout": source.layout,
        "taxonomies": ", ".join(source.taxonomies),
        "caution": source.caution,
    }


def _source_record(source: Source) -> dict[str, Any]:
    """Return all that is known of a data set as JSON-ready values."""
    left_out = ("list_images", "files", "extra_files")
    record = {name: value for name, value in vars(source).items() if name not in left_out}
    files = [vars(file) for file in (*source.files, *source.extra_files)]
    maps = {taxonomy: dict(source.label_map(taxonomy)) for taxonomy in source.taxonomies}
    return {**record, "files": files, "label_maps": maps}


def _summary(inspection: Inspection) -> dict[str, str]:
    """Return what the images are, one thing a line; what is not known is left out."""
    patients = "none named" if not inspection.n_patients else f"{inspection.n_patients:,}"
    groups = {f"{group.name} rgb{group.colour}": group.n_images for group in inspection.groups}
    return {
        "classes": _counts(inspection.labels),
        "patients": patients,
        "sites": _counts(inspection.sites or {}),
        "parts": _counts(inspection.parts or {}),
        "sizes": _counts(inspection.sizes),
        "acquisitions": _counts(groups) if len(groups) > 1 else "one",
        "unreadable": f"{len(inspection.unreadable):,}",
        "duplicates": f"{sum(len(group.names) - 1 for group in inspection.duplicates):,} exact, "
        f"{len(inspection.near_duplicates):,} near pairs",
    }


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{name or '(none)'} {n:,}" for name, n in list(counts.items())[:_MAX_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join([*shown, f"and {more:,} more"] if more > 0 else shown)


def _show_finding(console: "Console", finding: Finding) -> None:
    from rich.text import Text

    console.print(Text.assemble((_MARKS[finding.weight], _STYLES[finding.weight]), f"  {finding.text}"))
    for example in finding.examples:
        console.print(f"         {example}", style="dim")


def _show_lines(lines: Mapping[str, str]) -> None:
    """Print named lines, the names in one column; empty ones are left out."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in lines.items():
        if text:
            table.add_row(name, text)
    _console().print(table)


def _console() -> "Console":
    """Return a console that shows names as they are, never as markup."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(markup=False, highlight=False, emoji=False, width=_WIDTH_WITHOUT_TERMINAL)
