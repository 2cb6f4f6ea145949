"""Runs of any kind beside each other: one page, and the same as JSON for a program.

Where two Runs foretold the same patients their difference is taken patient by patient (`report.pairing`); where they
did not, they stand side by side, and the page says why a difference between them would mean nothing.
"""

import json
from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

from trilineage import __version__
from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.core.files import write_atomically
from trilineage.core.manifest import to_json
from trilineage.evaluation.intervals import score_predictions
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.report.blocks import Notice
from trilineage.report.numbers import compared as in_words
from trilineage.report.numbers import counted, metric_name, scored
from trilineage.report.pairing import Beside, Entry, Pair, compared, entry
from trilineage.report.rendering import render_page
from trilineage.report.scoreboard import lead_metric
from trilineage.report.sections.beside import beside_sections

KIND = "trilineage comparison of Runs"
VERSION = 1


def write_comparison(
    run_paths: Sequence[Path | str],
    out: Path | str = "compare.html",
    *,
    settings: EvaluationSettings | None = None,
) -> Path:
    """Compare Runs, write the page and beside it the same as JSON; return the path of the page.

    The same Runs give the same bytes. Links lead from the page to files of the Runs, relative to it.

    Raises
    ------
    ConfigError
        If there are fewer than two Runs, one is named twice, or the page is not named `.html`.
    ArtifactError
        If one of them is no Run, was altered, or a newer version wrote it.
    StorageError
        If the page cannot be written.
    """
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(
            "a comparison is a page, with the same as JSON beside it",
            seen=path.name,
            allowed="a name that ends with .html",
            remedy=f"name it {path.with_suffix('.html').name}",
        )
    found = beside(run_paths, settings)
    write_atomically(path.with_suffix(".json"), to_json(as_json(found, path.parent)))
    write_atomically(path, render_comparison(found, path).encode())
    return path


def beside(run_paths: Sequence[Path | str], settings: EvaluationSettings | None = None) -> Beside:
    """Open Runs, score all alike and compare every two of them."""
    paths, settings = [Path(each) for each in run_paths], settings or EvaluationSettings()
    _require_several(paths)
    entries = tuple(entry(name, Run.open(path)) for name, path in zip(names_of(paths), paths, strict=True))
    scores = [
        score
        for one in entries
        if one.prediction is not None
        for score in score_predictions(one.prediction, unit="patient", settings=settings, subject=one.name)
    ]
    pairs = [
        compared(first, second, settings) for place, second in enumerate(entries) for first in entries[:place]
    ]
    return Beside(entries, tuple(scores), tuple(pairs), settings)


def names_of(run_paths: Sequence[Path]) -> list[str]:
    """Return the names of the folders, with those above them as far as names would be the same without.

    Examples
    --------
    >>> names_of([Path("a/rna"), Path("b/rna"), Path("b/images")])
    ['a/rna', 'b/rna', 'images']
    """
    parts = [path.resolve().parts for path in run_paths]

    def named(own: tuple[str, ...]) -> str:
        others = [other for other in parts if other != own]
        length = next((n for n in range(1, len(own)) if all(o[-n:] != own[-n:] for o in others)), len(own))
        return "/".join(own[-length:])

    return [named(own) for own in parts]


def _require_several(run_paths: Sequence[Path]) -> None:
    different = {path.resolve() for path in run_paths}
    if len(different) < max(2, len(run_paths)):
        raise ConfigError(
            "a comparison needs different Runs",
            seen=", ".join(map(str, run_paths)) or "none",
            allowed="two Runs or more, each once",
            remedy="name another Run",
        )


# ---- the page -------------------------------------------------------------------------------------------------------


def render_comparison(found: Beside, path: Path) -> str:
    """Return the page as HTML; `path` is where it will lie, for the links."""
    sections = beside_sections(found, path)
    notices = [block for section in sections for block in section.blocks if isinstance(block, Notice)]
    return render_page(
        "compare.html.j2",
        name=" · ".join(one.name for one in found.entries),
        title="Comparison of Runs",
        run={"trilineage": __version__},
        summary=sentences(found),
        summary_sources=(path.with_suffix(".json").name,),
        warnings=[notice for notice in notices if notice.level != "note"],
        sections=sections,
        about=f"{counted(len(found.entries), 'Run')} · trilineage {__version__}",
    )


def sentences(found: Beside) -> list[str]:
    """Return the result in a few sentences: the best Run, and each difference that could be taken."""
    said = []
    if found.scores:
        metric = lead_metric(found.scores)
        known = [score for score in found.scores if score.metric == metric and score.value == score.value]
        lines = "; ".join(f"{score.subject} {scored(score, 2)}" for score in known)
        said.append(f"Per patient the {metric_name(metric)} is: {lines}.")
        for pair in found.pairs:
            said += [
                f"{row.first} − {row.second}, on the same {counted(row.n_patients, 'patient')}: {in_words(row, 2)}."
                for row in pair.comparisons
                if row.metric == metric
            ]
    if not any(pair.comparisons for pair in found.pairs):
        said.append("No two of these Runs can be compared patient by patient; they only stand side by side.")
    return said


# ---- for a program --------------------------------------------------------------------------------------------------


def as_json(found: Beside, folder: Path) -> dict[str, Any]:
    """Return what the page says as plain values."""
    return {
        "kind": KIND,
        "version": VERSION,
        "trilineage": __version__,
        "settings": json.loads(found.settings.model_dump_json()),
        "runs": [_entry_json(one, folder) for one in found.entries],
        "scores": [score.to_dict() for score in found.scores],
        "pairs": [_pair_json(pair) for pair in found.pairs],
    }


def _entry_json(one: Entry, folder: Path) -> Mapping[str, Any]:
    n_patients = None if one.prediction is None else len(one.prediction.patients)
    return {
        "name": one.name,
        "path": Path(relpath(one.run.path.resolve(), folder.resolve())).as_posix(),
        "kind": one.run.kind,
        "is_complete": one.run.is_complete,
        "data": one.run.manifest.get("data") or {},
        "predictions": one.file or None,
        "n_patients": n_patients,
        "note": one.lacks,
    }


def _pair_json(pair: Pair) -> Mapping[str, Any]:
    rows = [row.to_dict() for row in pair.comparisons]
    return {**pair._asdict(), "comparisons": rows, "is_paired": bool(rows)}
