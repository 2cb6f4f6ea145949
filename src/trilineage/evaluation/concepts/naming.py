"""Names of concepts: drafts made by rules from what a latent was tested for, and those that people gave instead."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from trilineage.core.config import Settings
from trilineage.core.errors import ColumnError, DataError, FormatError
from trilineage.core.registry import nearest_remedy
from trilineage.evaluation.concepts.association import AssociationTable, Finding
from trilineage.evaluation.concepts.targets import CLASS, split_target

NAME_COLUMNS = ("latent", "name", "reviewer", "note")
"""Columns of a CSV of names; the last two may be absent."""

MAX_NAME, MAX_NOTE = 120, 2000
"""Characters of a name or a reviewer, and of a note."""

NO, YES = ("no", "nil", "none", "absent", "false"), ("yes", "present", "true")
"""Values that say that something is not there, or that it is."""

NOUNS = {
    "cell_size": "cell",
    "cell_shape": "cell",
    "nucleus_shape": "nucleus",
    "nuclear_cytoplasmic_ratio": "nucleus-to-cytoplasm ratio",
    "chromatin_density": "chromatin",
    "cytoplasm_vacuole": "vacuoles",
    "cytoplasm_texture": "cytoplasm",
    "cytoplasm_colour": "cytoplasm",
    "granule_type": "granules",
    "granule_colour": "granules",
    "granularity": "granules",
}
"""What the attributes of WBCAtt (Tsutsui et al. 2023) are said of; of any other attribute, its own name."""

ADJECTIVES = {
    "segmented-bilobed": "bilobed",
    "segmented-multilobed": "multilobed",
    "unsegmented-band": "band-shaped",
    "unsegmented-indented": "indented",
    "unsegmented-round": "round",
    "densely": "dense",
    "loosely": "loose",
}
"""How values are said before a noun, where they are not said as they are."""


class NamingSettings(Settings):
    """Which findings make a draft name."""

    min_auroc: float = Field(default=0.7, ge=0.5, lt=1)
    """Least area of a finding that is said; it must be significant as well."""
    margin: float = Field(default=0.03, ge=0, le=0.5)
    """A second value of the same attribute, or a second class, is said if its area is at most this much smaller."""
    n_phrases: int = Field(default=2, ge=0, le=6)
    """Most things (granules, nucleus, ...) that are said beside the class."""


class ConceptName(NamedTuple):
    """What a latent is called."""

    name: str
    """Its name; empty where nothing was found to name it by."""
    is_draft: bool
    """Whether rules made it and nobody confirmed it."""
    reasons: tuple[str, ...]
    """The findings behind a draft; or who gave the name, and their note."""


class GivenName(NamedTuple):
    """A name that somebody gave."""

    name: str
    """The name."""
    reviewer: str = ""
    """Who gave it."""
    note: str = ""
    """What they said about it."""


def draft_names(
    table: AssociationTable,
    latents: Iterable[int] | None = None,
    *,
    titles: Mapping[str, str] | None = None,
    nouns: Mapping[str, str] | None = None,
    settings: NamingSettings | None = None,
) -> dict[int, ConceptName]:
    """Draft a name for each latent from its strongest significant findings: 'coarse purple granules, basophil'.

    A name says what the latent is found with, not what it sees: a latent that answers to a red dye is found with
    eosinophils too. So it stays a draft, with its reasons, until somebody has looked (`with_given_names`).

    Parameters
    ----------
    table
        Tests of the latents; its targets as `targets.attribute_targets` and `class_targets` name them.
    latents
        Which ones; None: all that were tested.
    titles
        Words for class names, where they are not the names themselves (`taxonomy.titles`).
    nouns
        What further attributes are said of; comes before `NOUNS`.
    settings
        Which findings are said.
    """
    settings = settings or NamingSettings()
    words = {**NOUNS, **(nouns or {})}
    wanted = np.flatnonzero(table.is_tested.any(axis=1)).tolist() if latents is None else latents
    return {int(latent): _draft(table, int(latent), titles or {}, words, settings) for latent in wanted}


def with_given_names(
    drafts: Mapping[int, ConceptName], given: Mapping[int, GivenName]
) -> dict[int, ConceptName]:
    """Return the names with those that people gave in place of drafts, and for latents that had none."""
    names = dict(drafts)
    for latent, one in given.items():
        by = f"named by {one.reviewer}" if one.reviewer else "named by a reviewer"
        reasons = (by, one.note) if one.note else (by,)
        names[latent] = ConceptName(one.name, False, reasons)
    return dict(sorted(names.items()))


def read_names_csv(path: Path | str, n_latents: int) -> dict[int, GivenName]:
    """Read the names that people gave: a CSV with the columns latent, name and, if wanted, reviewer and note.

    Parameters
    ----------
    path
        CSV file in UTF-8; `names_csv` writes one to begin with.
    n_latents
        Latents there are.

    Raises
    ------
    FormatError
        It cannot be read, a latent is named twice, or a name is empty, too long or holds control characters.
    ColumnError
        The column of latents or of names is absent.
    DataError
        A latent that does not exist.
    """
    given: dict[int, GivenName] = {}
    for line, row in _read_rows(Path(path)):
        where = f"{path}, line {line}"
        latent = _latent(row["latent"], where, n_latents)
        if latent in given:
            raise FormatError(
                f"{where}: latent {latent} is named twice",
                seen=f"{given[latent].name!r} and {row['name']!r}",
                allowed="one line per latent",
                remedy="remove one of the lines",
            )
        limits = zip(NAME_COLUMNS[1:], (MAX_NAME, MAX_NAME, MAX_NOTE), strict=True)
        texts = [_sound(row.get(column, "").strip(), limit, where) for column, limit in limits]
        given[latent] = GivenName(*texts)
        if not given[latent].name:
            raise FormatError(
                f"{where}: latent {latent} has an empty name",
                allowed="a name",
                remedy="remove the line to keep the draft",
            )
    return given


def names_csv(names: Mapping[int, ConceptName]) -> str:
    """Return the names as the text of a CSV that people may correct and `read_names_csv` reads; unnamed are left out.

    The note of a draft holds its reasons.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(NAME_COLUMNS)
    for latent, one in names.items():
        if one.name:
            writer.writerow((latent, one.name, "", "; ".join(one.reasons)))
    return text.getvalue()


