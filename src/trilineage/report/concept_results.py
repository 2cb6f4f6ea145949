"""What a Run of concepts holds of its autoencoder and of the controls beside it, ready to be laid out."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trilineage.core.artifacts import Run
from trilineage.core.records import Prediction, Score
from trilineage.report.drawing import INK, MODEL, MUTED, SECOND, THIRD

AUTOENCODER = "autoencoder"
"""Subject of the rows that are about the dictionary of the Run; all others are controls."""
SECOND_READER = "second reader"
"""Subject of the rows that are about another expert: the ceiling, no control."""
RECONSTRUCTION, FIGURES, TARGETS = "reconstruction.json", "figures.json", "targets.json"
RECOVERED, SHIFT, CELLS, DISEASES = "recovered.json", "shift.json", "cells.json", "disease.json"
FOCUS, PATHWAYS, CARDS = "explain/focus.json", "explain/pathways.json", "explain/cards.json"
ATLAS, OUT_OF_FOLD = "explain/atlas/index.html", "out_of_fold.npz"
CLASS = "class"
"""What stands before the equals sign in the target of a class; for an attribute its name does."""

Row: TypeAlias = Mapping[str, Any]

_MARKS = {
    AUTOENCODER: (MODEL, "o"),
    "raw neurons": (SECOND, "s"),
    "principal components": (THIRD, "D"),
    "random dictionary": (MUTED, "X"),
    SECOND_READER: (INK, "*"),
}


def mark_of(subject: str) -> tuple[str, str]:
    """Return the colour and the marker of a subject, the same in every figure."""
    return _MARKS.get(subject, (MUTED, "^"))


def rows_of(run: Run, name: str) -> list[Row]:
    """Return the rows of a file of the Run; none where there is no such file."""
    rows: list[Row] = run.read_json(name) if run.has(name) else []
    return rows


def scores_in(rows: Sequence[Row]) -> list[Score]:
    """Return the scores that stand inside another file; a value that was not finite is NaN."""
    return [Score(**{**row, "value": float("nan") if row["value"] is None else row["value"]}) for row in rows]


def figures_of(run: Run) -> dict[str, Row]:
    """Return the figures of each dictionary by subject, the autoencoder first."""
    rows = sorted(rows_of(run, FIGURES), key=lambda row: row["subject"] != AUTOENCODER)
    return {row["subject"]: row for row in rows}


def quartiles(row: Row, name: str) -> tuple[float, float, float] | None:
    """Return the quartiles of a figure over the strong latents; None where there are none."""
    found = row["quartiles"].get(name)
    return None if found is None else (found[0], found[1], found[2])


def reconstruction_of(run: Run, part: str, kind: str = "all", subject: str = AUTOENCODER) -> Row | None:
    """Return how well a dictionary stands for the tokens of a part; None where that is not known."""
    wanted = (subject, part, kind)
    rows = rows_of(run, RECONSTRUCTION)
    return next((row for row in rows if (row["subject"], row["part"], row["kind"]) == wanted), None)


def concept_names(run: Run) -> dict[int, tuple[str, bool]]:
    """Return the name of each latent that has one, and whether it is a draft that nobody has confirmed."""
    cards = run.read_json(CARDS)["cards"] if run.has(CARDS) else []
    return {card["latent"]: (card["name"], bool(card["is_draft"])) for card in cards if card["name"]}


def called(latent: int, names: Mapping[int, tuple[str, bool]]) -> str:
    """Return a latent as it stands in a table: its number and, if it has one, its name."""
    name, is_draft = names.get(latent, ("", False))
    return f"{latent}" if not name else f"{latent}: {name}{' (draft)' if is_draft else ''}"


# ---- targets --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TargetAreas:
    """The best latent of each target for each subject: chosen on training images, scored on held-out ones."""

    rows: Mapping[tuple[str, str], Row]
    """By target and subject."""
    subjects: tuple[str, ...]
    """The autoencoder first."""
    groups: Mapping[str, tuple[str, ...]]
    """Targets of the classes (`class`) and of each attribute."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Targets that are classes."""
        return self.groups.get(CLASS, ())

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Targets of each attribute, one per value."""
        return {name: targets for name, targets in self.groups.items() if name != CLASS}

    @property
    def everything(self) -> tuple[str, ...]:
        """All targets."""
        return tuple(target for targets in self.groups.values() for target in targets)

    def area(self, target: str, subject: str) -> float | None:
        """Return the held-out area of a subject's best latent."""
        row = self.rows.get((target, subject))
        return None if row is None else row["value"]

    def mean(self, subject: str, targets: Sequence[str]) -> float | None:
        """Return the mean of a subject over those targets that every subject has an area for."""
        shared = [one for one in targets if all(self.area(one, other) is not None for other in self.subjects)]
        areas = [self.area(target, subject) for target in shared]
        return statistics.fmean([area for area in areas if area is not None]) if areas else None


def targets_of(run: Run) -> TargetAreas | None:
    """Return the areas of a Run; None where nothing was labelled."""
    found = rows_of(run, TARGETS)
    if not found:
        return None
    subjects = sorted(dict.fromkeys(row["subject"] for row in found), key=lambda name: name != AUTOENCODER)
    groups: dict[str, list[str]] = {}
    for target in dict.fromkeys(row["target"] for row in found):
        groups.setdefault(target.split("=", 1)[0], []).append(target)
    return TargetAreas(
        {(row["target"], row["subject"]): row for row in found},
        tuple(subjects),
        {name: tuple(targets) for name, targets in groups.items()},
    )


def value_name(target: str) -> str:
    """Return what stands after the equals sign of a target.

    Examples
    --------
    >>> value_name("class=basophil"), value_name("granule_type=small")
    ('basophil', 'small')
    """
    return target.split("=", 1)[-1]


def attribute_name(name: str) -> str:
    """Return an attribute as it stands in a sentence.

    Examples
    --------
    >>> attribute_name("nucleus_shape")
    'nucleus shape'
    """
    return name.replace("_", " ")


def out_of_fold(run: Run) -> Prediction:
    """Return what models that never saw a patient say of it, the mean over the repeats."""
    arrays = run.read_arrays(OUT_OF_FOLD)
    return Prediction(
        arrays["names"],
        arrays["names"],
        tuple(map(str, arrays["classes"].tolist())),
        arrays["probabilities: model"].mean(axis=0),
        arrays["labels"],
    )
