"""Scores laid out for reading: who was scored, on what, beside which baselines and null."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Cell, Table
from trilineage.report.metrics import described, order_of
from trilineage.report.nouns import SAMPLES, Nouns
from trilineage.report.numbers import (
    UNDEFINED,
    counted,
    interval,
    metric_heading,
    number,
    percent,
    probability,
    signed,
)

SCORES_NAME = "scores.json"
COMPARISONS_NAME = "comparisons.json"

LEAD_METRICS = ("balanced_accuracy", "macro_f1", "accuracy", "leaf_balanced_accuracy", "hierarchical_f1")
"""The metric that headlines and figures show: the first of these that has a value."""

Role = Literal["model", "baseline", "null", "leaky"]
"""What a score is for; `leaky`: on patients that were learned from, to show what recognising patients is worth."""
_ROLE_ORDER: tuple[Role, ...] = ("model", "baseline", "null", "leaky")


@dataclass(frozen=True)
class Board:
    """All scores of one population counted in one unit."""

    population: str
    """Cell population."""
    unit: str
    """`sample` or `patient`."""
    scores: tuple[Score, ...]
    """Models first, then baselines, then nulls, then what leaks; otherwise in the order they were added."""
    nouns: Nouns = SAMPLES
    """What samples and patients are called."""

    @property
    def noun(self) -> str:
        """What one observation is called."""
        return self.nouns.of(self.unit)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Who was scored, in order."""
        return tuple(dict.fromkeys(score.subject for score in self.scores))

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured: known metrics in their usual order, then the others."""
        return tuple(sorted({score.metric for score in self.scores}, key=order_of))

    def get(self, subject: str, metric: str) -> Score | None:
        """Return one score, or None."""
        found = (score for score in self.scores if score.subject == subject and score.metric == metric)
        return next(found, None)

    def of(self, metric: str) -> list[Score]:
        """Return the scores of one metric, one per subject that has it."""
        found = (self.get(subject, metric) for subject in self.subjects)
        return [score for score in found if score is not None]

    def best(self, role: Role, metric: str) -> Score | None:
        """Return the best defined score of a role (of models: the one called `model` if there is one), or None."""
        candidates = [
            score
            for score in self.of(metric)
            if role_of(score.subject) == role and score.value == score.value
        ]
        if role == "model":
            candidates = [score for score in candidates if score.subject == "model"] or candidates
        sign = -1 if described(metric).is_lower_better else 1
        return max(candidates, key=lambda score: sign * score.value, default=None)

    def size(self) -> str:
        """Say how many samples and patients stand behind the scores."""
        counted_here = [score for score in self.scores if role_of(score.subject) != "leaky"] or self.scores
        n_samples = max(score.n_samples for score in counted_here)
        n_patients = max(score.n_patients for score in counted_here)
        is_same = self.unit == "patient" or n_samples == n_patients
        of = "" if is_same else f"{counted(n_samples, self.nouns.sample)} of "
        return of + counted(n_patients, self.nouns.patient)


def boards(scores: Iterable[Score], nouns: Nouns = SAMPLES) -> list[Board]:
    """Group scores by population and unit, patients first."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.population, score.unit), []).append(score)
    populations = list(dict.fromkeys(population for population, _ in groups))
    ordered = sorted(groups, key=lambda group: (populations.index(group[0]), group[1] != "patient"))
    return [
        Board(
            *group,
            tuple(sorted(groups[group], key=lambda score: _ROLE_ORDER.index(role_of(score.subject)))),
            nouns,
        )
        for group in ordered
    ]


def role_of(subject: str) -> Role:
    """Tell a model from a baseline and a null by how its name begins, and what leaks by what it says."""
    lowered = subject.lower()
    if "on training patients" in lowered:
        return "leaky"
    if lowered.startswith("null"):
        return "null"
    return "baseline" if lowered.startswith("baseline") else "model"


def subject_name(subject: str) -> str:
    """Return a subject without its role: `baseline: majority` is `majority`."""
    role, colon, name = subject.partition(":")
    return name.strip() if colon and role.lower() in ("baseline", "null") else subject


def lead_metric(scores: Sequence[Score]) -> str:
    """Return the metric to show first; there must be a score."""
    present = {score.metric for score in scores if score.value == score.value}
    return next((metric for metric in LEAD_METRICS if metric in present), scores[0].metric)


def score_table(board: Board, metrics: Sequence[str] = (), file: str = SCORES_NAME) -> Table:
    """Lay out a board: a row per subject, a column per metric (all of them unless named), intervals under scores.

    Parameters
    ----------
    file
        File of the Run the scores stand in.
    """
    shown = [metric for metric in metrics if metric in board.metrics] or board.metrics
    rows = tuple(
        (subject, *(score_cell(board.get(subject, metric)) for metric in shown)) for subject in board.subjects
    )
    strong = frozenset(i for i, subject in enumerate(board.subjects) if role_of(subject) == "model")
    level = percent(max(score.level for score in board.scores))
    caption = (
        f"Scores per {board.noun} on {board.size()}{population_suffix(board.population)}; under each score its {level} "
        f"interval over {board.nouns.patient}s{_null_words(board)}."
    )
    headings = ("Subject", *map(metric_heading, shown))
    return Table(caption, headings, rows, strong_rows=strong, sources=(file,))


def _null_words(board: Board) -> str:
    """Say what the interval of a null is, where there can be one."""
    return " (of a null: over permutations)" if board.nouns == SAMPLES else ""


def score_cell(score: Score | None) -> Cell:
    """Return a score with its interval under it."""
    return UNDEFINED if score is None else (number(score.value), interval(score.low, score.high))


def comparison_table(
    comparisons: Sequence[Comparison], nouns: Nouns = SAMPLES, file: str = COMPARISONS_NAME
) -> Table:
    """Lay out paired differences, one row each; `file` of the Run holds them."""
    several = len({comparison.population for comparison in comparisons}) > 1
    rows = tuple(
        (
            f"{row.first} − {row.second}" + (f" ({row.population})" if several else ""),
            nouns.of(row.unit),
            metric_heading(row.metric).rstrip("\N{NO-BREAK SPACE}↓"),
            (signed(row.difference), interval(row.low, row.high)),
            probability(row.p_value),
            f"{row.n_patients:,}",
        )
        for row in comparisons
    )
    level = percent(comparisons[0].level)
    return Table(
        f"Paired differences on the same {nouns.patient}s, first minus second, with the {level} interval; p from a "
        f"permutation of {nouns.patient}s, not corrected for the number of comparisons.",
        ("Comparison", "Counted per", "Metric", "Difference", "p", f"{nouns.patient.capitalize()}s"),
        rows,
        n_text_columns=3,
        sources=(file,),
    )


def population_suffix(population: str) -> str:
    """Return `, population NAME`, or nothing where all samples were scored."""
    if population.startswith("with "):
        return f", patients {population}"
    return "" if population == "all" else f", population {population}"
