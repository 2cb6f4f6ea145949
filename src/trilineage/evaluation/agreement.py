"""Agreement between readers, and of a model with them: Cohen's, Fleiss' and cost-weighted kappa over patients."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field

from trilineage.core.config import Settings
from trilineage.core.errors import CohortError
from trilineage.core.records import Comparison, Score
from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.metrics import ratio
from trilineage.evaluation.paired import difference_interval
from trilineage.evaluation.patient_sums import chunks
from trilineage.evaluation.readers import ReaderTable
from trilineage.evaluation.resampling import Scale, Strata, interval_weights, read_interval

ALL_READERS = "all readers"
"""Subject of the scores of all readers together."""


class AgreementSettings(Settings):
    """Options of the agreement between readers."""

    n_bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the patients behind each interval."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Nominal coverage of the intervals."""


AGREEMENT_SCALES = {
    "agreement": Scale((0.0, 1.0)),
    "cohen_kappa": Scale((-1.0, 1.0)),
    "weighted_kappa": Scale((-np.inf, 1.0)),
    "fleiss_kappa": Scale((-1.0, 1.0)),
}
"""Measures of agreement."""


def weighted_kappa(
    counts: Float[np.ndarray, "*resample category category"],
    weights: Float[np.ndarray, "category category"] | None = None,
) -> Float[np.ndarray, "*resample"]:
    """Return Cohen's kappa of two readers, 1 - sum(w n) / sum(w e), e expected from the margins (Cohen 1960, 1968).

    NaN where no disagreement is expected: both readers gave everything the same label.

    Parameters
    ----------
    counts
        Items by label of the first reader (row) and of the second (column).
    weights
        Weight of each disagreement, 0 on the diagonal; None for 1 everywhere else, which is the plain kappa.
    """
    if weights is None:
        weights = 1.0 - np.eye(counts.shape[-1])
    observed = (counts * weights).sum(axis=(-2, -1))
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = ratio(((rows @ weights) * columns).sum(axis=-1), counts.sum(axis=(-2, -1)))
    tiny = 1e-12 * counts.sum(axis=(-2, -1))
    return np.asarray(1.0 - ratio(observed, np.where(expected > tiny, expected, 0.0)))


def fleiss_kappa(
    agreeing: Float[np.ndarray, "*resample"],
    items: Float[np.ndarray, "*resample"],
    ratings: Float[np.ndarray, "*resample category"],
) -> Float[np.ndarray, "*resample"]:
    """Return Fleiss' (1971) kappa, (P - E) / (1 - E); items may have different numbers of readers, at least two.

    Parameters
    ----------
    agreeing
        Sum over items of the share of pairs of their readers that agree.
    items
        Number of items.
    ratings
        Number of ratings of each label; E is the sum of their squared shares.
    """
    shares = ratings / np.maximum(ratings.sum(axis=-1, keepdims=True), 1e-300)
    expected = (shares**2).sum(axis=-1)
    observed = ratio(agreeing, items)
    left = np.where(1.0 - expected > 1e-12, 1.0 - expected, 0.0)
    return ratio(observed - expected, left)


def pair_counts(
    first: Int[np.ndarray, " item"], second: Int[np.ndarray, " item"], n_categories: int
) -> Float[np.ndarray, "category category"]:
    """Count items by the labels of two readers; items that either has not read (-1) are left out."""
    is_read = (first >= 0) & (second >= 0)
    flat = np.bincount(first[is_read] * n_categories + second[is_read], minlength=n_categories**2)
    return flat.reshape(n_categories, n_categories).astype(np.float64)


def score_agreement(
    table: ReaderTable,
    *,
    costs: Mapping[tuple[str, str], float] | None = None,
    settings: AgreementSettings | None = None,
    seed: int = 0,
) -> list[Score]:
    """Score the agreement of every two readers and, of three or more, of all together, with intervals over patients.

    The patients are resampled with all their items, or the items where no patient is known (the note says so).
    `subject` is "FIRST ~ SECOND". A model takes part as one more reader (`ReaderTable.with_reader`).

    Parameters
    ----------
    table
        Labels by item and reader.
    costs
        Cost of a second label where the first holds, for `weighted_kappa`; symmetric or not, 0 where not given. None
        leaves that measure out.
    settings
        Level and number of resamples.
    seed
        The same seed gives the same intervals.

    Raises
    ------
    CohortError
        No item has been read by two readers.
    """
    settings = settings or AgreementSettings()
    weights = None if costs is None else cost_weights(table.categories, costs)
    scores = []
    for first, second in combinations(range(len(table.readers)), 2):
        is_read = np.all(table.codes[:, [first, second]] >= 0, axis=1)
        if is_read.any():
            found = _pair_scores(table, (first, second), weights, _Resampler(table, is_read, settings, seed))
            scores.extend(found)
    if len(table.readers) > 2:
        is_read = (table.codes >= 0).sum(axis=1) >= 2
        if is_read.any():
            scores.append(_fleiss_score(table, _Resampler(table, is_read, settings, seed)))
    if not scores:
        raise CohortError(
            "no item has been read twice",
            seen=f"{len(table.items)} items, readers {', '.join(table.readers)}",
            allowed="items with labels of at least two readers",
            remedy="check that the names of the images are the same in both tables",
        )
    return scores


