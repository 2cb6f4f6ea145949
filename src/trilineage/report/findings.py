"""What the page says first: the result in a sentence, and every reason to doubt it."""

from collections.abc import Sequence

from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Level, Notice
from trilineage.report.nouns import SAMPLES, Nouns
from trilineage.report.numbers import (
    compared,
    counted,
    interval,
    listed,
    metric_name,
    number,
    percent,
    probability,
)
from trilineage.report.scoreboard import Board, boards, lead_metric, population_suffix, role_of, subject_name

FEW_PATIENTS = 10
"""Below this number of patients in a class its recall moves by more than 10 points with one patient."""
WIDE_INTERVAL = 0.3
"""An interval wider than this cannot tell a good model from a mediocre one."""
POOR_CALIBRATION = 0.1
"""Mean gap between stated probability and observed frequency from which probabilities mislead."""

MANY_METRICS = 4
"""A note on more metrics than this is a note on the subject."""


def headline(scores: Sequence[Score], comparisons: Sequence[Comparison], nouns: Nouns = SAMPLES) -> list[str]:
    """Return the result in a few sentences, the score per patient first; empty without a score of a model."""
    board = lead_board(scores, nouns)
    if board is None:
        return []
    metric = lead_metric(board.scores)
    model = board.best("model", metric)
    if model is None:
        return []
    sentences = [_result_sentence(board, model)]
    sentences += _difference_sentence(board, model, comparisons)
    sentences += _null_sentence(board, metric)
    return sentences


def score_notices(
    scores: Sequence[Score], comparisons: Sequence[Comparison], nouns: Nouns = SAMPLES
) -> list[Notice]:
    """Return the reasons to doubt the scores: chance, baselines, width, calibration, what could not be computed."""
    lead, found = lead_board(scores, nouns), boards(scores, nouns)
    if lead is None:
        return [Notice("The Run holds no score of a model.", "danger")]
    notices = [notice for board in found for notice in chance_notices(board)]
    notices += [notice for board in found for notice in _baseline_notice(board, comparisons)]
    notices += _width_notice(lead)
    notices += _calibration_notice(next((board for board in found if board.unit == "sample"), lead))
    if not any(score.unit == "patient" or score.n_samples == score.n_patients for score in scores):
        notices.append(
            Notice(
                f"There are no scores per patient: they are undefined where {nouns.sample}s of one patient carry "
                f"different labels. Scores per {nouns.sample} do not say how many patients would be diagnosed "
                "correctly.",
                "caution",
            )
        )
    return notices + _noted(scores)


def cohort_notices(classes: Sequence[tuple[str, int]]) -> list[Notice]:
    """Return a warning for classes with few patients, given the patients of each class."""
    few = [f"{label} ({n_patients})" for label, n_patients in classes if n_patients < FEW_PATIENTS]
    if not few:
        return []
    return [
        Notice(
            f"Fewer than {FEW_PATIENTS} patients in {listed(few)}: one patient moves the score of such a class by more "
            "than 10 points, and intervals from so few patients tend to be too narrow.",
            "caution",
        )
    ]


def study_headline(
    scores: Sequence[Score], comparisons: Sequence[Comparison], nouns: Nouns = SAMPLES
) -> list[str]:
    """Say which variant scores highest, and whether the difference from the first one is clear."""
    board = lead_board(scores, nouns)
    if board is None:
        return []
    metric = lead_metric(board.scores)
    variants = [score for score in board.of(metric) if role_of(score.subject) == "model"]
    best = board.best("model", metric)
    if best is None:
        return []
    patients = counted(best.n_patients, f"held-out {nouns.patient}")
    first = f"Of {counted(len(variants), 'variant')}, {best.subject} scores highest on {patients}: "
    sentences = [f"{first}{metric_name(metric)} {_short(best)}."]
    found = _comparison(comparisons, best, variants[0])
    if found is not None:
        clear = "a clear difference" if found.low is not None and found.low > 0 else "no clear difference"
        sentences.append(
            f"The paired difference from {variants[0].subject} is {compared(found, 2)}: {clear}."
        )
    return sentences


def transfer_sentences(scores: Sequence[Score], subject: str = "model") -> list[str]:
    """Say what the classifier reaches on each population it was not trained on."""
    sentences, done = [], set()
    for board in boards(scores):
        score = board.get(subject, lead_metric(board.scores))
        if score is not None and board.population not in done:
            done.add(board.population)
            about = f"{metric_name(score.metric)} {_short(score)} per {board.unit}"
            sentences.append(f"Applied to {board.population} without retraining it reaches {about}.")
    return sentences


def chance_notices(board: Board, level: Level = "danger") -> list[Notice]:
    """Return a warning that names the models of a board whose intervals reach its null, if there are any."""
    metric = lead_metric(board.scores)
    null = board.best("null", metric)
    models = [score for score in board.of(metric) if role_of(score.subject) == "model"]
    reached = [
        f"{_named(score)} ({_range(score)})" for score in models if null is not None and _overlap(score, null)
    ]
    if null is None or not reached:
        return []
    return [
        Notice(
            f"Not told apart from chance{population_suffix(board.population)}: per {board.noun}, {listed(reached)} "
            f"where the same procedure with labels exchanged between patients reaches {_short(null)}.",
            level,
        )
    ]


def lead_board(scores: Sequence[Score], nouns: Nouns = SAMPLES) -> Board | None:
    """Return the board the headline speaks of: per patient where defined."""
    found = [
        board for board in boards(scores, nouns) if board.best("model", lead_metric(board.scores)) is not None
    ]
    return found[0] if found else None


