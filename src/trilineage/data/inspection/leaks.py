"""Ways in which a score could be better than the truth: shared patients, classes that go with a site, telling names."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from trilineage.data.images.listing import Listing
from trilineage.data.inspection.findings import Finding

MAX_EXAMPLES = 5
_LEAST_EXPECTED = 5.0
"""Images of a class that a site should show before their absence means anything."""
_TELLING = 0.9
"""Share of images whose class a word of their name gives away, from which names are called telling."""
_WORD = re.compile(r"[A-Za-z]+")


def patient_findings(listing: Listing) -> Iterator[Finding]:
    """Say which patients stand in two parts of the split or have two diagnoses, or that there are none."""
    if listing.patients is None or not (listing.patients != "").any():
        yield Finding(
            "patients", "warning", "no patients are named: no split can keep a patient's images together"
        )
        return
    if listing.parts is not None:
        shared = _in_several(listing.patients, listing.parts, left_out=("", "unused"))
        if shared:
            yield Finding(
                "leak",
                "problem",
                f"{len(shared):,} patients stand in two parts of the split",
                tuple(
                    f"{patient}: {', '.join(parts)}" for patient, parts in list(shared.items())[:MAX_EXAMPLES]
                ),
            )
    missing = int((listing.patients == "").sum())
    if missing:
        yield Finding("patients", "warning", f"{missing:,} images name no patient")


def site_findings(
    sites: Shaped[np.ndarray, " image"] | None,
    labels: Shaped[np.ndarray, " image"],
    *,
    what: str,
    threshold: float,
) -> Iterator[Finding]:
    """Say whether the class can be told from the site (or from a found acquisition, as `what` says)."""
    if sites is None:
        return
    counts = contingency(sites, labels)
    if min(counts.shape) < 2:
        return
    strength = cramers_v(counts.to_numpy())
    if strength >= threshold:
        yield Finding(
            "confounding",
            "warning",
            f"class and {what} go together (Cramer's V {strength:.2f}): a model may learn the {what}",
            tuple(
                f"{label}: {_shares(row)}" for label, row in _by_share(counts).head(MAX_EXAMPLES).iterrows()
            ),
        )
    absent = _absent(counts)
    if absent:
        text = f"classes that a whole {what} lacks, though it should show them: {len(absent)}"
        yield Finding("confounding", "warning", text, tuple(absent[:MAX_EXAMPLES]))


def contingency(sites: Shaped[np.ndarray, " image"], labels: Shaped[np.ndarray, " image"]) -> pd.DataFrame:
    """Return how many images of each class (rows) come from each site (columns), where both are known."""
    is_known: Bool[np.ndarray, " image"] = (labels != "") & (sites != "")
    return pd.crosstab(labels[is_known], sites[is_known])


def class_shares(
    sites: Shaped[np.ndarray, " image"], labels: Shaped[np.ndarray, " image"]
) -> dict[str, dict[str, float]]:
    """Return the share of each site in each class."""
    counts = contingency(sites, labels)
    shares = counts.div(counts.sum(axis=1), axis=0)
    return {
        str(label): {str(site): float(value) for site, value in row.items()}
        for label, row in shares.iterrows()
    }


def cramers_v(counts: Shaped[np.ndarray, "label site"]) -> float:
    """Return how strongly rows and columns of a table go together: 0 not at all, 1 one follows from the other.

    Examples
    --------
    >>> round(cramers_v(np.array([[10, 0], [0, 10]])), 3), round(cramers_v(np.array([[5, 5], [5, 5]])), 3)
    (1.0, 0.0)
    """
    total = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / total
    chi_square = float(((counts - expected) ** 2 / np.maximum(expected, 1e-12)).sum())
    return float(np.sqrt(chi_square / (total * (min(counts.shape) - 1))))


def name_findings(listing: Listing) -> Iterator[Finding]:
    """Say whether the file names give the classes away; who learns from names or sorts by them should know."""
    stems = [PurePosixPath(name).stem for name in listing.names.tolist()]
    labels = listing.labels.tolist()
    known = [(stem, label) for stem, label in zip(stems, labels, strict=True) if label]
    if len({label for _, label in known}) < 2:
        return
    n_spelled = sum(_spells(stem, label) for stem, label in known)
    if n_spelled >= _TELLING * len(known):
        yield Finding("names", "note", "the file names spell their class", (known[0][0],))
        return
    for place, where in ((0, "first"), (-1, "last")):
        told = _telling_words(known, place)
        if told:
            examples = tuple(f"{word}: {label}" for word, label in list(told.items())[:MAX_EXAMPLES])
            yield Finding(
                "names", "note", f"the {where} word of the file names gives the class away", examples
            )
            return


def _spells(stem: str, label: str) -> bool:
    """Tell whether the name of an image contains its class as a word (in either spelling of blanks)."""
    words = [word.lower() for word in _WORD.findall(stem)]
    return "".join(_WORD.findall(label)).lower() in {*words, "".join(words)}


def _telling_words(known: list[tuple[str, str]], place: int) -> dict[str, str]:
    """Return the class of each first (or last) word, if these words give away the classes of nearly all images."""
    by_word: dict[str, Counter[str]] = defaultdict(Counter)
    for stem, label in known:
        words = _WORD.findall(stem)
        if words:
            by_word[words[place].lower()][label] += 1
    n_told = sum(counts.most_common(1)[0][1] for counts in by_word.values())
    majority = Counter(label for _, label in known).most_common(1)[0][1]
    is_telling = (
        n_told >= _TELLING * len(known) and n_told > 1.1 * majority and len(by_word) <= len(known) / 5
    )
    if not is_telling:
        return {}
    ordered = sorted(by_word, key=lambda word: -by_word[word].total())
    return {word: by_word[word].most_common(1)[0][0] for word in ordered}


def _in_several(
    keys: Shaped[np.ndarray, " image"], values: Shaped[np.ndarray, " image"], left_out: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return the keys that go with more than one value."""
    seen: dict[str, set[str]] = defaultdict(set)
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        if key and value not in left_out:
            seen[key].add(value)
    return {key: sorted(found) for key, found in seen.items() if len(found) > 1}


def _absent(counts: pd.DataFrame) -> list[str]:
    """Return the classes that a site never shows though it should have shown several."""
    shares = counts.sum(axis=0) / counts.to_numpy().sum()
    expected = np.outer(counts.sum(axis=1), shares)
    rows, columns = np.nonzero((counts.to_numpy() == 0) & (expected >= _LEAST_EXPECTED))
    return [
        f"{counts.index[row]} at {counts.columns[column]} (0, expected {expected[row, column]:.0f})"
        for row, column in zip(rows, columns, strict=True)
    ]


def _by_share(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the sites in each class, the most one-sided class first."""
    shares = counts.div(counts.sum(axis=1), axis=0)
    return shares.loc[shares.max(axis=1).sort_values(ascending=False, kind="stable").index]


def _shares(row: pd.Series) -> str:
    return ", ".join(
        f"{site} {value:.0%}" for site, value in row.sort_values(ascending=False).head(3).items()
    )
