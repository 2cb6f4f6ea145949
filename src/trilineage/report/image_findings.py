"""What a page about images says first: result and unit, what mistakes cost, where it holds, and why to doubt it."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison, Score
from trilineage.report.blocks import Notice
from trilineage.report.findings import POOR_CALIBRATION, headline, lead_board, score_notices
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import interval, listed, metric_name, number, probability
from trilineage.report.scoreboard import Board, boards, lead_metric, subject_name

SITE = "site "
"""How the population of a score of one site begins."""

UNCLEAR = 0.05
"""A p-value from which an advantage is not shown."""

_NO_WIDTH = 1e-9


def whole(scores: Sequence[Score]) -> list[Score]:
    """Leave out the scores of single sites."""
    return [score for score in scores if not score.population.startswith(SITE)]


def site_boards(scores: Sequence[Score], nouns: Nouns) -> list[Board]:
    """Return the scores of each site, in the unit of the first one."""
    of_sites = [score for score in scores if score.population.startswith(SITE)]
    return boards([score for score in of_sites if score.unit == of_sites[0].unit], nouns) if of_sites else []


def image_headline(run: Run) -> list[str]:
    """Return the result of an images Run in a few sentences."""
    scores, nouns = run.scores(), nouns_of(run)
    board = lead_board(whole(scores), nouns)
    if board is None:
        return []
    sentences = headline(whole(scores), comparisons_of(run), nouns)
    if not nouns.knows_patients:
        sentences[0] = sentences[0].replace("held-out images", "held-out images of unknown patients", 1)
    sentences += _cost_sentence(board)
    sentences += site_sentence(scores, nouns, trained_sites(run))
    return sentences


def trained_sites(run: Run) -> list[str]:
    """Return the sites that training was confined to; empty where it was not."""
    config = tomllib.loads(run.read_text("config.toml")) if run.has("config.toml") else {}
    return [str(site) for site in config.get("train_sites") or []]


def image_notices(run: Run) -> list[Notice]:
    """Return the reasons to doubt the scores of an images Run; remarks on single metrics come last."""
    scores, nouns = run.scores(), nouns_of(run)
    comparisons = comparisons_of(run)
    notices = [_milder(notice) for notice in score_notices(whole(scores), comparisons, nouns)]
    notices += [
        notice for board in boards(whole(scores), nouns) for notice in lead_notices(board, comparisons)
    ]
    reliability = run.read_json("reliability.json") if run.has("reliability.json") else {}
    notices += calibration_notice(reliability)
    notices += _site_notice(scores, nouns)
    return sorted(notices, key=lambda notice: notice.level == "note")


def comparisons_of(run: Run) -> list[Comparison]:
    """Return the paired differences; an interval of no width says that it could not be computed."""
    return [replace(row, low=None, high=None) if _has_no_width(row) else row for row in run.comparisons()]


def _has_no_width(row: Comparison) -> bool:
    return row.low is not None and row.high is not None and row.high - row.low < _NO_WIDTH


def lead_notices(board: Board, comparisons: Sequence[Comparison]) -> list[Notice]:
    """Warn where the leading score has no interval, and where exchanging model and baseline changes nothing."""
    metric = lead_metric(board.scores)
    model, baseline = board.best("model", metric), board.best("baseline", metric)
    if model is None:
        return []
    notices = []
    if model.low is None:
        why = f": {model.note.removeprefix('no interval: ')}" if model.note else ""
        notices.append(Notice(f"The score per {board.noun} has no interval{why}.", "caution"))
    for row in comparisons:
        is_it = (row.metric, row.unit, row.population) == (metric, board.unit, board.population)
        if not is_it or baseline is None or (row.first, row.second) != (model.subject, baseline.subject):
            continue
        if row.p_value is not None and row.p_value >= UNCLEAR and row.difference > 0:
            text = f"exchanging it with {subject_name(row.second)} {board.nouns.patient} by {board.nouns.patient}"
            p_value = probability(row.p_value)
            notices.append(
                Notice(f"The advantage per {board.noun} is not shown: {text} gives p = {p_value}.", "caution")
            )
    return notices


def calibration_error(bins: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the mean gap between stated and observed shares over bins, weighted by samples; None without any."""
    total = sum(one["n_samples"] for one in bins)
    gaps = (one["n_samples"] * abs(one["mean_probability"] - one["share"]) for one in bins)
    return sum(gaps) / total if total else None


