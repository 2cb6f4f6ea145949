"""What the features of an encoder tell: label, sites, another data set and attributes, beside random weights."""

from collections.abc import Sequence

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Block, Notice, Section, Table
from trilineage.report.forest import Panel, forest
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import capital, counted, metric_heading, metric_name, percent, scored
from trilineage.report.scoreboard import SCORES_NAME, Board, boards, lead_metric, role_of, score_cell

ATTRIBUTES = "attributes.json"
FACTS = "probes.json"
_DRAWN = 8
"""Populations that the figure shows at most, and none of an attribute at one site; the table has all."""


def probes_section(run: Run) -> Section | None:
    """Show the probes of an encoder: one figure of the leading metric, one table of all."""
    nouns = nouns_of(run)
    found = [*boards(run.scores(), nouns), *boards(run.scores(ATTRIBUTES), nouns)]
    if not found:
        return None
    lead = lead_metric([score for board in found for score in board.scores])
    drawn = [board for board in found if ", site " not in board.population][:_DRAWN]
    blocks: list[Block] = [
        *_notices(run, nouns),
        forest(
            "probes",
            [Panel(f"{_heading(board)} ({board.size()})", tuple(board.of(lead))) for board in drawn],
            title="Probes of the encoder beside random weights",
            nouns=nouns,
        ),
        _table(run, found, nouns),
    ]
    return Section("probes", "What the features tell", tuple(blocks))


def probes_headline(run: Run) -> list[str]:
    """Say how well the better reading tells the label, and what random weights reach."""
    found = boards(run.scores(), nouns_of(run))
    if not found:
        return []
    board = found[0]
    metric = lead_metric(board.scores)
    model, control = board.best("model", metric), board.best("baseline", metric)
    if model is None or control is None:
        return []
    return [
        f"By the {model.subject}, the {metric_name(metric)} on {board.size()} held out is {scored(model)}; the same "
        f"network with random weights reaches {scored(control)}."
    ]


def _notices(run: Run, nouns: Nouns) -> list[Block]:
    facts = run.read_json(FACTS) if run.has(FACTS) else {}
    n_seen, n_test = facts.get("n_test_learned_from", 0), facts.get("n_images", {}).get("test", 0)
    notices: list[Block] = []
    if n_seen:
        notices.append(
            Notice(
                f"The encoder has learned from {n_seen:,} of the {counted(n_test, 'test image')}: their scores are too "
                "good.",
                "caution",
            )
        )
    if not nouns.knows_patients:
        notices.append(
            Notice(
                "No patients are known: each image counts as its own patient, and the intervals are too narrow.",
                "note",
            )
        )
    return notices


def _table(run: Run, found: Sequence[Board], nouns: Nouns) -> Table:
    metrics = list(dict.fromkeys(metric for board in found for metric in board.metrics))
    rows = [
        (
            _heading(board),
            capital(subject),
            _size(board),
            *(score_cell(board.get(subject, m)) for m in metrics),
        )
        for board in found
        for subject in board.subjects
    ]
    strong = [role_of(subject) == "model" for board in found for subject in board.subjects]
    level = percent(found[0].scores[0].level)
    return Table(
        f"Test images told apart by a linear probe and by the nearest training images, with {level} intervals over "
        f"{nouns.patient}s. Random weights: the same network, never trained.",
        ("What", "Read by", "Images", *map(metric_heading, metrics)),
        tuple(rows),
        n_text_columns=2,
        strong_rows=frozenset(row for row, is_model in enumerate(strong) if is_model),
        sources=tuple(name for name in (SCORES_NAME, ATTRIBUTES) if run.has(name)),
    )


def _heading(board: Board) -> str:
    name = board.population
    return "Label" if name == "all" else f"Label, {name}" if _is_of_label(board.scores) else capital(name)


def _is_of_label(scores: Sequence[Score]) -> bool:
    """Tell sites and data sets, on which the label is read, from attributes."""
    return scores[0].population.startswith(("site ", "data set "))


def _size(board: Board) -> str:
    return f"{max(score.n_samples for score in board.scores):,}"
