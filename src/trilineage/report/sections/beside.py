"""Runs beside each other: what each is, how it scores, where two differ on the same patients, what is set otherwise."""

import tomllib
from dataclasses import replace
from os.path import relpath
from pathlib import Path
from typing import Any, TypeVar

from trilineage.core.config import flatten
from trilineage.report.blocks import Block, Cell, Figure, Fold, Linked, Notice, Section, Table, Text
from trilineage.report.forest import Panel, forest
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import UNDEFINED, counted, moment
from trilineage.report.pairing import Beside, Entry, Pair
from trilineage.report.scoreboard import boards, comparison_table, lead_metric, score_table
from trilineage.report.sections.asked import KIND_TITLES
from trilineage.report.sections.scores import MAIN_METRICS

Shown = TypeVar("Shown", Table, Figure)
MAX_OPEN = 12
"""More options than this are folded."""


def beside_sections(found: Beside, path: Path) -> list[Section]:
    """Return the sections of the page that will lie at `path`."""
    made = (
        runs_section(found, path),
        scores_section(found, path),
        differences_section(found, path),
        options_section(found, path),
    )
    return [section for section in made if section is not None]


def address(one: Entry, file: str, path: Path) -> str:
    """Return the way from the page to a file of a Run."""
    return Path(relpath(one.run.path.resolve() / file, path.resolve().parent)).as_posix()


def runs_section(found: Beside, path: Path) -> Section:
    """List the Runs, with the way to the report of each."""
    rows = tuple(_run_row(one, path) for one in found.entries)
    headings = ("Run", "Kind", "Data", "Fingerprint", "Made", "Patients tested")
    names = tuple(address(one, "run.json", path) for one in found.entries)
    table = Table("The Runs; the name opens the report.", headings, rows, n_text_columns=5, sources=names)
    unfinished = [one.name for one in found.entries if not one.run.is_complete]
    text = f"Not finished: {', '.join(unfinished)}. Its command was interrupted."
    notices = [Notice(text, "danger")] if unfinished else []
    return Section("runs", "The Runs", (*notices, table))


def _run_row(one: Entry, path: Path) -> tuple[Cell, ...]:
    manifest = one.run.manifest
    data = str((manifest.get("data") or {}).get("path") or UNDEFINED).replace("\\", "/").rstrip("/")
    has_report = one.run.has("report.html")
    return (
        Linked(one.name, address(one, "report.html" if has_report else "run.json", path)),
        KIND_TITLES.get(one.run.kind, one.run.kind),
        data.rsplit("/", 1)[-1],
        one.fingerprint[:12] or UNDEFINED,
        moment(manifest.get("created")),
        UNDEFINED if one.prediction is None else f"{len(one.prediction.patients):,}",
    )


def scores_section(found: Beside, path: Path) -> Section:
    """Show the scores of all Runs, computed alike from what each foretold, and name those that kept nothing."""
    silent = [Text(f"{one.lacks}.") for one in found.entries if one.lacks]
    if not found.scores:
        return Section("scores", "Scores side by side", tuple(silent))
    names = [address(one, one.file, path) for one in found.entries if one.prediction is not None]
    metric = lead_metric(found.scores)
    board = boards(found.scores, nouns(found))[0]
    blocks: list[Block] = [
        Text(
            "Computed alike for all: from the probabilities each Run keeps of its held-out patients, one row per "
            "patient. Different rows may be about different patients: only the differences below are paired."
        )
    ]
    panel = Panel(f"Per {board.noun}", tuple(board.of(metric)))
    drawn = forest("beside", [panel], title="The Runs side by side", nouns=board.nouns)
    blocks.append(_with_names(drawn, names))
    caption = f"Each Run on its own held-out {board.nouns.patient}s; under each score its interval over them."
    tables = [
        replace(score_table(board, metrics), caption=caption, strong_rows=frozenset(), sources=tuple(names))
        for metrics in (MAIN_METRICS, ())
    ]
    blocks += [tables[0], Fold("All metrics", (tables[1],))]
    return Section("scores", "Scores side by side", (*blocks, *silent))


def differences_section(found: Beside, path: Path) -> Section:
    """Show the paired differences, and say of every other pair why there is none."""
    paired = [pair for pair in found.pairs if pair.comparisons]
    blocks: list[Block] = [
        Notice(f"{pair.first} and {pair.second} cannot be compared. {pair.note}", "caution")
        for pair in found.pairs
        if not pair.comparisons
    ]
    if paired:
        metric = lead_metric(found.scores)
        lead = [row for pair in paired for row in pair.comparisons if row.metric == metric]
        names = _files_of(found, paired, path)
        blocks.append(_with_names(comparison_table(lead, nouns(found)), names))
        blocks += [
            Notice(f"{pair.first} − {pair.second}: {pair.note}", "caution" if pair.is_assumed else "note")
            for pair in paired
            if pair.note
        ]
        every = [row for pair in paired for row in pair.comparisons]
        blocks.append(Fold("All metrics", (_with_names(comparison_table(every, nouns(found)), names),)))
    return Section("differences", "Differences on the same patients", tuple(blocks))


def options_section(found: Beside, path: Path) -> Section | None:
    """List the options that are not the same in all Runs."""
    has_config = [one for one in found.entries if one.run.has("config.toml")]
    options = {one.name: flatten(tomllib.loads(one.run.read_text("config.toml"))) for one in has_config}
    keys = sorted({key for own in options.values() for key in own})
    rows = tuple(
        (key, *(_value(own.get(key)) for own in options.values()))
        for key in keys
        if len({_value(own.get(key)) for own in options.values()}) > 1
    )
    if not rows:
        return None
    names = tuple(address(one, "config.toml", path) for one in has_config)
    caption = (
        f"{counted(len(rows), 'option')} set differently; a dash where a kind of Run has no such option."
    )
    table = Table(caption, ("Option", *options), rows, n_text_columns=1 + len(options), sources=names)
    return Section(
        "options",
        "Options in which they differ",
        (Fold(caption, (table,)) if len(rows) > MAX_OPEN else table,),
    )


def nouns(found: Beside) -> Nouns:
    """Return what patients are called: images, if no Run knows the patients; else patients."""
    known = [nouns_of(one.run) for one in found.entries]
    return Nouns() if any(each.knows_patients for each in known) else known[0]


def _files_of(found: Beside, pairs: list[Pair], path: Path) -> list[str]:
    names = dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second))
    return [address(one, one.file, path) for one in map(found.by_name, names)]


def _with_names(block: Shown, names: list[str]) -> Shown:
    return replace(block, sources=tuple(names))


def _value(value: Any) -> str:
    return UNDEFINED if value is None else str(value)