# ---- drafts ---------------------------------------------------------------------------------------------------------


def _draft(
    table: AssociationTable,
    latent: int,
    titles: Mapping[str, str],
    nouns: Mapping[str, str],
    settings: NamingSettings,
) -> ConceptName:
    """Say the strongest values of the strongest attributes, then the class."""
    by_attribute: dict[str, list[Finding]] = {}
    for finding in table.findings(latent, min_auroc=settings.min_auroc):
        kept = by_attribute.setdefault(split_target(finding.target)[0], [])
        if not kept or (len(kept) == 1 and kept[0].auroc - finding.auroc <= settings.margin):
            kept.append(finding)
    classes = by_attribute.pop(CLASS, [])
    said = _chosen(by_attribute, nouns, settings.n_phrases)
    phrases = [_phrase(noun, findings) for noun, findings in said.items()]
    words = [split_target(one.target)[1] for one in classes]
    if words:
        phrases.append(" or ".join(titles.get(word, word.replace("_", " ")) for word in words))
    if not phrases:
        bound = f"an AUROC of {settings.min_auroc:g} or more at a false discovery rate of {table.alpha:g}"
        return ConceptName("", True, (f"no class or attribute with {bound}",))
    behind = [one for findings in said.values() for one in findings] + classes
    return ConceptName(", ".join(phrases), True, tuple(_reason(one) for one in behind))


def _chosen(
    by_attribute: Mapping[str, Sequence[Finding]], nouns: Mapping[str, str], n_phrases: int
) -> dict[str, list[Finding]]:
    """Gather what is said of each noun, the strongest attribute first; what contradicts or repeats it is left out."""
    said: dict[str, list[Finding]] = {}
    for attribute, findings in by_attribute.items():
        noun = nouns.get(attribute, attribute.replace("_", " "))
        if noun in said or len(said) < n_phrases:
            said.setdefault(noun, []).extend(findings)
    return {noun: _without_contradiction(findings) for noun, findings in said.items()}


def _without_contradiction(findings: Sequence[Finding]) -> list[Finding]:
    """Keep what agrees with the strongest about whether the thing is there; 'yes' only if nothing says more."""
    is_absent = _value(findings[0]) in NO
    agreeing = [one for one in findings if (_value(one) in NO) == is_absent]
    telling = [one for one in agreeing if _value(one) not in YES]
    return agreeing[:1] if is_absent or not telling else telling


def _phrase(noun: str, findings: Sequence[Finding]) -> str:
    """Say values of one noun: those of one attribute joined by a hyphen, attributes side by side."""
    first = _value(findings[0])
    if first in NO:
        return f"no {noun}"
    if first in YES:
        return noun
    by_attribute: dict[str, list[str]] = {}
    for one in findings:
        attribute, value = split_target(one.target)
        by_attribute.setdefault(attribute, []).append(ADJECTIVES.get(value, value.replace("_", " ")))
    return " ".join([*("-".join(values) for values in by_attribute.values()), noun])


def _value(finding: Finding) -> str:
    return split_target(finding.target)[1].casefold()


def _reason(finding: Finding) -> str:
    return (
        f"{finding.target}: AUROC {finding.auroc:.2f}, q = {finding.q_value:.2g}, {finding.n_positive} images"
    )


# ---- files ----------------------------------------------------------------------------------------------------------


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV with their numbers, by column."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = tuple(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            "names cannot be read",
            seen=f"{path}: {error}",
            allowed="a CSV file in UTF-8 with a header",
            remedy="check the path and save the table as CSV",
        ) from None
    for column in NAME_COLUMNS[:2]:
        if column not in columns:
            raise ColumnError(
                f"{path} has no column {column!r}",
                seen=", ".join(columns[:20]) or "no header",
                allowed=", ".join(NAME_COLUMNS),
                remedy=nearest_remedy(column, columns),
            )
    return [(line, {key: value or "" for key, value in row.items() if key is not None}) for line, row in rows]


def _latent(text: str, where: str, n_latents: int) -> int:
    number = text.strip()
    if not (number.isascii() and number.isdigit() and int(number) < n_latents):
        raise DataError(
            f"{where}: there is no such latent",
            seen=text,
            allowed=f"0 to {n_latents - 1}",
            remedy="take the number from the card of the concept",
        )
    return int(number)


def _sound(text: str, limit: int, where: str) -> str:
    """Refuse what cannot be shown on one line."""
    if len(text) > limit or not text.isprintable():
        raise FormatError(
            f"{where}: this cannot be shown",
            seen=repr(text[:60]),
            allowed=f"printable text of at most {limit} characters on one line",
            remedy="shorten the text",
        )
    return text
