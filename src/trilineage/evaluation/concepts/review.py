"""Blinded review of concepts: people judge them mixed with random sets of images, not knowing which is which."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Int64, Shaped
from scipy.stats import beta, fisher_exact

from trilineage.core.errors import ConfigError, DataError, FormatError
from trilineage.core.records import Score
from trilineage.core.seeding import generator
from trilineage.evaluation.agreement import AgreementSettings, score_agreement
from trilineage.evaluation.concepts.references import References
from trilineage.evaluation.readers import ReaderTable, read_reader_table

CONTROL = -1
"""Latent of an item that is a random set of images."""

ANSWERS = {"yes": "yes", "y": "yes", "1": "yes", "no": "no", "n": "no", "0": "no"}
"""What a reviewer may write in the column `is_concept`, whatever the case."""

SHEET_COLUMNS = ("item", "images", "is_concept", "name", "note")
"""Columns of the sheet; a reviewer fills in the last three."""


@dataclass(frozen=True)
class ReviewSheet:
    """Items in the order in which they are shown, and what they are."""

    items: tuple[str, ...]
    """Names that say nothing: `001`, `002`, ..."""
    latents: Int64[np.ndarray, " item"]
    """Latent behind each item, -1 for a control: not for the reviewers."""
    images: Int64[np.ndarray, "item rank"]
    """Images shown, by position in the table; -1 where there are fewer."""
    seed: int
    """What decided order and controls."""

    def to_csv(self, names: Shaped[np.ndarray, " image"]) -> str:
        """Return the sheet for a reviewer: item, images, and empty columns for `is_concept`, `name` and `note`.

        Parameters
        ----------
        names
            Name of each image of the table.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(SHEET_COLUMNS)
        for item, images in zip(self.items, self.images, strict=True):
            shown = " ".join(str(names[image]) for image in images if image >= 0)
            writer.writerow((item, shown, "", "", ""))
        return text.getvalue()

    def key(self) -> dict[str, Any]:
        """Return what each item is, JSON-ready; to be kept away from the reviewers."""
        return {
            "seed": self.seed,
            "items": dict(zip(self.items, self.latents.tolist(), strict=True)),
            "images": self.images.tolist(),
        }

    @classmethod
    def from_key(cls, key: Mapping[str, Any]) -> "ReviewSheet":
        """Return the sheet that `key` was called on.

        Raises
        ------
        FormatError
            It is no such key.
        """
        try:
            items = tuple(str(item) for item in key["items"])
            latents = np.array([int(latent) for latent in key["items"].values()], dtype=np.int64)
            images = np.array(key["images"], dtype=np.int64).reshape(len(items), -1)
            return cls(items, latents, images, int(key["seed"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(
                "this is no key of a review",
                seen=error,
                allowed="seed, items and images",
                remedy="take the file that was written with the sheet",
            ) from None


@dataclass(frozen=True)
class Review:
    """What the reviewers said."""

    table: ReaderTable
    """Answers (`yes`, `no`) by item and reviewer."""
    agreement: tuple[Score, ...]
    """Agreement and kappa of every two reviewers and of all, over items; empty for one reviewer."""
    confirmed: tuple[Score, ...]
    """Share of concepts (`confirmed`) and of controls (`confirmed_controls`) that each reviewer took for one concept,
    with exact binomial intervals over items."""
    p_values: Mapping[str, float]
    """Per reviewer, of confirming concepts no more often than controls (Fisher's exact test, one-sided)."""
    votes: Mapping[int, tuple[int, int]]
    """By latent: reviewers who said yes, and reviewers who answered."""


def review_sheet(
    references: References,
    latents: Iterable[int],
    *,
    n_controls: int,
    candidates: Int[np.ndarray, " candidate"],
    seed: int = 0,
) -> ReviewSheet:
    """Mix concepts with hidden controls in an order that says nothing.

    A control is as many images as a concept has, drawn at random from `candidates`: a reviewer who finds "one concept"
    in those as often as in the others finds it in anything.

    Parameters
    ----------
    references
        Images of each latent.
    latents
        The concepts to be judged.
    n_controls
        Random sets among them.
    candidates
        Images that controls are drawn from: those that the references came from.
    seed
        Decides controls and order.

    Raises
    ------
    ConfigError
        Nothing to review, a latent without references, or too few images for a control.
    """
    chosen = np.array(list(latents), dtype=np.int64)
    n_ranks = references.images.shape[1]
    is_there = (chosen >= 0) & (chosen < len(references.images))
    has_images = is_there.all() and (references.images[chosen] >= 0).any(axis=1).all()
    if not len(chosen) or not has_images or n_controls < 0 or len(candidates) < n_ranks:
        raise ConfigError(
            "a review cannot be made",
            seen=f"{len(chosen)} concepts, {n_controls} controls of {n_ranks} images from {len(candidates)}",
            allowed="concepts with references, and enough images for a control",
            remedy="choose latents that are alive",
        )
    rng = generator(seed, "review")
    whose = rng.choice(chosen, size=n_controls)
    drawn = np.full((n_controls, n_ranks), -1, dtype=np.int64)
    for row in drawn:
        row[:] = rng.choice(candidates, size=n_ranks, replace=False)
    drawn[references.images[whose] < 0] = -1
    images = np.concatenate([references.images[chosen], drawn])
    order = rng.permutation(len(images))
    width = max(3, len(str(len(images))))
    return ReviewSheet(
        items=tuple(f"{number:0{width}d}" for number in range(1, len(images) + 1)),
        latents=np.concatenate([chosen, np.full(n_controls, CONTROL)])[order],
        images=images[order],
        seed=seed,
    )


def read_review(
    sheet: ReviewSheet,
    answers: Mapping[str, Path | str],
    *,
    settings: AgreementSettings | None = None,
    seed: int = 0,
) -> Review:
    """Read the filled sheets of some reviewers.

    Parameters
    ----------
    sheet
        What was asked (`ReviewSheet.from_key`).
    answers
        Filled sheet by reviewer; items without an answer count as not read.
    settings, seed
        Of the agreement.

    Raises
    ------
    FormatError
        A sheet cannot be read, or an answer is neither yes nor no.
    ColumnError
        A sheet lacks `item` or `is_concept`.
    DataError
        No sheet, items of another review, or a reviewer without an answer.
    """
    if not answers:
        raise DataError("nobody has reviewed", allowed="one filled sheet or more")
    columns = {reviewer: _answers(sheet, reviewer, path) for reviewer, path in answers.items()}
    table = ReaderTable.of(sheet.items, columns)
    is_concept = sheet.latents != CONTROL
    settings = settings or AgreementSettings()
    agreement = score_agreement(table, settings=settings, seed=seed) if len(columns) > 1 else []
    confirmed, p_values = [], {}
    for reviewer, given in columns.items():
        said = np.array(given)
        for metric, of_kind in (("confirmed", is_concept), ("confirmed_controls", ~is_concept)):
            confirmed.append(_share(metric, reviewer, said[of_kind], settings.level))
        counts = [
            [int((said[of] == word).sum()) for word in ("yes", "no")] for of in (is_concept, ~is_concept)
        ]
        p_values[reviewer] = float(fisher_exact(counts, alternative="greater").pvalue)
    votes = {
        int(latent): (
            sum(given[row] == "yes" for given in columns.values()),
            sum(given[row] != "" for given in columns.values()),
        )
        for row, latent in enumerate(sheet.latents.tolist())
        if latent != CONTROL
    }
    return Review(table, tuple(agreement), tuple(confirmed), p_values, votes)


def _answers(sheet: ReviewSheet, reviewer: str, path: Path | str) -> list[str]:
    """Return the answers of one reviewer in the order of the items."""
    read = read_reader_table(path, item="item", readers=("is_concept",))
    given = dict(zip(read.items.tolist(), read.labels_of("is_concept").tolist(), strict=True))
    unknown = [item for item in given if item not in sheet.items]
    if unknown or not any(given.values()):
        raise DataError(
            f"the sheet of {reviewer} does not answer this review",
            seen=f"items {', '.join(unknown[:5])}" if unknown else "no answer",
            allowed=f"items {sheet.items[0]} to {sheet.items[-1]}, yes or no in `is_concept`",
            remedy="fill in the sheet that was written with the key",
        )
    for item, answer in given.items():
        if answer and answer.casefold() not in ANSWERS:
            raise FormatError(
                f"an answer of {reviewer} is neither yes nor no",
                seen=f"{answer!r} for item {item}",
                allowed=", ".join(ANSWERS),
                remedy="mend the sheet",
            )
    return [ANSWERS.get(given.get(item, "").casefold(), "") for item in sheet.items]


def _share(metric: str, reviewer: str, said: Shaped[np.ndarray, " _"], level: float) -> Score:
    """Return the share of yes among the answers with its exact interval (Clopper and Pearson 1934)."""
    yes, n = int((said == "yes").sum()), int((said != "").sum())
    tail = (1.0 - level) / 2.0
    low = float(beta.ppf(tail, yes, n - yes + 1)) if yes else 0.0
    high = float(beta.ppf(1.0 - tail, yes + 1, n - yes)) if yes < n else 1.0
    return Score(
        metric=metric,
        value=yes / n if n else float("nan"),
        low=low if n else None,
        high=high if n else None,
        subject=reviewer,
        n_samples=n,
        level=level,
        note="" if n else "not computable: no such item was answered",
    )