def _result_sentence(board: Board, model: Score) -> str:
    is_one = board.unit == "patient" or model.n_samples == model.n_patients
    counted_per = "" if is_one else f", counted by {board.noun},"
    name = "the model" if model.subject == "model" else model.subject
    possessive = f"{name}'s"
    ends = interval(model.low, model.high, 2)
    where = (
        f"On {counted(model.n_patients, f'held-out {board.nouns.patient}')}{_in_brackets(board.population)}"
    )
    result = f"{where} {possessive} {metric_name(model.metric)}{counted_per} is {number(model.value, 2)}"
    result += f" ({percent(model.level)} interval {ends})" if ends else " (no interval could be computed)"
    baseline = board.best("baseline", model.metric)
    if baseline is None:
        return f"{result}; no baseline was scored beside it."
    return f"{result}; the best baseline, {subject_name(baseline.subject)}, reaches {_short(baseline)}."


def _difference_sentence(board: Board, model: Score, comparisons: Sequence[Comparison]) -> list[str]:
    baseline = board.best("baseline", model.metric)
    found = baseline and _comparison(comparisons, model, baseline)
    if not found:
        return []
    p_value = "" if found.p_value is None else f", p {_equals(probability(found.p_value))}"
    patients = f"{board.nouns.patient}s"
    return [f"The paired difference on the same {patients} is {compared(found, 2)}{p_value}."]


def _null_sentence(board: Board, metric: str) -> list[str]:
    null = board.best("null", metric)
    if null is None:
        return []
    return [f"With labels exchanged between patients the same procedure reaches {_short(null)}."]


def _baseline_notice(board: Board, comparisons: Sequence[Comparison]) -> list[Notice]:
    metric = lead_metric(board.scores)
    model, baseline = board.best("model", metric), board.best("baseline", metric)
    if model is None:
        return []
    if baseline is None:
        text = f"No baseline was scored per {board.noun}: nothing shows that a simpler model would do worse."
        return [Notice(text, "caution")]
    name = subject_name(baseline.subject)
    if baseline.value >= model.value:
        reach = f"{name} reaches {_short(baseline)}, the model {_short(model)}"
        return [Notice(f"A simpler model does as well per {board.noun}: {reach}.", "caution")]
    found = _comparison(comparisons, model, baseline)
    overlaps = found.low is not None and found.low <= 0 if found else _overlap(model, baseline)
    if overlaps:
        text = f"No clear advantage over {name} per {board.noun}: the interval of the difference includes 0."
        return [Notice(text, "caution")]
    return []


def _width_notice(board: Board) -> list[Notice]:
    model = board.best("model", lead_metric(board.scores))
    if model is None or model.low is None or model.high is None or model.high - model.low <= WIDE_INTERVAL:
        return []
    return [
        Notice(
            f"The interval is {number(model.high - model.low, 2)} wide: "
            f"{counted(model.n_patients, board.nouns.patient)} are too few to say more.{_what_narrows(board.nouns)}",
            "caution",
        )
    ]


def _what_narrows(nouns: Nouns) -> str:
    if not nouns.knows_patients:
        return ""
    return f" Only more patients narrow it; more {nouns.sample}s of the same patients do not."


def _calibration_notice(board: Board) -> list[Notice]:
    error = board.best("model", "ece")
    if error is None or error.value < POOR_CALIBRATION:
        return []
    return [
        Notice(
            f"Stated probabilities are off by {number(error.value, 2)} on average per {board.noun}: read them as "
            "ranks, not as frequencies.",
            "caution",
        )
    ]


def _noted(scores: Sequence[Score]) -> list[Notice]:
    """Return each distinct note on a model or a null once, with the subjects and metrics it was made about."""
    about: dict[str, dict[str, list[str]]] = {}
    for score in scores:
        if score.note and role_of(score.subject) != "baseline":
            metrics = about.setdefault(score.note, {}).setdefault(score.subject, [])
            metrics += [metric_name(score.metric)] if metric_name(score.metric) not in metrics else []
    return [
        Notice(f"{'; '.join(_about(subject, metrics) for subject, metrics in subjects.items())}: {note}.")
        for note, subjects in about.items()
    ]


def _about(subject: str, metrics: list[str]) -> str:
    """Name a subject, and the metrics where a note is on few of them."""
    name = subject[:1].upper() + subject[1:]
    return f"{name}, {listed(metrics)}" if len(metrics) <= MANY_METRICS else name


def _comparison(comparisons: Sequence[Comparison], first: Score, second: Score) -> Comparison | None:
    """Find the paired difference of two scores."""
    wanted = (first.subject, second.subject, first.metric, first.unit, first.population)
    found = (c for c in comparisons if (c.first, c.second, c.metric, c.unit, c.population) == wanted)
    return next(found, None)


def _overlap(first: Score, second: Score) -> bool:
    """Tell whether two intervals have a point in common; a score without one stands for itself."""
    (low, high), (other_low, other_high) = _ends(first), _ends(second)
    return low <= other_high and other_low <= high


def _ends(score: Score) -> tuple[float, float]:
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return low, high


def _range(score: Score) -> str:
    return interval(score.low, score.high, 2) or number(score.value, 2)


def _short(score: Score) -> str:
    ends = interval(score.low, score.high, 2)
    return f"{number(score.value, 2)} ({ends})" if ends else number(score.value, 2)


def _in_brackets(population: str) -> str:
    return "" if population == "all" else f" ({population})"


def _named(score: Score) -> str:
    return "the model" if score.subject == "model" else score.subject


def _equals(text: str) -> str:
    return text if text.startswith("<") else f"= {text}"
