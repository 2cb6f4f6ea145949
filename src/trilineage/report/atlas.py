"""The atlas of concepts: the cards of a Run as one page that searches, filters and shows thousands of them.

Reads `explain/cards.json` (`explain.concepts.cards`) and writes `explain/atlas/index.html`. Everything but the sheets
of pictures, which lie beside it in `explain/sprites`, is inside the page: it opens from the file system by itself.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.report.numbers import counted, moment
from trilineage.report.rendering import page_environment, script_hash, template_text

CARDS_NAME = "explain/cards.json"
ATLAS_NAME = "explain/atlas/index.html"
KIND = "trilineage concept cards"
VERSION = 1
SCRIPTS = ("deck", "pictures", "review", "choice", "list", "scatter", "card", "start")
"""Parts of the page's script, in the order in which they need each other."""

_SHEET = re.compile(r"explain/sprites/[A-Za-z0-9][A-Za-z0-9._-]*\.(?:jpg|png)")
_DIGITS = 4


def write_atlas(run: Run | Path | str) -> Path:
    """Write the atlas of a Run into it and return its path. The same cards give the same bytes.

    Raises
    ------
    ArtifactError
        If there is no Run, it has no cards (`trilineage concepts explain` makes them), or they are damaged.
    NewerVersionError, AlteredFileError
        If a newer version wrote them, or they were changed.
    StorageError
        If the folder cannot be written.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    cards = read_cards(opened)
    opened.write_text(ATLAS_NAME, render_atlas(opened, cards))
    return opened.path / ATLAS_NAME


def read_cards(run: Run) -> dict[str, Any]:
    """Return `explain/cards.json`, checked.

    Raises
    ------
    ArtifactError
        If there are none, or they are damaged.
    NewerVersionError
        If a newer version wrote them.
    """
    if not run.has(CARDS_NAME):
        raise ArtifactError(
            f"{run.path} has no concept cards",
            seen=f"no {CARDS_NAME}",
            allowed="a Run of `trilineage concepts fit` that was explained",
            remedy="run `trilineage concepts explain` on it first",
        )
    found = run.read_json(CARDS_NAME)
    if not isinstance(found, dict) or found.get("kind") != KIND or not isinstance(found.get("cards"), list):
        raise ArtifactError(
            f"{CARDS_NAME} holds no concept cards",
            seen=found.get("kind") if isinstance(found, dict) else type(found).__name__,
            allowed=KIND,
            remedy="run `trilineage concepts explain` again",
        )
    if not isinstance(found.get("version"), int) or found["version"] > VERSION:
        raise NewerVersionError(
            "the concept cards were written by a newer trilineage",
            seen=f"version {found.get('version')}",
            allowed=f"up to {VERSION}",
            remedy="update trilineage",
        )
    return found


def render_atlas(run: Run, cards: Mapping[str, Any]) -> str:
    """Return the page as HTML."""
    environment = page_environment()
    script = script_text(environment)
    try:
        content = deck(run, cards)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"{CARDS_NAME} is damaged", seen=repr(error), remedy="run `trilineage concepts explain` again"
        ) from None
    n_cards, n_latents = len(cards["cards"]), int(cards.get("n_latents") or 0)
    of = f" of {counted(n_latents, 'latent')}" if n_latents else ""
    version = str(run.manifest.get("trilineage", "unknown"))
    return environment.get_template("atlas/page.html.j2").render(
        name=run.path.resolve().name,
        summary=f"{counted(n_cards, 'concept')}{of} · {moment(run.manifest.get('created'))} · trilineage {version}",
        version=version,
        about=cards.get("about", []),
        tests=cards.get("tests", []),
        notices=list(notices(content)),
        cards_name=CARDS_NAME,
        deck=Markup(script_json(content)),  # noqa: S704  (escaped by script_json)
        script=Markup(script),  # noqa: S704  (our own files)
        script_hash=script_hash(script),
    )


def notices(content: Mapping[str, Any]) -> Iterable[str]:
    """Say what the atlas lacks."""
    sheets = content["pictures"]["sheets"] if content["pictures"] else []
    n_missing = sum(sheet is None for sheet in sheets)
    if n_missing:
        yield f"Pictures are missing ({n_missing} of {len(sheets)} sheets); their concepts are shown without cells."
    if not content["latents"]:
        yield "No latent was strong enough for a card."


# ---- the script -----------------------------------------------------------------------------------------------------


def script_text(environment: Environment) -> str:
    """Return the script of the page: its parts, one after the other, in a scope of their own."""
    parts = [template_text(environment, f"atlas/{name}.js") for name in SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();"


def script_json(value: object) -> str:
    r"""Return JSON that cannot end the script element it stands in.

    Examples
    --------
    >>> print(script_json({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


# ---- cards as columns -----------------------------------------------------------------------------------------------


class _Texts:
    """Texts that occur often, each kept once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: object) -> int:
        return self.places.setdefault(str(text), len(self.places))

    @property
    def listed(self) -> list[str]:
        return list(self.places)


def deck(run: Run, cards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cards as columns with every text once: a tenth of the bytes, and quick to search."""
    rows: Sequence[Mapping[str, Any]] = cards["cards"]
    tests = cards.get("tests", [])
    figures = [
        one for one in cards.get("figures", []) if any(_has(row["figures"], one["name"]) for row in rows)
    ]
    regions = list(dict.fromkeys(region for row in rows for region in row["focus"]))
    targets, classes = _Texts(), _Texts()
    for name in cards["classes"]:
        classes.place(name)
    found = {key: [_findings(row[key], targets) for row in rows] for key in ("classes", "attributes")}
    shares = [
        [part for name, share in row["shares"].items() for part in (classes.place(name), _short(share))]
        for row in rows
    ]
    attributes = {one["target"] for row in rows for one in row["attributes"] if one["is_significant"]}
    return {
        "key": f"{run.path.resolve().name} {run.manifest['files'][CARDS_NAME][:16]}",
        "alpha": cards.get("alpha", 0.05),
        "latents": [int(row["latent"]) for row in rows],
        "names": [str(row["name"]) for row in rows],
        "drafts": [int(bool(row["is_draft"])) for row in rows],
        "reasons": [[str(reason) for reason in row["reasons"]] for row in rows],
        "frequency": [_short(row["frequency"]) for row in rows],
        "mean": [_short(row["mean_activation"]) for row in rows],
        "entropy": [_short(row["entropy"]) for row in rows],
        "relative": [_short(row["relative_entropy"]) for row in rows],
        "figures": [{key: str(figure[key]) for key in ("name", "title", "meaning")} for figure in figures],
        "figureValues": [[_short(row["figures"].get(figure["name"])) for row in rows] for figure in figures],
        "regions": regions,
        "focusValues": [[_short(row["focus"].get(region)) for row in rows] for region in regions],
        "tests": [{key: str(test[key]) for key in ("name", "title", "rule")} for test in tests],
        "outcomes": [[_outcome(row["tests"].get(test["name"])) for row in rows] for test in tests],
        "targets": targets.listed,
        "classFindings": found["classes"],
        "attributeFindings": found["attributes"],
        "attributes": sorted(attributes),
        "shares": shares,
        "classes": classes.listed,
        "full": [_short(row["full_colour"]) for row in rows],
        **_pictures(run, cards.get("pictures"), rows),
        **_references(rows),
    }


def _findings(found: Sequence[Mapping[str, Any]], targets: _Texts) -> list[float | int | None]:
    """Return associations as four numbers each."""
    flat: list[float | int | None] = []
    for one in found:
        flat += [
            targets.place(one["target"]),
            _short(one["auroc"]),
            _short(one["q_value"]),
            int(one["is_significant"]),
        ]
    return flat


def _references(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return references as three numbers each, and the images they point to."""
    images, texts = _Texts(), _Texts()
    patients: list[int] = []
    labels: list[int] = []
    flat: list[list[float | int | None]] = []
    for row in rows:
        own: list[float | int | None] = []
        for one in row["references"]:
            image = images.place(one["image"])
            if image == len(patients):
                patients.append(texts.place(one["patient"]))
                labels.append(texts.place(one["label"]))
            own += [image, _short(one["score"]), int(one["patch"])]
        flat.append(own)
    about = {"images": images.listed, "imagePatients": patients, "imageLabels": labels, "texts": texts.listed}
    return {"references": flat, **about}


def _pictures(
    run: Run, layout: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return how the sheets are laid out, and which of them are there."""
    sheets = [int(row["sheet"]) for row in rows]
    n_sheets = len(layout["sheets"]) if layout else 0
    counts = _counts(sheets, n_sheets)
    about = {"sheets": sheets, "rows": [int(row["row"]) for row in rows], "onSheet": counts}
    if not layout:
        return {"pictures": None, **about}
    files = [_sheet(run, pair) for pair in layout["sheets"]]
    kept = {key: layout[key] for key in ("columns", "rows", "tile", "grid", "heat_padding")}
    return {"pictures": {**kept, "sheets": files}, **about}


def _counts(sheets: Sequence[int], n_sheets: int) -> list[int]:
    """Return how many cards each sheet shows."""
    counts = [0] * n_sheets
    for sheet in sheets:
        if 0 <= sheet < n_sheets:
            counts[sheet] += 1
    return counts


def _sheet(run: Run, files: Sequence[str]) -> list[str] | None:
    """Return the addresses of cells and heat as the page sees them; None if they are not there or lie elsewhere."""
    if len(files) != 2 or not all(_SHEET.fullmatch(name) and run.has(name) for name in files):
        return None
    return [f"../{name.removeprefix('explain/')}" for name in files]


def _short(value: Any) -> float | None:
    """Return a number with four digits; None where there is none."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def _has(figures: Mapping[str, Any], name: str) -> bool:
    return figures.get(name) is not None


def _outcome(value: Any) -> int | None:
    return None if value is None else int(bool(value))