def calibration_notice(reliability: Mapping[str, Any]) -> list[Notice]:
    """Warn where the probability of the decision is far from how often it is right."""
    bins = reliability.get("decision") or []
    error = calibration_error(bins)
    if error is None or error < POOR_CALIBRATION:
        return []
    said = sum(one["n_samples"] * (one["mean_probability"] - one["share"]) for one in bins)
    way = "too sure" if said > 0 else "not sure enough"
    text = f"The model is {way}: the probability of its decision is off by {number(error, 2)} on average."
    return [Notice(f"{text} Read probabilities as ranks, not as frequencies.", "caution")]


def site_sentence(scores: Sequence[Score], nouns: Nouns, trained: Sequence[str] = ()) -> list[str]:
    """Say where the model does best and worst, if there are several sites."""
    found = _best_and_worst(scores, nouns)
    if found is None:
        return []
    best, worst = found
    name = metric_name(best.metric)
    only = f"Trained at {listed([site_name(site) for site in trained])} only. " if trained else ""
    return [
        f"{only}From site to site the {name} per {nouns.of(best.unit)} goes from {_at(best)} to {_at(worst)}."
    ]


def _milder(notice: Notice) -> Notice:
    """Take for a remark that cells of one patient differ in kind: it is what a differential count is about."""
    return replace(notice, level="note") if "carry different labels" in notice.text else notice


def _cost_sentence(board: Board) -> list[str]:
    """Say how far off the decisions are, in levels of the tree and in clinical cost."""
    distance = board.best("model", "hierarchical_distance")
    if distance is None:
        return []
    text = f"Decisions lie {_short(distance)} levels of the tree from the truth on average"
    severity = board.get(distance.subject, "mistake_severity")
    if severity is not None and severity.value == severity.value:
        text += f", wrong ones {_short(severity)}"
    cost, baseline = board.get(distance.subject, "clinical_cost"), board.best("baseline", "clinical_cost")
    if cost is None or not has_costs(board):
        return [f"{text}."]
    beside = "" if baseline is None else f" (majority: {_short(baseline)})"
    return [f"{text}; their mean clinical cost is {_short(cost)}{beside}."]


def has_costs(board: Board) -> bool:
    """Tell whether clinical costs say anything else than distances, which stand in where the tree has no costs."""
    pairs = [
        (board.get(subject, "clinical_cost"), board.get(subject, "hierarchical_distance"))
        for subject in board.subjects
    ]
    return any(cost and distance and abs(cost.value - distance.value) > 1e-9 for cost, distance in pairs)


def _best_and_worst(scores: Sequence[Score], nouns: Nouns) -> tuple[Score, Score] | None:
    found = site_boards(scores, nouns)
    if len(found) < 2:
        return None
    metric = lead_metric([score for board in found for score in board.scores])
    values = [board.best("model", metric) for board in found]
    known = [score for score in values if score is not None]
    if len(known) < 2:
        return None
    return max(known, key=lambda score: score.value), min(known, key=lambda score: score.value)


def _site_notice(scores: Sequence[Score], nouns: Nouns) -> list[Notice]:
    """Warn where two sites differ by more than their intervals."""
    found = _best_and_worst(scores, nouns)
    if found is None:
        return []
    best, worst = found
    if best.low is None or worst.high is None or best.low <= worst.high:
        return []
    drop = number(best.value - worst.value, 2)
    text = f"The {metric_name(best.metric)} drops by {drop} from {_at(best)} to {_at(worst)}."
    return [Notice(f"{text} A new site may do worse than all of these.", "caution")]


def _at(score: Score) -> str:
    return f"{_short(score)} at {site_name(score.population.removeprefix(SITE))}"


def site_name(name: str) -> str:
    """Return a site as it stands in a sentence: `site A`, but `site-1`."""
    return name if name.lower().startswith("site") else f"{SITE}{name}"


def _short(score: Score) -> str:
    ends = interval(score.low, score.high, 2)
    return f"{number(score.value, 2)} ({ends})" if ends else number(score.value, 2)