def compare_to_readers(
    table: ReaderTable,
    model: str,
    *,
    costs: Mapping[tuple[str, str], float] | None = None,
    settings: AgreementSettings | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare the model's mean kappa with the readers with the readers' mean kappa among themselves.

    A difference near 0 says that the model is one more reader; well below 0, that it disagrees with people more
    than they do with each other. Only items that everyone read count. There is no p-value: nothing can be swapped.

    Parameters
    ----------
    table
        Labels by item and reader, the model among them.
    model
        Name of the model's column.
    costs
        As in `score_agreement`; None for the plain kappa.

    Raises
    ------
    CohortError
        Fewer than two readers beside the model, or no item that all of them read.
    """
    settings = settings or AgreementSettings()
    people = [place for place, name in enumerate(table.readers) if name != model]
    is_read = np.all(table.codes >= 0, axis=1)
    if model not in table.readers or len(people) < 2 or not is_read.any():
        raise CohortError(
            "a model cannot be compared with the readers",
            seen=f"readers {', '.join(table.readers)}, {int(is_read.sum())} items read by all",
            allowed=f"{model} and at least two readers with labels of the same items",
            remedy="add readers, or score their agreement only",
        )
    weights = None if costs is None else cost_weights(table.categories, costs)
    resampler = _Resampler(table, is_read, settings, seed)
    own = table.readers.index(model)
    between = [(own, place) for place in people]
    among = list(combinations(people, 2))
    means = [
        np.mean([resampler.kappas(table, pair, weights) for pair in pairs], axis=0)
        for pairs in (between, among)
    ]
    drawn = means[0] - means[1]
    ends: tuple[float | None, float | None] = (None, None)
    if len(drawn) > 1:
        ends = difference_interval(float(drawn[0]), drawn, strata=resampler.strata, level=settings.level)
    return Comparison(
        metric="cohen_kappa" if costs is None else "weighted_kappa",
        first=f"{model} ~ readers",
        second="readers ~ readers",
        difference=float(drawn[0]),
        low=ends[0],
        high=ends[1],
        n_patients=resampler.n_patients,
        level=settings.level,
    )


def taxonomy_costs(taxonomy: Taxonomy) -> dict[tuple[str, str], float]:
    """Return the clinical costs of a taxonomy by the names of its nodes, as `score_agreement` takes them."""
    nodes = taxonomy.nodes
    return {
        (truth, decision): float(taxonomy.cost[row, column])
        for row, truth in enumerate(nodes)
        for column, decision in enumerate(nodes)
    }


def cost_weights(
    categories: Sequence[str], costs: Mapping[tuple[str, str], float]
) -> Float[np.ndarray, "category category"]:
    """Return the costs as a table over the categories; the diagonal costs nothing."""
    weights = np.array([[costs.get((one, other), 0.0) for other in categories] for one in categories])
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float64)


def disagreement_table(table: ReaderTable, first: str, second: str) -> dict[str, Any]:
    """Return the counts of two readers' labels as JSON-ready rows: `categories` and `counts` [first, second]."""
    one, other = (table.codes[:, table.readers.index(name)] for name in (first, second))
    counts = pair_counts(one, other, len(table.categories))
    return {
        "first": first,
        "second": second,
        "categories": list(table.categories),
        "counts": counts.astype(np.int64).tolist(),
    }


class _Resampler:
    """Resamples of the patients (or items) behind some items, in one stratum."""

    def __init__(
        self, table: ReaderTable, is_read: Bool[np.ndarray, " item"], settings: AgreementSettings, seed: int
    ):
        self.is_read, self.level = is_read, settings.level
        groups: Shaped[np.ndarray, " item"] = table.items if table.patients is None else table.patients
        names, self.codes = np.unique(groups[is_read], return_inverse=True)
        self.n_patients = len(names)
        self.note = "patients unknown: items resampled" if table.patients is None else ""
        self.strata = Strata(np.zeros(self.n_patients, dtype=np.int64), "")
        self.weights = np.ones((1, self.n_patients))
        if self.n_patients > 1:
            rng = generator(seed, "bootstrap", self.n_patients)
            self.weights = interval_weights(self.strata, settings.n_bootstrap, rng=rng)

    def reweighted(
        self,
        flat: Int[np.ndarray, " read"],
        n_cells: int,
        measure: Callable[[Float[np.ndarray, "resample cell"]], Float[np.ndarray, " resample"]],
        weight: Float[np.ndarray, " read"] | None = None,
    ) -> Float[np.ndarray, " draw"]:
        """Count the cells that the items fall in under each row of weights, and measure."""
        sums = np.bincount(self.codes * n_cells + flat, weight, minlength=self.n_patients * n_cells)
        cells = sums.reshape(self.n_patients, n_cells).astype(np.float64)
        values = np.empty(len(self.weights))
        for rows in chunks(len(self.weights)):
            values[rows] = measure(self.weights[rows] @ cells)
        return values

    def kappas(
        self,
        table: ReaderTable,
        pair: tuple[int, int],
        weights: Float[np.ndarray, "category category"] | None,
    ) -> Float[np.ndarray, " draw"]:
        """Return the kappa of two readers under each row of weights."""
        n_categories = len(table.categories)
        first, second = (table.codes[self.is_read, place] for place in pair)

        def measure(cells: np.ndarray) -> np.ndarray:
            return weighted_kappa(cells.reshape(-1, n_categories, n_categories), weights)

        return self.reweighted(first * n_categories + second, n_categories**2, measure)

    def score(self, metric: str, drawn: Float[np.ndarray, " draw"], subject: str) -> Score:
        """Read value and interval off the draws."""
        value = float(drawn[0])
        low, high, note = None, None, f"no interval: {self.n_patients} patient"
        if len(drawn) > 1:
            low, high, note = read_interval(
                value, drawn, strata=self.strata, level=self.level, scale=AGREEMENT_SCALES[metric]
            )
        if np.isnan(value):
            note = "not computable: everything has the same label"
        return Score(
            metric=metric,
            value=value,
            low=low,
            high=high,
            subject=subject,
            n_samples=int(self.is_read.sum()),
            n_patients=self.n_patients,
            level=self.level,
            note="; ".join(filter(None, (note, self.note))),
        )


def _pair_scores(
    table: ReaderTable,
    pair: tuple[int, int],
    weights: Float[np.ndarray, "category category"] | None,
    resampler: _Resampler,
) -> list[Score]:
    subject = " ~ ".join(table.readers[place] for place in pair)
    first, second = (table.codes[resampler.is_read, place] for place in pair)
    agreeing = resampler.reweighted(
        (first == second).astype(np.int64), 2, lambda cells: ratio(cells[:, 1], cells.sum(axis=1))
    )
    scores = [
        resampler.score("agreement", agreeing, subject),
        resampler.score("cohen_kappa", resampler.kappas(table, pair, None), subject),
    ]
    if weights is not None:
        scores.append(resampler.score("weighted_kappa", resampler.kappas(table, pair, weights), subject))
    return scores


def _fleiss_score(table: ReaderTable, resampler: _Resampler) -> Score:
    """Score all readers together, on the items that at least two of them read."""
    codes = table.codes[resampler.is_read]
    n_categories = len(table.categories)
    counts = np.stack([(codes == code).sum(axis=1) for code in range(n_categories)], axis=1).astype(
        np.float64
    )
    n_readers = counts.sum(axis=1)
    agreeing = (counts * (counts - 1.0)).sum(axis=1) / (n_readers * (n_readers - 1.0))
    columns = np.concatenate([agreeing[:, None], np.ones((len(codes), 1)), counts], axis=1)
    n_columns = columns.shape[1]
    flat = np.tile(np.arange(n_columns), len(codes))
    sums = np.bincount(
        np.repeat(resampler.codes, n_columns) * n_columns + flat,
        columns.ravel(),
        minlength=resampler.n_patients * n_columns,
    ).reshape(resampler.n_patients, n_columns)
    values = np.empty(len(resampler.weights))
    for rows in chunks(len(values)):
        total = resampler.weights[rows] @ sums
        values[rows] = fleiss_kappa(total[:, 0], total[:, 1], total[:, 2:])
    return resampler.score("fleiss_kappa", values, ALL_READERS)
